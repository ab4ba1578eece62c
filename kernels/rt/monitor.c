/* options: -Os -mthumb */
/* What SC&MP and host tools expect of an application core: its block, its mailbox, signals, SDP on port 0, text. */
#include "runtime.h"

#define SYSTEM_VARIABLES 0xe5007f00u
#define MONITOR_BLOCKS 0xe5007000u
#define VARIABLE(type, offset) (*(volatile type *)(uintptr_t)(SYSTEM_VARIABLES + (offset)))
enum { PHYSICAL_TO_VIRTUAL = 0x94, VIRTUAL_TO_PHYSICAL = 0xa8, CHIP_ADDRESS = 0, UNIX_TIME = 0x1c, MILLISECONDS = 0x18,
       FREE_MESSAGES = 0x68, MESSAGES_USED = 0x6c, MAILBOX_FLAGS = 0xec };
enum { LOCK_MESSAGES = 0, LOCK_MAILBOX = 1 };
enum { MAIL_NONE = 0, MAIL_MESSAGE = 1, MAIL_PING = 2, MAIL_SIGNAL = 3 };
enum { RTE_SOFTWARE = 13 };
enum { COMMAND_VERSION = 0, COMMAND_READ = 2, COMMAND_WRITE = 3, COMMAND_FILL = 5 };
enum { RESULT_OK = 0x80, RESULT_BAD_LENGTH = 0x81, RESULT_BAD_COMMAND = 0x83, RESULT_BAD_ARGUMENT = 0x84 };
enum { PORT_DOORBELL = 1, REPLY_WANTED = 0x87, NO_REPLY_WANTED = 0x07 };

typedef struct {
    uint32_t next;
    uint16_t length, checksum;
    uint8_t flags, tag, to_port, from_port;
    uint16_t to_chip, from_chip;
    uint16_t command, sequence;
    uint32_t arguments[3];
    uint8_t data[256];
} message;

volatile monitor_block *monitor;
volatile uint32_t signals;
uint32_t own_flag;
static uint32_t virtual_core;
static uint32_t text_at, text_space;

static void copy_bytes(void *to, const void *from, uint32_t count) {
    if ((((uintptr_t)to | (uintptr_t)from | count) & 3) == 0) {
        for (uint32_t i = 0; i < count / 4; i++) ((volatile uint32_t *)to)[i] = ((const volatile uint32_t *)from)[i];
    } else if ((((uintptr_t)to | (uintptr_t)from | count) & 1) == 0) {
        for (uint32_t i = 0; i < count / 2; i++) ((volatile uint16_t *)to)[i] = ((const volatile uint16_t *)from)[i];
    } else {
        for (uint32_t i = 0; i < count; i++) ((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)from)[i];
    }
}

void monitor_start(uint32_t flags) {
    static const char name[16] __attribute__((aligned(4))) = "spindl";
    const uint32_t physical = DMA_STATUS >> 24;
    /* Without SC&MP nobody has numbered the cores. */
    virtual_core = flags ? VARIABLE(uint8_t, PHYSICAL_TO_VIRTUAL + physical) : physical;
    own_flag = 1u << virtual_core;
    monitor = (volatile monitor_block *)(uintptr_t)(MONITOR_BLOCKS + 128 * virtual_core);
    volatile uint32_t *words = (volatile uint32_t *)monitor;
    for (uint32_t i = 0; i < 28; i++) words[i] = 0; /* all but the user registers */
    SYSTEM_LOWER = SYSTEM_PASSWORD | 1u << physical;
    monitor->physical = (uint8_t)physical;
    monitor->app_id = (uint8_t)flags;
    monitor->load_time = VARIABLE(uint32_t, UNIX_TIME);
    monitor->version = image_version;
    copy_bytes((void *)monitor->name, name, sizeof name);
    set_state(flags & 0x100 ? STATE_READY : STATE_INITIALISING);
}

void set_state(enum core_state state) {
    if (state == STATE_RUN_TIME_EXCEPTION) monitor->rte_code = RTE_SOFTWARE;
    monitor->state = (uint8_t)state;
}

/* Text as host tools read it: next buffer, two times, number of characters, characters. */
void set_text(uint32_t buffer, uint32_t bytes) {
    if (buffer < 0x60000000u || buffer >= 0x68000000u || buffer & 3 || bytes < 16) return;
    volatile uint32_t *head = (volatile uint32_t *)(uintptr_t)buffer;
    head[0] = head[3] = 0;
    head[1] = VARIABLE(uint32_t, UNIX_TIME);
    head[2] = VARIABLE(uint16_t, MILLISECONDS);
    text_at = buffer;
    text_space = bytes - 16;
    monitor->text = buffer;
}

void print(const char *text) {
    if (!text_at) return;
    volatile uint32_t *used = (volatile uint32_t *)(uintptr_t)(text_at + 12);
    volatile char *to = (volatile char *)(uintptr_t)(text_at + 16);
    uint32_t at = *used;
    while (*text && at < text_space) to[at++] = *text++;
    *used = at;
}

