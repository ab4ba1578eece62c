/* Generated from spindl.program.kernels. */
#ifndef SPINDL_KERNELS_H
#define SPINDL_KERNELS_H

#include "spindl_kernel.h"

enum spindl_kernel_number {
    SPINDL_KERNEL_CONVOLUTION = 1,
    SPINDL_KERNEL_CONVOLUTION_INPUT_GRADIENT = 2,
    SPINDL_KERNEL_CONVOLUTION_WEIGHT_GRADIENT = 3,
    SPINDL_KERNEL_ROUND_SUMS = 4,
    SPINDL_KERNEL_ADD_ROUNDED_SUMS = 5,
    SPINDL_KERNEL_REQUANTISE = 32,
    SPINDL_KERNEL_MOVE = 33,
    SPINDL_KERNEL_NARROW = 34,
    SPINDL_KERNEL_RELU = 35,
    SPINDL_KERNEL_RELU_GRADIENT = 36,
    SPINDL_KERNEL_ADD = 37,
    SPINDL_KERNEL_AFFINE = 38,
    SPINDL_KERNEL_AFFINE_PAIR = 39,
    SPINDL_KERNEL_MAX_POOL = 40,
    SPINDL_KERNEL_MAX_POOL_GRADIENT = 41,
    SPINDL_KERNEL_WINDOW_SUM = 42,
    SPINDL_KERNEL_WINDOW_SUM_GRADIENT = 43,
    SPINDL_KERNEL_SIGMOID = 44,
    SPINDL_KERNEL_SIGMOID_GRADIENT = 45,
    SPINDL_KERNEL_SOFTMAX = 46,
    SPINDL_KERNEL_SOFTMAX_GRADIENT = 47,
    SPINDL_KERNEL_DROPOUT = 48,
    SPINDL_KERNEL_CROSS_ENTROPY = 52,
    SPINDL_KERNEL_SQUARED_ERROR = 53,
    SPINDL_KERNEL_BINARY_CROSS_ENTROPY = 54,
    SPINDL_KERNEL_CHANNEL_SUMS = 96,
    SPINDL_KERNEL_INVERSE_DEVIATION = 97,
    SPINDL_KERNEL_RUNNING_INVERSE_DEVIATION = 98,
    SPINDL_KERNEL_BATCH_NORM_SCALE = 99,
    SPINDL_KERNEL_BATCH_NORM_OFFSET = 100,
    SPINDL_KERNEL_RUNNING_OFFSET = 101,
    SPINDL_KERNEL_GAMMA_GRADIENT = 102,
    SPINDL_KERNEL_RUNNING_GAMMA_GRADIENT = 103,
    SPINDL_KERNEL_BATCH_NORM_SLOPE = 104,
    SPINDL_KERNEL_BATCH_NORM_GRADIENT_OFFSET = 105,
    SPINDL_KERNEL_RUNNING_MEAN = 106,
    SPINDL_KERNEL_RUNNING_VARIANCE = 107,
    SPINDL_KERNEL_PAIR_TO_WIDE = 108,
    SPINDL_KERNEL_COPY = 160,
    SPINDL_KERNEL_SEND = 240,
    SPINDL_KERNEL_LISTEN = 241,
    SPINDL_KERNEL_RECEIVE = 242,
};

