/* What the parts of the runtime share. */
#ifndef SPINDL_RUNTIME_H
#define SPINDL_RUNTIME_H

#include "hardware.h"
#include "spindl_core.h"
#include "spindl_kernels.h"
#include "spindl_schedule.h"

/* What SC&MP keeps for each core in System RAM (spinnaker_tools' vcpu block, 128 bytes). */
typedef struct {
    uint32_t registers[8];
    uint32_t status, stack, link;
    uint8_t rte_code, physical, state, app_id;
    uint32_t message_in, message_out;
    uint8_t command_in, command_out;
    uint16_t errors;
    uint32_t error_file, error_line;
    uint32_t load_time;
    char name[16];
    uint32_t text;
    uint32_t version;
    uint32_t reserved[4];
    uint32_t user[4];
} monitor_block;
typedef char monitor_block_size[sizeof(monitor_block) == 128 ? 1 : -1];

enum core_state {
    STATE_RUN_TIME_EXCEPTION = 2, STATE_INITIALISING = 4, STATE_READY = 5, STATE_RUNNING = 7, STATE_PAUSED = 10,
    STATE_FINISHED = 11
};

/* monitor.c: SC&MP's conventions. */
extern volatile monitor_block *monitor;
extern uint32_t own_flag; /* bit of the virtual core */
extern volatile uint32_t signals; /* bit per signal that has come and was not yet looked at */
enum { SIGNAL_START = 3, SIGNAL_EXIT = 8, SIGNAL_USER_0 = 10 };
void monitor_start(uint32_t flags);
void monitor_interrupt(void);
void set_state(enum core_state state);
void set_text(uint32_t buffer, uint32_t bytes);
void print(const char *text);
void print_number(uint32_t value);

/* start.S: what the VIC is given; each calls the C function named like it. */
void enter_dma_error(void);
void enter_monitor(void);
void enter_tick(void);
void enter_nothing(void);

/* main.c */
extern spindl_core *record; /* in SDRAM */
void stop(uint32_t error, uint32_t detail, uint32_t detail2) __attribute__((noreturn));
extern struct place {
    uint32_t index, members, wake, leader, chip, chips; /* as in the core's record */
    volatile uint32_t *meeting;
} place;
extern uint32_t time_out; /* ticks that a wait may take */
extern volatile uint32_t ticks;
void tick_interrupt(void);

/* sleep.c: sleeps until ready(argument); returns the cycles. Calls late(milliseconds) about once in each of them. */
uint32_t sleep_until(int (*ready)(uint32_t), uint32_t argument, void (*late)(uint32_t waited));

/* dma.c, dma.S: one queue of transfers, in order. */
enum { DMA_QUEUE = 16 }; /* ranges; a power of two, also in dma.S; the walker has at most seven under way */
typedef struct {         /* dma.S and start.S know these offsets */
    uint32_t system, tcm, description;    /* of the next row, as the controller's registers lie */
    uint32_t system_pitch, tcm_pitch;
    uint32_t rows;                        /* left of the transfer under way; while there are any, two are in the engine */
    volatile uint32_t rows_done;
    uint32_t in_engine;                   /* rows given to the engine and not yet acknowledged: 0 to 2 */
    uint32_t left;                        /* transfers behind the one under way, in its range */
    const spindl_schedule_transfer *next; /* the first of them */
    volatile uint32_t taken;              /* ranges; counted, never wrapped by hand */
    uint32_t queued;
    struct {
        const spindl_schedule_transfer *first;
        uint32_t count;
    } queue[DMA_QUEUE];
} dma_engine;
extern dma_engine engine;
extern volatile uint32_t dma_failed;
extern uint32_t rows_asked;
void dma_start(void);
void dma_feed(void);
void dma_error_interrupt(void);
uint32_t dma_enqueue(const spindl_schedule_transfer *first, uint32_t count); /* the bytes that it will move */
void dma_wait(uint32_t rows); /* until engine.rows_done has reached `rows` */

/* barrier.c: cores of a chip meet by flags of the system controller, chips by packets. */
void packets_start(void);
void packet_arrived(uint32_t key, uint32_t payload); /* from the interrupt */
void meet(int all_chips);
void answer_again(void); /* to those that have not heard of a barrier or an acknowledgement; if answers_due */

/* loops.c */
uint32_t crc_of_words(const uint32_t *table, uint32_t crc, const uint32_t *words, uint32_t count);

/* streams.c, packets.S */
void send_packet(uint32_t key, uint32_t payload);
/* Keys count up; gap in cycles. Returns the checksum: each word times 2 key + 1. */
uint32_t send_words(uint32_t key, const uint32_t *words, uint32_t count, uint32_t gap);
typedef struct { /* packets.S knows these offsets */
    volatile uint32_t next, end; /* keys of the packet to come and behind the last one */
    uint32_t *volatile at;       /* where its word goes */
    volatile uint32_t sum, event;
    uint32_t key, *buffer;    /* of the block's head */
    volatile uint32_t places; /* 0: nobody listens */
    volatile uint32_t head;   /* the head has come, perhaps again, since the core last looked */
    volatile uint32_t holes;  /* places that were passed over; the head's, 0, from the start */
    uint32_t hole[32];        /* a bit for each place that was passed over */
} listener;
typedef struct {
    listener of[2];
    volatile uint32_t taken; /* packets, those of complete blocks and all others */
} listening;
extern listening listeners;
extern uint32_t run_salt; /* of the checksums of this run */
extern volatile uint32_t answers_due; /* bits 0 to 15: acknowledge a complete block again; 16: a barrier is over */
void streams_start(void);
void stream_arrived(uint32_t key, uint32_t payload);
void acknowledge_again(uint32_t due);

/* walker.c, table.c */
typedef struct {
    uint64_t cycles, kernel, dma, barrier, stream, read, written;
    uint32_t steps, tiles_redone, overlays;
    uint32_t step; /* where it is, for errors */
    uint32_t packets_sent, packets_repeated;
} walk_counters;
extern walk_counters counters;
extern const spindl_schedule_step *current_step; /* null if it is not known */
enum { FETCHES = 3 };
void walk(void);
void read_regions(void);
void check_overlays(void);
void check_table(void);
int in_regions(uint32_t start, uint32_t words, uint32_t writable);
static inline int in_tiles(uint32_t start, uint32_t words) {
    return start >= SPINDL_TILES_START && start <= SPINDL_TILES_END && words <= (SPINDL_TILES_END - start) >> 2;
}
uint32_t fetch(uint32_t slot, uint32_t sdram, uint32_t dtcm, uint32_t bytes);
extern spindl_schedule_header header;
extern uint32_t table_at, table_bytes; /* of the blocks */
extern spindl_context context;

/* kernel_table.c */
typedef struct {
    spindl_kernel run;
    uint8_t words, overlay; /* overlay: 0 for code that is always there */
    uint16_t number;
} kernel_entry;
const kernel_entry *find_kernel(uint32_t number); /* null if there is none */

/* image.ld and start.S */
extern uint32_t stack_guard;
extern const struct {
    uint32_t offset, bytes, crc; /* in the block of overlays */
} overlay_places[8]; /* from number 1 on; in start.S, where the builder fills them in */
extern uint8_t overlay_start[];
extern const uint32_t image_version; /* in the vectors: 0 for an image that is being built */

#endif
