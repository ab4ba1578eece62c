/* The DMA engine's queue, carried out row by row: what the fast interrupt in start.S leaves to do when a transfer has no
 * row left. dma.c and runtime.h say what the fields of `engine` are. All of it runs in the fast interrupt's mode: r8 and
 * up are its own. */
    .syntax unified
    .cpu arm968e-s
    .arm
    .text

    .equ SYSTEM, 0
    .equ DESCRIPTION, 8
    .equ SYSTEM_PITCH, 12
    .equ ROWS, 20
    .equ IN_ENGINE, 28
    .equ LEFT, 32
    .equ NEXT, 36
    .equ TAKEN, 40
    .equ QUEUED, 44
    .equ QUEUE, 48

    .equ BURSTS, 1 << 24 | 4 << 21  /* 16 beats of 8 bytes */
    .equ TO_SYSTEM, 1 << 19
    .equ FAST, 0xd1

    .global dma_next
    .type dma_next, %function
dma_next:                           /* r8 controller, r12 engine: a row is done, and its transfer has none left */
    push {lr}
    ldr r9, [r12, #IN_ENGINE]
    sub r9, r9, #1
    str r9, [r12, #IN_ENGINE]
    bl feed
    pop {lr}
    subs pc, lr, #4

    /* void dma_feed(void), with interrupts masked: gives the engine what it has room for. */
    .global dma_feed
    .type dma_feed, %function
dma_feed:
    mrs r0, cpsr
    msr cpsr_c, #FAST
    mov r8, #0x30000000
    ldr r12, =engine
    bl feed
    msr cpsr_c, r0
    bx lr

row:
    str r9, [r12, #ROWS]
    ldm r12, {r9-r11}
    stmib r8, {r9-r11}
    ldr r11, [r12, #SYSTEM_PITCH]
    add r9, r9, r11
    ldr r11, [r12, #SYSTEM_PITCH + 4]
    add r10, r10, r11
    stm r12, {r9, r10}
    ldr r9, [r12, #IN_ENGINE]
    add r9, r9, #1
    str r9, [r12, #IN_ENGINE]
feed:
    ldr r9, [r12, #IN_ENGINE]
    cmp r9, #2
    bxhs lr
next_row:
    ldr r9, [r12, #ROWS]
    subs r9, r9, #1
    bhs row
    ldr r9, [r12, #LEFT]
    subs r9, r9, #1
    blo next_range
next_transfer:                      /* r9 transfers are left behind it */
    str r9, [r12, #LEFT]
    ldr r11, [r12, #NEXT]           /* spindl_schedule_transfer */
    ldr r9, [r11], #4
    ldr r10, [r11], #4
    stm r12, {r9, r10}              /* SYSTEM and TCM */
    ldr r9, [r11], #4               /* bytes of a row */
    ldr r10, [r11], #4              /* direction << 16 | rows */
    orr r9, r9, #BURSTS
    cmp r10, #1 << 16
    orrhs r9, r9, #TO_SYSTEM
    str r9, [r12, #DESCRIPTION]
    mov r10, r10, lsl #16
    mov r10, r10, lsr #16
    str r10, [r12, #ROWS]
    ldr r9, [r11], #4
    ldr r10, [r11], #4
    str r9, [r12, #SYSTEM_PITCH]
    str r10, [r12, #SYSTEM_PITCH + 4]
    str r11, [r12, #NEXT]
    b next_row
next_range:
    ldr r9, [r12, #TAKEN]
    ldr r10, [r12, #QUEUED]
    cmp r9, r10
    bxeq lr
    and r10, r9, #15
    add r9, r9, #1
    str r9, [r12, #TAKEN]
    add r10, r12, r10, lsl #3
    ldr r9, [r10, #QUEUE]
    str r9, [r12, #NEXT]
    ldr r9, [r10, #QUEUE + 4]
    subs r9, r9, #1
    b next_transfer
    .ltorg