/* The same, for macros that get the name of a kernel. */
#define SPINDL_NUMBER_convolution 1
#define SPINDL_NUMBER_convolution_input_gradient 2
#define SPINDL_NUMBER_convolution_weight_gradient 3
#define SPINDL_NUMBER_round_sums 4
#define SPINDL_NUMBER_add_rounded_sums 5
#define SPINDL_NUMBER_requantise 32
#define SPINDL_NUMBER_move 33
#define SPINDL_NUMBER_narrow 34
#define SPINDL_NUMBER_relu 35
#define SPINDL_NUMBER_relu_gradient 36
#define SPINDL_NUMBER_add 37
#define SPINDL_NUMBER_affine 38
#define SPINDL_NUMBER_affine_pair 39
#define SPINDL_NUMBER_max_pool 40
#define SPINDL_NUMBER_max_pool_gradient 41
#define SPINDL_NUMBER_window_sum 42
#define SPINDL_NUMBER_window_sum_gradient 43
#define SPINDL_NUMBER_sigmoid 44
#define SPINDL_NUMBER_sigmoid_gradient 45
#define SPINDL_NUMBER_softmax 46
#define SPINDL_NUMBER_softmax_gradient 47
#define SPINDL_NUMBER_dropout 48
#define SPINDL_NUMBER_cross_entropy 52
#define SPINDL_NUMBER_squared_error 53
#define SPINDL_NUMBER_binary_cross_entropy 54
#define SPINDL_NUMBER_channel_sums 96
#define SPINDL_NUMBER_inverse_deviation 97
#define SPINDL_NUMBER_running_inverse_deviation 98
#define SPINDL_NUMBER_batch_norm_scale 99
#define SPINDL_NUMBER_batch_norm_offset 100
#define SPINDL_NUMBER_running_offset 101
#define SPINDL_NUMBER_gamma_gradient 102
#define SPINDL_NUMBER_running_gamma_gradient 103
#define SPINDL_NUMBER_batch_norm_slope 104
#define SPINDL_NUMBER_batch_norm_gradient_offset 105
#define SPINDL_NUMBER_running_mean 106
#define SPINDL_NUMBER_running_variance 107
#define SPINDL_NUMBER_pair_to_wide 108
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

/* After a step: states become those of the next step (docs/numbers.md, delayed scaling). */
typedef struct {
    uint32_t states; /* address: [count] spindl_site_state */
    uint32_t sites; /* address: [count] spindl_site, merged over all cores */
    uint32_t count; /* sites */
} spindl_next_sites_arguments;
typedef char spindl_next_sites_arguments_size[sizeof(spindl_next_sites_arguments) == 12 ? 1 : -1];
int spindl_next_sites(const spindl_next_sites_arguments *arguments, spindl_context *context);
uint32_t spindl_next_sites_cycles(const spindl_next_sites_arguments *arguments);
uint32_t spindl_next_sites_scratch(const spindl_next_sites_arguments *arguments);

/* Fills the exponent table at the start of a step, or the exponents of the State at its end. SPINDL_ERROR_ARGUMENT for an unknown rule, value, site or word. */
typedef struct {
    uint32_t rules; /* address: [count] spindl_exponent_rule, applied in order */
    uint32_t state; /* address: int32 words */
    uint32_t count; /* rules */
    uint32_t state_count; /* words of state */
} spindl_exponents_arguments;
typedef char spindl_exponents_arguments_size[sizeof(spindl_exponents_arguments) == 16 ? 1 : -1];
int spindl_exponents(const spindl_exponents_arguments *arguments, spindl_context *context);
uint32_t spindl_exponents_cycles(const spindl_exponents_arguments *arguments);
uint32_t spindl_exponents_scratch(const spindl_exponents_arguments *arguments);

/* y (+)= sum of the rows of x, exactly: gradient groups, partial sums of cores, losses of images (count 1). */
typedef struct {
    uint32_t x; /* address: [rows][count] of x_bytes bytes each */
    uint32_t y; /* address: [count] of y_bytes bytes each */
    uint32_t x_bytes; /* 2: int16, 4: int32, 8: int64 */
    uint32_t y_bytes; /* 4: int32, 8: int64; at least x_bytes */
    uint32_t rows; /* rows */
    uint32_t count; /* elements of a row */
    uint32_t x_pitch; /* bytes from row to row of x, a multiple of min(x_bytes, 4) */
    uint32_t first; /* 1: y begins at 0; 0: add to it */
} spindl_sum_rows_arguments;
typedef char spindl_sum_rows_arguments_size[sizeof(spindl_sum_rows_arguments) == 32 ? 1 : -1];
int spindl_sum_rows(const spindl_sum_rows_arguments *arguments, spindl_context *context);
uint32_t spindl_sum_rows_cycles(const spindl_sum_rows_arguments *arguments);
uint32_t spindl_sum_rows_scratch(const spindl_sum_rows_arguments *arguments);

