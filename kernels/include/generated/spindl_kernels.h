/* Generated from spindl.program.kernels. */
#ifndef SPINDL_KERNELS_H
#define SPINDL_KERNELS_H

#include "spindl_kernel.h"

enum spindl_kernel_number {
    SPINDL_KERNEL_COPY = 160,
    SPINDL_KERNEL_SEND = 240,
    SPINDL_KERNEL_LISTEN = 241,
    SPINDL_KERNEL_RECEIVE = 242,
};

/* The same, for macros that get the name of a kernel. */
#define SPINDL_NUMBER_copy 160
#define SPINDL_NUMBER_send 240
#define SPINDL_NUMBER_listen 241
#define SPINDL_NUMBER_receive 242

/* y = x, word by word. */
typedef struct {
    uint32_t x; /* source, a multiple of 4 */
    uint32_t y; /* destination, a multiple of 4; must not begin inside the source behind its first word */
    uint32_t words; /* number of 32-bit words */
} spindl_copy_arguments;
typedef char spindl_copy_arguments_size[sizeof(spindl_copy_arguments) == 12 ? 1 : -1];
int spindl_copy(const spindl_copy_arguments *arguments, spindl_context *context);
uint32_t spindl_copy_cycles(const spindl_copy_arguments *arguments);
uint32_t spindl_copy_scratch(const spindl_copy_arguments *arguments);

/* Sends a block and waits until every receiver has it; sends again what they ask for. */
typedef struct {
    uint32_t stream; /* its number, even; the answers use stream + 1 */
    uint32_t block; /* number of the block */
    uint32_t x; /* the words, a multiple of 4 */
    uint32_t words; /* their number, 1 to 1023 */
    uint32_t receivers; /* bits of the receivers that have to acknowledge */
    uint32_t gap; /* cycles from packet to packet, at least */
} spindl_send_arguments;
typedef char spindl_send_arguments_size[sizeof(spindl_send_arguments) == 24 ? 1 : -1];
int spindl_send(const spindl_send_arguments *arguments, spindl_context *context);

/* From now on the block's packets are taken: the word of place p goes to y + 4 p, the head to y. */
typedef struct {
    uint32_t slot; /* 0 or 1: two blocks can be under way */
    uint32_t stream; /* its number, even; the answers use stream + 1 */
    uint32_t block; /* number of the block */
    uint32_t y; /* room for the block's head and its words, a multiple of 4 */
    uint32_t words; /* number of words, 1 to 1023 */
} spindl_listen_arguments;
typedef char spindl_listen_arguments_size[sizeof(spindl_listen_arguments) == 20 ? 1 : -1];
int spindl_listen(const spindl_listen_arguments *arguments, spindl_context *context);

/* Waits until the block is complete, asking for what is missing; checks and acknowledges it. */
typedef struct {
    uint32_t slot; /* as given to listen */
    uint32_t receiver; /* number of this receiver, 0 to 31 */
} spindl_receive_arguments;
typedef char spindl_receive_arguments_size[sizeof(spindl_receive_arguments) == 8 ? 1 : -1];
int spindl_receive(const spindl_receive_arguments *arguments, spindl_context *context);

/* X(name) for every kernel that is also built for the host. */
#define SPINDL_EVERY_KERNEL(X) \
    X(copy) \

/* X(name) for those that need a core's runtime. */
#define SPINDL_EVERY_RUNTIME_KERNEL(X) \
    X(send) \
    X(listen) \
    X(receive) \

#endif
