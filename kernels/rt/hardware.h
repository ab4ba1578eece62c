/* Registers of a SpiNNaker chip as one core sees them (datasheet v2.02; facts verified against SC&MP's own use). */
#ifndef SPINDL_HARDWARE_H
#define SPINDL_HARDWARE_H

#include <stdint.h>

typedef volatile uint32_t spindl_register;
#define SPINDL_REGISTER(address) (*(spindl_register *)(uintptr_t)(address))

/* Communications controller, private to the core. */
#define COMMS_CONTROL SPINDL_REGISTER(0x10000000)
#define COMMS_SEND_PAYLOAD SPINDL_REGISTER(0x10000004)
#define COMMS_SEND_KEY SPINDL_REGISTER(0x10000008)
#define COMMS_STATUS SPINDL_REGISTER(0x1000000c)
#define COMMS_PAYLOAD SPINDL_REGISTER(0x10000010)
#define COMMS_KEY SPINDL_REGISTER(0x10000014) /* reading it takes the packet */
#define COMMS_NOT_FULL (1u << 28)
#define COMMS_RECEIVED (1u << 31)

/* Timers, private to the core: 1 ticks, 2 counts cycles. */
#define TICK_LOAD SPINDL_REGISTER(0x11000000)
#define TICK_CONTROL SPINDL_REGISTER(0x11000008)
#define TICK_CLEAR SPINDL_REGISTER(0x1100000c)
#define CYCLES_LOAD SPINDL_REGISTER(0x11000020)
#define CYCLES_COUNT SPINDL_REGISTER(0x11000024)
#define CYCLES_CONTROL SPINDL_REGISTER(0x11000028)
#define TIMER_PERIODIC_INTERRUPT 0xe2u
#define TIMER_FREE_RUNNING 0x82u
#define CYCLES_PER_MILLISECOND 200000u

/* Vectored interrupt controller, private to the core. */
#define VIC_RAW SPINDL_REGISTER(0x1f000008)
#define VIC_SELECT SPINDL_REGISTER(0x1f00000c)
#define VIC_ENABLE SPINDL_REGISTER(0x1f000010)
#define VIC_DISABLE SPINDL_REGISTER(0x1f000014)
#define VIC_SOFT_CLEAR SPINDL_REGISTER(0x1f00001c)
#define VIC_ADDRESS SPINDL_REGISTER(0x1f000030)
#define VIC_DEFAULT SPINDL_REGISTER(0x1f000034)
#define VIC_VECTOR(slot) SPINDL_REGISTER(0x1f000100 + 4 * (slot))
#define VIC_SLOT(slot) SPINDL_REGISTER(0x1f000200 + 4 * (slot))
enum { SOURCE_TICK = 4, SOURCE_PACKET = 6, SOURCE_DMA = 12, SOURCE_DMA_ERROR = 13, SOURCE_CORE = 18 };

/* DMA controller, private to the core: one transfer runs, one waits. */
#define DMA_SYSTEM SPINDL_REGISTER(0x30000004)
#define DMA_TCM SPINDL_REGISTER(0x30000008)
#define DMA_START SPINDL_REGISTER(0x3000000c)
#define DMA_CONTROL SPINDL_REGISTER(0x30000010)
#define DMA_STATUS SPINDL_REGISTER(0x30000014)
#define DMA_GLOBAL SPINDL_REGISTER(0x30000018)
#define DMA_TO_SYSTEM (1u << 19)
#define DMA_BURSTS (1u << 24 | 4u << 21) /* 16 beats of 8 bytes */
#define DMA_CLEAR_DONE 8u
#define DMA_CLEAR_ERROR 4u
#define DMA_DONE_BIT (1u << 10)
#define DMA_DONE_TWICE_BIT (1u << 11)
#define DMA_INTERRUPTS (1u << 10 | 1u << 11 | 1u << 15 | 1u << 16)

/* System controller and router, shared by the chip. */
#define SYSTEM_RAISE SPINDL_REGISTER(0xe2000008)
#define SYSTEM_LOWER SPINDL_REGISTER(0xe200000c)
#define SYSTEM_SET_FLAGS SPINDL_REGISTER(0xe2000058) /* set, and read; bit per virtual core, by SARK's convention */
#define SYSTEM_CLEAR_FLAGS SPINDL_REGISTER(0xe200005c)
#define SYSTEM_PASSWORD 0x5ec00000u
#define SYSTEM_TAKE_LOCK(lock) SPINDL_REGISTER(0xe2000100 + 4 * (lock))
#define SYSTEM_FREE_LOCK(lock) SPINDL_REGISTER(0xe2000180 + 4 * (lock))
#define ROUTER_CONTROL SPINDL_REGISTER(0xe1000000)
#define ROUTER_ROUTE(entry) SPINDL_REGISTER(0xe1004000 + 4 * (entry))
#define ROUTER_KEY(entry) SPINDL_REGISTER(0xe1008000 + 4 * (entry))
#define ROUTER_MASK(entry) SPINDL_REGISTER(0xe100c000 + 4 * (entry))

/* Masks IRQ and FIQ; either still ends wait_for_interrupt. Returns the status to give back to restore_interrupts. */
#ifdef __thumb__ /* Thumb has no such instructions: functions of start.S */
void wait_for_interrupt(void);
uint32_t disable_interrupts(void);
void restore_interrupts(uint32_t status);
#else
static inline void wait_for_interrupt(void) {
    __asm__ volatile("mcr p15, 0, %0, c7, c0, 4" ::"r"(0) : "memory");
}

static inline uint32_t disable_interrupts(void) {
    uint32_t status, masked;
    __asm__ volatile("mrs %0, cpsr\n\torr %1, %0, #0xc0\n\tmsr cpsr_c, %1" : "=&r"(status), "=r"(masked)::"memory");
    return status;
}

static inline void restore_interrupts(uint32_t status) {
    __asm__ volatile("msr cpsr_c, %0" ::"r"(status) : "memory");
}
#endif

/* Counts up, 2^32 cycles around. */
static inline uint32_t cycle_count(void) {
    return 0u - CYCLES_COUNT;
}

#endif