/* Before a step: sites take their exponents from the State; extents become EMPTY, counts of clamped elements 0. */
typedef struct {
    uint32_t states; /* address: [count] spindl_site_state */
    uint32_t count; /* sites, the first ones of the table */
} spindl_begin_sites_arguments;
typedef char spindl_begin_sites_arguments_size[sizeof(spindl_begin_sites_arguments) == 8 ? 1 : -1];
int spindl_begin_sites(const spindl_begin_sites_arguments *arguments, spindl_context *context);
uint32_t spindl_begin_sites_cycles(const spindl_begin_sites_arguments *arguments);
uint32_t spindl_begin_sites_scratch(const spindl_begin_sites_arguments *arguments);

/* y's extents become the maxima of all, y's counts of clamped elements the sums. */
typedef struct {
    uint32_t x; /* address: [rows][count] spindl_site */
    uint32_t y; /* address: [count] spindl_site */
    uint32_t rows; /* cores */
    uint32_t count; /* sites */
    uint32_t x_pitch; /* bytes from row to row of x */
} spindl_merge_sites_arguments;
typedef char spindl_merge_sites_arguments_size[sizeof(spindl_merge_sites_arguments) == 20 ? 1 : -1];
int spindl_merge_sites(const spindl_merge_sites_arguments *arguments, spindl_context *context);
uint32_t spindl_merge_sites_cycles(const spindl_merge_sites_arguments *arguments);
uint32_t spindl_merge_sites_scratch(const spindl_merge_sites_arguments *arguments);

/* D = T(decay * W) + T(gradient), terms at e_site; further gradients by further calls with master 0, first 0. At most five gradients. y may be an int64 gradient. */
typedef struct {
    uint32_t master; /* address: int32 W; 0: no decay */
    uint32_t decay; /* address: scalar B * wd */
    uint32_t gradient; /* address: int32 or int64; 0: none */
    uint32_t y; /* address: int64 D at e_site */
    uint32_t gradient_bytes; /* 4 or 8 */
    uint32_t first; /* 1: D = terms; 0: D += terms */
    uint32_t watch; /* 1: D is complete, its extent goes to the site (LARS) */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t master_exponent; /* value whose exponent is that of master */
    uint32_t gradient_exponent; /* value whose exponent is that of gradient */
} spindl_direction_arguments;
typedef char spindl_direction_arguments_size[sizeof(spindl_direction_arguments) == 44 ? 1 : -1];
int spindl_direction(const spindl_direction_arguments *arguments, spindl_context *context);
uint32_t spindl_direction_cycles(const spindl_direction_arguments *arguments);
uint32_t spindl_direction_scratch(const spindl_direction_arguments *arguments);

/* y = T(rate * clamp(D, 2^46)) at e_site. */
typedef struct {
    uint32_t step; /* address: int64 D */
    uint32_t rate; /* address: scalar */
    uint32_t y; /* address: int64 at e_site; may be D */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t step_exponent; /* value whose exponent is that of step */
} spindl_scale_direction_arguments;
typedef char spindl_scale_direction_arguments_size[sizeof(spindl_scale_direction_arguments) == 24 ? 1 : -1];
int spindl_scale_direction(const spindl_scale_direction_arguments *arguments, spindl_context *context);
uint32_t spindl_scale_direction_cycles(const spindl_scale_direction_arguments *arguments);
uint32_t spindl_scale_direction_scratch(const spindl_scale_direction_arguments *arguments);

