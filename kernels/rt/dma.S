/* The DMA engine's queue, carried out row by row; dma.c and runtime.h say what the fields of `engine` are. */
    .syntax unified
    .cpu arm968e-s
    .arm
    .text

    .equ ROWS, 0
    .equ SYSTEM, 4
    .equ TCM, 8
    .equ SYSTEM_PITCH, 12
    .equ TCM_PITCH, 16
    .equ DESCRIPTION, 20
    .equ IN_ENGINE, 24
    .equ LEFT, 28
    .equ NEXT, 32
    .equ TAKEN, 36
    .equ QUEUED, 40
    .equ ROWS_DONE, 44
    .equ QUEUE, 48

    /* Registers of the controller, from r12 = 0x30000000. */
    .equ DMA_SYSTEM, 0x04
    .equ DMA_TCM, 0x08
    .equ DMA_START, 0x0c
    .equ DMA_CONTROL, 0x10
    .equ DMA_STATUS, 0x14
    .equ CLEAR_DONE, 8
    .equ DONE_TWICE, 1 << 11
    .equ BURSTS, 1 << 24 | 4 << 21  /* 16 beats of 8 bytes */
    .equ TO_SYSTEM, 1 << 19

    .global enter_dma
    .type enter_dma, %function
enter_dma:
    sub lr, lr, #4
    push {r0-r3, r12, lr}
    mov r12, #0x30000000
    ldr r0, =engine
    ldr r2, [r12, #DMA_STATUS]
    mov r3, #CLEAR_DONE
    str r3, [r12, #DMA_CONTROL]
    ldr r1, [r0, #IN_ENGINE]
    tst r2, #DONE_TWICE
    ldr r2, [r0, #ROWS_DONE]
    strne r3, [r12, #DMA_CONTROL]
    subne r1, r1, #1
    addne r2, r2, #1
    sub r1, r1, #1
    add r2, r2, #1
    str r2, [r0, #ROWS_DONE]
    bl feed
    mov r0, #0x1f000000
    str r0, [r0, #0x30]             /* this interrupt has been served */
    ldm sp!, {r0-r3, r12, pc}^

    /* void dma_feed(void), with interrupts masked: gives the engine what it has room for. */
    .global dma_feed
    .type dma_feed, %function
dma_feed:
    mov r12, #0x30000000
    ldr r0, =engine
    ldr r1, [r0, #IN_ENGINE]

    /* r0 engine, r1 rows in it, r12 controller; uses r2, r3. */
feed:
    cmp r1, #2
    bhs full
row:
    ldr r2, [r0, #ROWS]
    ldr r3, [r0, #SYSTEM_PITCH]
    subs r2, r2, #1
    blo next_transfer
    str r2, [r0, #ROWS]
    ldr r2, [r0, #SYSTEM]
    add r1, r1, #1
    str r2, [r12, #DMA_SYSTEM]
    add r2, r2, r3
    str r2, [r0, #SYSTEM]
    ldr r2, [r0, #TCM]
    ldr r3, [r0, #TCM_PITCH]
    str r2, [r12, #DMA_TCM]
    add r2, r2, r3
    ldr r3, [r0, #DESCRIPTION]
    str r2, [r0, #TCM]
    str r3, [r12, #DMA_START]
    cmp r1, #2
    blo row
full:
    str r1, [r0, #IN_ENGINE]
    bx lr

next_transfer:
    ldr r2, [r0, #LEFT]
    subs r2, r2, #1
    blo next_range
    str r2, [r0, #LEFT]
    ldr r2, [r0, #NEXT]             /* spindl_schedule_transfer */
    ldr r3, [r2], #4
    str r3, [r0, #SYSTEM]
    ldr r3, [r2], #4
    str r3, [r0, #TCM]
    ldr r3, [r2], #4                /* bytes of a row */
    orr r3, r3, #BURSTS
    str r3, [r0, #DESCRIPTION]
    ldrh r3, [r2], #2
    str r3, [r0, #ROWS]
    ldrh r3, [r2], #2               /* direction */
    cmp r3, #0
    ldrne r3, [r0, #DESCRIPTION]
    orrne r3, r3, #TO_SYSTEM
    strne r3, [r0, #DESCRIPTION]
    ldr r3, [r2], #4
    str r3, [r0, #SYSTEM_PITCH]
    ldr r3, [r2], #4
    str r3, [r0, #TCM_PITCH]
    str r2, [r0, #NEXT]
    b row
next_range:
    ldr r2, [r0, #TAKEN]
    ldr r3, [r0, #QUEUED]
    cmp r2, r3
    beq full
    and r3, r2, #15
    add r2, r2, #1
    str r2, [r0, #TAKEN]
    add r3, r0, r3, lsl #3
    ldr r2, [r3, #QUEUE]
    str r2, [r0, #NEXT]
    ldr r2, [r3, #QUEUE + 4]
    str r2, [r0, #LEFT]
    b next_transfer
    .ltorg
