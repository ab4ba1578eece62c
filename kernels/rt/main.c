/* options: -Os -mthumb */
/* The program of a core: wait for the doorbell, walk through the schedule, answer; or stop and say why. */
#include "runtime.h"

spindl_core *record;
struct place place;
uint32_t time_out;
volatile uint32_t ticks;
walk_counters counters;

void tick_interrupt(void) {
    TICK_CLEAR = 0;
    ticks++;
}

static void ticking(int on) {
    TICK_CONTROL = 0;
    if (!on) return;
    TICK_LOAD = CYCLES_PER_MILLISECOND;
    TICK_CONTROL = TIMER_PERIODIC_INTERRUPT;
}

static void interrupts_start(void) {
    static void (*const handlers[])(void) = {enter_monitor, enter_dma_error, enter_tick};
    static const uint8_t sources[] = {SOURCE_CORE, SOURCE_DMA_ERROR, SOURCE_TICK};
    VIC_DISABLE = 0xffffffff;
    VIC_SOFT_CLEAR = 0xffffffff;
    const uint32_t fast = 1u << SOURCE_PACKET | 1u << SOURCE_DMA;
    VIC_SELECT = fast;
    VIC_ADDRESS = 0;
    VIC_DEFAULT = (uint32_t)(uintptr_t)enter_nothing;
    uint32_t enabled = fast;
    for (uint32_t i = 0; i < 16; i++) VIC_SLOT(i) = 0;
    for (uint32_t i = 0; i < sizeof sources; i++) {
        VIC_VECTOR(i) = (uint32_t)(uintptr_t)handlers[i];
        VIC_SLOT(i) = 0x20u | sources[i];
        enabled |= 1u << sources[i];
    }
    VIC_ENABLE = enabled;
}

static void put(uint32_t *low, uint64_t value) {
    low[0] = (uint32_t)value;
    low[1] = (uint32_t)(value >> 32);
}

static void write_counters(void) {
    put(&record->cycles_low, counters.cycles);
    put(&record->kernel_low, counters.kernel);
    put(&record->dma_low, counters.dma);
    put(&record->barrier_low, counters.barrier);
    put(&record->stream_low, counters.stream);
    put(&record->read_low, counters.read);
    put(&record->written_low, counters.written);
    record->steps_done = counters.steps;
    record->tiles_redone = counters.tiles_redone;
    record->overlays_loaded = counters.overlays;
    record->packets_sent = counters.packets_sent;
    record->packets_received = listeners.taken;
    record->packets_repeated = counters.packets_repeated;
}

void stop(uint32_t error, uint32_t detail, uint32_t detail2) {
    VIC_DISABLE = ~(1u << SOURCE_PACKET); /* packets are still taken: one that lies about would block the router */
    ticking(0);
    const uint32_t kernel = current_step ? current_step->kernel : 0, node = current_step ? current_step->node : 0;
    if (record) {
        record->step = counters.step;
        record->kernel = kernel;
        record->node = node;
        record->detail = detail;
        record->detail2 = detail2;
        write_counters();
        record->error = error;
    }
    static const char labels[6][10] = {"stop: ", " step ", " kernel ", " node ", " details ", " "};
    const uint32_t numbers[6] = {error, counters.step, kernel, node, detail, detail2};
    for (int i = 0; i < 6; i++) {
        print(labels[i]);
        print_number(numbers[i]);
    }
    print("\n");
    set_state(STATE_RUN_TIME_EXCEPTION);
    for (;;) wait_for_interrupt();
}

/* registers: r0 to r7, status, sp, lr, pc. */
void spindl_fault(uint32_t error, const uint32_t *registers) {
    for (int i = 0; i < 8; i++) monitor->registers[i] = registers[i];
    monitor->status = registers[8];
    monitor->stack = registers[9];
    monitor->link = registers[11];
    stop(error, registers[11], registers[8]);
}

static int is_record(const spindl_core *at) {
    const uint32_t address = (uint32_t)(uintptr_t)at;
    return address >= 0x60000000u && address < 0x68000000u && !(address & 3) && at->magic == SPINDL_CORE_MAGIC &&
           at->version == SPINDL_CORE_VERSION;
}

/* Without SC&MP, core 0 of the chip sets the router's entries; with it the host does, so that SC&MP knows them. */
static void set_routes(void) {
    const spindl_route *routes = (const spindl_route *)(uintptr_t)record->routes;
    for (uint32_t i = 0; i < record->route_count; i++) {
        ROUTER_KEY(i) = routes[i].key;
        ROUTER_MASK(i) = routes[i].mask;
        ROUTER_ROUTE(i) = routes[i].route;
    }
    ROUTER_CONTROL = (ROUTER_CONTROL & 0xffffu) | 0x00400000u | 1u; /* wait 240 router cycles, as SC&MP has it */
}

static void sleep_until_command(void) {
    for (;;) {
        const uint32_t status = disable_interrupts();
        const int come = record->command != record->answer || signals & (1u << SIGNAL_EXIT);
        if (!come) wait_for_interrupt();
        restore_interrupts(status);
        if (come) return;
        answer_again();
    }
}

static void run(void) {
    const uint32_t sent = counters.packets_sent, repeated = counters.packets_repeated;
    uint32_t *words = (uint32_t *)&counters;
    for (uint32_t i = 0; i < sizeof counters / 4; i++) words[i] = 0;
    counters.packets_sent = sent;
    counters.packets_repeated = repeated;
    run_salt = (record->command >> 8) * 2654435761u;
    place = (struct place){record->index, record->members, record->wake, record->leader, record->chip, record->chips,
                           (volatile uint32_t *)(uintptr_t)record->meeting};
    time_out = record->time_out;
    set_state(STATE_RUNNING);
    ticking(1);
    check_overlays();
    walk();
    ticking(0);
    write_counters();
}

/* flags: SC&MP's on entry, wait bit << 8 | application; 0 without SC&MP. */
void spindl_main(uint32_t flags) {
    interrupts_start();
    monitor_start(flags);
    packets_start();
    dma_start();
    CYCLES_LOAD = 0xffffffff;
    CYCLES_CONTROL = TIMER_FREE_RUNNING;
    restore_interrupts(0x13); /* supervisor mode, all on */
    if (flags & 0x100) {
        while (!(signals & (1u << SIGNAL_START | 1u << SIGNAL_EXIT))) wait_for_interrupt();
    }
    spindl_core *at = (spindl_core *)(uintptr_t)monitor->user[0];
    if (!is_record(at)) stop(SPINDL_STOP_RECORD, (uint32_t)(uintptr_t)at, 0);
    record = at;
    set_text(record->text, record->text_bytes);
    if (record->image != image_version) stop(SPINDL_STOP_IMAGE, record->image, image_version);
    if (flags == 0 && record->route_count) set_routes();
    print("spindl is here\n");
    while (!(signals & (1u << SIGNAL_EXIT))) {
        set_state(STATE_PAUSED);
        sleep_until_command();
        const uint32_t command = record->command;
        if (command == record->answer) continue;
        if ((command & 255) == SPINDL_COMMAND_RUN) run();
        else if ((command & 255) == SPINDL_COMMAND_EXIT) signals |= 1u << SIGNAL_EXIT;
        else if ((command & 255) != SPINDL_COMMAND_NONE) stop(SPINDL_STOP_COMMAND, command, 0);
        record->answer = command;
    }
    set_state(STATE_FINISHED);
    for (;;) wait_for_interrupt();
}