/* direction, momentum, saturate32 (its site watches it) and descend in one pass. Without `fixed` y is the low 32 bits of W - T(rate * U): if any core's overflow word is set, `halve` follows on the whole tensor. */
typedef struct {
    uint32_t master; /* address: int32 W */
    uint32_t velocity; /* address: int32 V, becomes V'; 0: no momentum */
    uint32_t gradient; /* address: int32 or int64 dW, or int64 D */
    uint32_t change; /* address: int32 U, for `halve`; may be dW; 0: not kept (it is V' without Nesterov) */
    uint32_t decay; /* address: scalar B * wd; 0: no decay */
    uint32_t factor; /* address: scalar mu */
    uint32_t rate; /* address: scalar lr / B (LARS: 1) */
    uint32_t y; /* address: int32; may be W */
    uint32_t overflow; /* address: int32 word that becomes 1 if any |W - T(rate * U)| > 0.98 * 2^31, else is left alone */
    uint32_t gradient_bytes; /* 4 or 8 */
    uint32_t ready; /* 1: gradient is the direction D at e_site, decay included */
    uint32_t nesterov; /* 1: Nesterov's momentum */
    uint32_t fixed; /* 1: biases, gamma, beta: y is clamped, e_W stays; overflow is not touched */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t master_exponent; /* value whose exponent is that of master */
    uint32_t velocity_exponent; /* value whose exponent is that of velocity */
    uint32_t gradient_exponent; /* value whose exponent is that of gradient */
} spindl_update_arguments;
typedef char spindl_update_arguments_size[sizeof(spindl_update_arguments) == 72 ? 1 : -1];
int spindl_update(const spindl_update_arguments *arguments, spindl_context *context);
uint32_t spindl_update_cycles(const spindl_update_arguments *arguments);
uint32_t spindl_update_scratch(const spindl_update_arguments *arguments);

/* y = clamp(RSH(W - T(rate * U), 1), 2^31 - 1) at e_W + 1; W is recovered exactly from its wrapped difference. master_exponent is still the old e_W. y may be master. */
typedef struct {
    uint32_t master; /* address: int32: what `update` left */
    uint32_t step; /* address: int32 U of that call */
    uint32_t rate; /* address: scalar */
    uint32_t y; /* address: int32 */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t master_exponent; /* value whose exponent is that of master */
} spindl_halve_arguments;
typedef char spindl_halve_arguments_size[sizeof(spindl_halve_arguments) == 28 ? 1 : -1];
int spindl_halve(const spindl_halve_arguments *arguments, spindl_context *context);
uint32_t spindl_halve_cycles(const spindl_halve_arguments *arguments);
uint32_t spindl_halve_scratch(const spindl_halve_arguments *arguments);

/* largest = bit_length(max |x|), over several tiles. */
typedef struct {
    uint32_t x; /* address: [count] of x_bytes bytes each */
    uint32_t largest; /* address: int32 word */
    uint32_t x_bytes; /* 2: int16, 4: int32, 8: int64 */
    uint32_t first; /* 1: the word begins at 0; 0: maximum with it */
    uint32_t count; /* elements */
} spindl_largest_bits_arguments;
typedef char spindl_largest_bits_arguments_size[sizeof(spindl_largest_bits_arguments) == 20 ? 1 : -1];
int spindl_largest_bits(const spindl_largest_bits_arguments *arguments, spindl_context *context);
uint32_t spindl_largest_bits_cycles(const spindl_largest_bits_arguments *arguments);
uint32_t spindl_largest_bits_scratch(const spindl_largest_bits_arguments *arguments);

