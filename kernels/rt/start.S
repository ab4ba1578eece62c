/* Vectors, start, faults. The image begins here, at address 0; SC&MP enters with r0 = flags << 8 | application. */
    .syntax unified
    .cpu arm968e-s
    .arm

    .equ SUPERVISOR, 0xd3
    .equ INTERRUPT, 0xd2
    .equ FAST, 0xd1
    .equ ABORT, 0xd7
    .equ UNDEFINED, 0xdb
    .equ CONTROL, 0x1f7e            /* low vectors, both memories on, unaligned accesses abort */

    /* Fields of `engine`. */
    .equ SYSTEM_PITCH, 12
    .equ TCM_PITCH, 16
    .equ ROWS, 20
    .equ ROWS_DONE, 24

    .section .vectors, "ax"
    .global start
start:
    b begin
    b undefined
    b supervisor_call
    b prefetch_abort
    b data_abort
    .global image_version
image_version:
    .word 0                         /* the builder puts the image's version here */
    ldr pc, [pc, #-0xff0]           /* the VIC names the handler */
    /* Fast: the DMA engine asks for the next row, once for each that is done; or packets have come. As short as can be, as
     * kernels pay for it; dma.S has the rest and says what the fields of `engine` are. Uses the mode's own registers. */
    mov r8, #0x30000000             /* DMA controller */
    ldr r9, [r8, #0x14]             /* status */
    ldr r12, =engine
    tst r9, #1 << 10                /* done */
    beq enter_packets
    mov r9, #8
    str r9, [r8, #0x10]             /* one has been served */
    ldr r9, [r12, #ROWS]
    ldr r10, [r12, #ROWS_DONE]
    subs r9, r9, #1
    add r10, r10, #1
    str r10, [r12, #ROWS_DONE]
    blo dma_next
    str r9, [r12, #ROWS]
    ldm r12, {r9-r11}
    stmib r8, {r9-r11}              /* addresses and description: it starts */
    ldr r8, [r12, #SYSTEM_PITCH]
    ldr r11, [r12, #TCM_PITCH]
    add r9, r9, r8
    add r10, r10, r11
    stm r12, {r9, r10}
    subs pc, lr, #4
    .ltorg
    .global overlay_places
overlay_places:
    .space 96                       /* the builder puts offset, bytes and CRC of each overlay here, from 1 on */

    .macro handler name, function
    .global \name
\name:
    sub lr, lr, #4
    push {r0-r3, r12, lr}
    bl \function
    mov r0, #0x1f000000
    str r0, [r0, #0x30]             /* this interrupt has been served */
    ldm sp!, {r0-r3, r12, pc}^
    .endm
    handler enter_dma_error, dma_error_interrupt
    handler enter_monitor, monitor_interrupt
    handler enter_tick, tick_interrupt

    .global enter_nothing           /* the VIC sometimes has no reason */
enter_nothing:
    sub lr, lr, #4
    push {r0, lr}
    mov r0, #0x1f000000
    str r0, [r0, #0x30]
    ldm sp!, {r0, pc}^

    /* For callers in Thumb; hardware.h has the same as inline functions. */
    .global wait_for_interrupt
    .type wait_for_interrupt, %function
wait_for_interrupt:
    mcr p15, 0, r0, c7, c0, 4
    bx lr
    .global disable_interrupts
    .type disable_interrupts, %function
disable_interrupts:
    mrs r0, cpsr
    orr r1, r0, #0xc0
    msr cpsr_c, r1
    bx lr
    .global restore_interrupts
    .type restore_interrupts, %function
restore_interrupts:
    msr cpsr_c, r0
    bx lr

begin:
    ldr r1, =CONTROL
    mcr p15, 0, r1, c1, c0, 0
    mov r4, r0
    ldr r1, =data_start
    ldr r2, =zero_start
    ldr r3, =zero_end
    mov r0, #0
1:  cmp r2, r3
    strlo r0, [r2], #4
    blo 1b
    msr cpsr_c, #INTERRUPT
    ldr sp, =interrupt_stack
    msr cpsr_c, #FAST
    ldr sp, =fast_stack
    msr cpsr_c, #ABORT
    ldr sp, =fault_stack
    msr cpsr_c, #UNDEFINED
    ldr sp, =fault_stack
    msr cpsr_c, #SUPERVISOR
    ldr sp, =main_stack
    mov r0, r4
    bl spindl_main
2:  mcr p15, 0, r0, c7, c0, 4
    b 2b

undefined:
    ldr sp, =fault_stack
    push {r0}
    mov r0, #80                     /* SPINDL_STOP_UNDEFINED */
    b fault
supervisor_call:
    ldr sp, =fault_stack
    push {r0}
    mov r0, #80
    b fault
prefetch_abort:
    ldr sp, =fault_stack
    push {r0}
    mov r0, #81                     /* SPINDL_STOP_PREFETCH */
    b fault
data_abort:
    ldr sp, =fault_stack
    sub lr, lr, #4
    push {r0}
    mov r0, #82                     /* SPINDL_STOP_DATA */
fault:
    /* r0: why; on the stack: r0 of the program. spindl_fault(why, registers[16]) with r0-r7, cpsr, sp, lr, pc. */
    sub sp, sp, #44
    stm sp, {r0-r7}                 /* r0 is set right below */
    ldr r3, [sp, #44]
    str r3, [sp]
    sub r3, lr, #4
    str r3, [sp, #44]               /* pc */
    mrs r1, spsr
    str r1, [sp, #32]
    mrs r2, cpsr
    and r1, r1, #0x1f
    orr r1, r1, #0xc0
    add r3, sp, #36
    msr cpsr_c, r1                  /* the mode that was interrupted, for its sp and lr */
    str sp, [r3]
    str lr, [r3, #4]
    msr cpsr_c, r2
    mov r1, sp
    msr cpsr_c, #SUPERVISOR         /* the program is over: its stack is free */
    ldr sp, =main_stack
    bl spindl_fault
    .ltorg