void print_number(uint32_t value) {
    char digits[11] = "0x";
    for (int i = 0; i < 8; i++) digits[2 + i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    digits[10] = 0;
    print(digits);
}

static void take(uint32_t lock) {
    while (SYSTEM_TAKE_LOCK(lock) >> 31) {}
}

static void free_lock(uint32_t lock) {
    (void)SYSTEM_FREE_LOCK(lock);
}

static void free_message(message *of) {
    take(LOCK_MESSAGES);
    of->next = VARIABLE(uint32_t, FREE_MESSAGES);
    VARIABLE(uint32_t, FREE_MESSAGES) = (uint32_t)(uintptr_t)of;
    VARIABLE(uint16_t, MESSAGES_USED)--;
    free_lock(LOCK_MESSAGES);
}

static void send_message(message *m) {
    for (uint32_t tries = 0; monitor->command_out != MAIL_NONE; tries++) {
        if (tries > 100000) { /* SC&MP does not take the message before */
            free_message(m);
            return;
        }
    }
    monitor->message_out = (uint32_t)(uintptr_t)m;
    monitor->command_out = MAIL_MESSAGE;
    take(LOCK_MAILBOX);
    const uint8_t waiting = VARIABLE(uint32_t, MAILBOX_FLAGS) != 0;
    VARIABLE(uint32_t, MAILBOX_FLAGS) |= 1u << virtual_core;
    free_lock(LOCK_MAILBOX);
    if (!waiting) SYSTEM_RAISE = SYSTEM_PASSWORD | 1u << VARIABLE(uint8_t, VIRTUAL_TO_PHYSICAL);
}

/* Returns the bytes of the answer behind `sequence`; sets m->command to the result. */
static uint32_t carry_out(message *m) {
    const uint32_t command = m->command, address = m->arguments[0], count = m->arguments[1];
    const uint32_t unit = 1u << (m->arguments[2] & 3);
    const int length_ok = count <= 256 && unit < 8;
    void *at = (void *)(uintptr_t)address;
    m->command = RESULT_OK;
    switch (command) {
        case COMMAND_VERSION: {
            static const char text[24] __attribute__((aligned(4))) = "spindl/SpiNNaker\0" "1.0.0";
            m->arguments[0] = (uint32_t)VARIABLE(uint16_t, CHIP_ADDRESS) << 16 | (uint32_t)monitor->physical << 8 | virtual_core;
            m->arguments[1] = 0xffff0000u | 256;
            m->arguments[2] = monitor->load_time;
            copy_bytes(m->data, text, sizeof text);
            return 12 + 23;
        }
        case COMMAND_READ:
            if (!length_ok) break;
            copy_bytes(m->arguments, at, count);
            return count;
        case COMMAND_WRITE:
            if (!length_ok) break;
            copy_bytes(at, m->data, count);
            return 0;
        case COMMAND_FILL: /* address, word, bytes */
            if ((address | m->arguments[2]) & 3) {
                m->command = RESULT_BAD_ARGUMENT;
                return 0;
            }
            for (uint32_t i = 0; i < m->arguments[2]; i += 4) *(volatile uint32_t *)(uintptr_t)(address + i) = count;
            return 0;
        default: m->command = RESULT_BAD_COMMAND; return 0;
    }
    m->command = RESULT_BAD_LENGTH;
    return 0;
}

static void take_message(message *m) {
    const uint32_t port = m->to_port >> 5;
    uint32_t bytes = 0;
    if (port == 0) {
        bytes = carry_out(m);
    } else if (port == PORT_DOORBELL && record) {
        record->command = m->arguments[0];
        m->command = RESULT_OK;
    } else {
        m->flags = NO_REPLY_WANTED;
    }
    if (m->flags != REPLY_WANTED) {
        free_message(m);
        return;
    }
    const uint8_t to = m->to_port;
    const uint16_t chip = m->to_chip;
    m->flags = NO_REPLY_WANTED;
    m->to_port = m->from_port;
    m->from_port = to;
    m->to_chip = m->from_chip;
    m->from_chip = chip;
    m->length = (uint16_t)(8 + 4 + bytes);
    send_message(m);
}

void monitor_interrupt(void) {
    SYSTEM_LOWER = SYSTEM_PASSWORD | 1u << monitor->physical;
    const uint8_t command = monitor->command_in;
    const uint32_t mail = monitor->message_in;
    if (command == MAIL_NONE) return;
    if (command == MAIL_PING) monitor->message_in = (uint32_t)(uintptr_t)&monitor_interrupt;
    monitor->command_in = MAIL_NONE;
    if (command == MAIL_SIGNAL) signals |= 1u << (mail & 31);
    else if (command == MAIL_MESSAGE) take_message((message *)(uintptr_t)mail);
}