/* y (+)= sum of RSH(x, s)^2 with s = max(0, largest - 15); its exponent is 2 (e_x + s). */
typedef struct {
    uint32_t x; /* address: [count] of x_bytes bytes each */
    uint32_t largest; /* address: int32 word: largest_bits of the tensor */
    uint32_t y; /* address: int64 */
    uint32_t x_bytes; /* 2: int16, 4: int32, 8: int64 */
    uint32_t first; /* 1: y begins at 0; 0: add to it */
    uint32_t count; /* elements */
} spindl_squared_norm_arguments;
typedef char spindl_squared_norm_arguments_size[sizeof(spindl_squared_norm_arguments) == 24 ? 1 : -1];
int spindl_squared_norm(const spindl_squared_norm_arguments *arguments, spindl_context *context);
uint32_t spindl_squared_norm_cycles(const spindl_squared_norm_arguments *arguments);
uint32_t spindl_squared_norm_scratch(const spindl_squared_norm_arguments *arguments);

/* lr * eta * |W| / (|G| + B*wd * |W| + eps) with 15 bits; lr/B where |W| or |G| is 0. */
typedef struct {
    uint32_t weight_norm; /* address: int64 squared norm of W */
    uint32_t weight_largest; /* address: int32 word: largest_bits of W */
    uint32_t gradient_norm; /* address: int64 squared norm of the summed gradient */
    uint32_t gradient_largest; /* address: int32 word: its largest_bits */
    uint32_t rate; /* address: scalar lr / B */
    uint32_t decay; /* address: scalar B * wd */
    uint32_t y; /* address: scalar */
    uint32_t batch; /* B */
    int32_t eta_mantissa; /* eta, mantissa of a pair */
    int32_t eta_exponent; /* its exponent */
    int32_t eps_mantissa; /* eps of the summed gradient, mantissa of a pair */
    int32_t eps_exponent; /* its exponent */
    uint32_t weight_exponent; /* value whose exponent is that of weight */
    uint32_t gradient_exponent; /* value whose exponent is that of gradient */
} spindl_lars_rate_arguments;
typedef char spindl_lars_rate_arguments_size[sizeof(spindl_lars_rate_arguments) == 56 ? 1 : -1];
int spindl_lars_rate(const spindl_lars_rate_arguments *arguments, spindl_context *context);
uint32_t spindl_lars_rate_cycles(const spindl_lars_rate_arguments *arguments);
uint32_t spindl_lars_rate_scratch(const spindl_lars_rate_arguments *arguments);

/* X(name) for every kernel that is also built for the host. */
#define SPINDL_EVERY_KERNEL(X) \
    X(convolution) \
    X(convolution_input_gradient) \
    X(convolution_weight_gradient) \
    X(round_sums) \
    X(add_rounded_sums) \
    X(requantise) \
    X(move) \
    X(narrow) \
    X(relu) \
    X(relu_gradient) \
    X(add) \
    X(affine) \
    X(affine_pair) \
    X(max_pool) \
    X(max_pool_gradient) \
    X(window_sum) \
    X(window_sum_gradient) \
    X(sigmoid) \
    X(sigmoid_gradient) \
    X(softmax) \
    X(softmax_gradient) \
    X(dropout) \
    X(cross_entropy) \
    X(squared_error) \
    X(binary_cross_entropy) \
    X(channel_sums) \
    X(inverse_deviation) \
    X(running_inverse_deviation) \
    X(batch_norm_scale) \
    X(batch_norm_offset) \
    X(running_offset) \
    X(gamma_gradient) \
    X(running_gamma_gradient) \
    X(batch_norm_slope) \
    X(batch_norm_gradient_offset) \
    X(running_mean) \
    X(running_variance) \
    X(pair_to_wide) \
    X(copy) \
    X(next_sites) \
    X(exponents) \
    X(sum_rows) \
    X(begin_sites) \
    X(merge_sites) \
    X(direction) \
    X(scale_direction) \
    X(update) \
    X(halve) \
    X(largest_bits) \
    X(squared_norm) \
    X(lars_rate) \

/* X(name) for those that need a core's runtime. */
#define SPINDL_EVERY_RUNTIME_KERNEL(X) \
    X(send) \
    X(listen) \
    X(receive) \

#endif
