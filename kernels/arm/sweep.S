@ The inner loops of contractions. What a panel is, and which register holds what: sweep.h.
#include "sweep.h"

    .syntax unified
    .cpu arm968e-s
    .arm

@ Loads stand where their results are not used by the next instruction.

@ NT: both operands lie in pairs along the sum. b is a row of pairs for each column, the second one at lr + 4.
.macro nt_step
    ldr r2, [sp], #4
    ldr r3, [sp, lr]
    smlabb r4, r0, r2, r4
    ldr r1, [r12], #4
    smlabb r5, r0, r3, r5
    smlatt r4, r0, r2, r4
    smlatt r5, r0, r3, r5
    ldr r0, [r12], #4
    smlabb r6, r1, r2, r6
    smlabb r7, r1, r3, r7
    smlatt r6, r1, r2, r6
    smlatt r7, r1, r3, r7
    ldr r1, [r12], #4
    smlabb r8, r0, r2, r8
    smlabb r9, r0, r3, r9
    smlatt r8, r0, r2, r8
    smlatt r9, r0, r3, r9
    ldr r0, [r12], #4
    smlabb r10, r1, r2, r10
    smlabb r11, r1, r3, r11
    smlatt r10, r1, r2, r10
    smlatt r11, r1, r3, r11
.endm

@ NN: the panel lies in pairs along the sum, b in pairs along the columns; one word of b for each place of the sum.
.macro nn_step
    ldr r2, [sp], lr
    ldr r3, [sp], lr
    smlabb r4, r0, r2, r4
    ldr r1, [r12], #4
    smlabt r5, r0, r2, r5
    smlatb r4, r0, r3, r4
    smlatt r5, r0, r3, r5
    ldr r0, [r12], #4
    smlabb r6, r1, r2, r6
    smlabt r7, r1, r2, r7
    smlatb r6, r1, r3, r6
    smlatt r7, r1, r3, r7
    ldr r1, [r12], #4
    smlabb r8, r0, r2, r8
    smlabt r9, r0, r2, r9
    smlatb r8, r0, r3, r8
    smlatt r9, r0, r3, r9
    ldr r0, [r12], #4
    smlabb r10, r1, r2, r10
    smlabt r11, r1, r2, r11
    smlatb r10, r1, r3, r10
    smlatt r11, r1, r3, r11
.endm

@ TN: both lie in pairs along rows and columns: two words of the panel and one of b for each place of the sum.
@ The sums lie as 2 columns of 4, so that the results of a column are neighbours: "rows" of the ends are half columns.
.macro tn_step
    ldr r2, [sp], lr
    ldr r1, [r12], #4
    smlabb r4, r0, r2, r4
    smlatb r5, r0, r2, r5
    smlabt r8, r0, r2, r8
    smlatt r9, r0, r2, r9
    ldr r0, [r12], #4
    smlabb r6, r1, r2, r6
    smlatb r7, r1, r2, r7
    smlabt r10, r1, r2, r10
    smlatt r11, r1, r2, r11
.endm

.macro loop name, step, count
    .section .text.sweep_\name, "ax"
    .p2align 2
    .global spindl_sweep_\name
spindl_sweep_\name:
    .rept \count
    \step
    .endr
    cmp r0, #SPINDL_SENTINEL
    bne spindl_sweep_\name
    ldr pc, [r12], #4
.endm

    loop nt, nt_step, SWEEP_PAIRS
    loop nn, nn_step, SWEEP_PAIRS
    loop tn, tn_step, SWEEP_SINGLES

@ r3 = OR of v ^ (v >> 31) over the sums; a second look unless that is at most the threshold. r12 is the sweep.
.macro check
    eor r3, r4, r4, asr #31
    ldr r2, [r12, #SWEEP_THRESHOLD]
    .irp sum, r5, r6, r7, r8, r9, r10, r11
    eor r0, \sum, \sum, asr #31
    orr r3, r3, r0
    .endr
    cmp r3, r2
    blgt second_look
.endm

@ sp = where this block's results go, and the next block's place is kept; r3 = shift.
.macro place
    ldr sp, [r12, #SWEEP_OUT]
    ldr r0, [r12, #SWEEP_OUT_STEP]
    ldr r3, [r12, #SWEEP_SHIFT]
    add r0, sp, r0
    str r0, [r12, #SWEEP_OUT]
.endm

.macro round16 first, second, row, relu
    .if \row < 3
    ldr lr, [r12, #SWEEP_NEXT_ROW + 4 * \row]
    .endif
    mov \first, \first, asr r3
    mov \second, \second, asr r3
    .if \relu
    bic \first, \first, \first, asr #31
    bic \second, \second, \second, asr #31
    .endif
    strh \first, [sp], #2
    .if \row < 3
    strh \second, [sp], lr
    .else
    strh \second, [sp]
    .endif
.endm

.macro end_round relu
    check
    place
    round16 r4, r5, 0, \relu
    round16 r6, r7, 1, \relu
    round16 r8, r9, 2, \relu
    round16 r10, r11, 3, \relu
.endm

    .section .text.sweep_ends, "ax"
    .p2align 2
    .global spindl_end_relu
spindl_end_relu:
    end_round 1
    b next_block

.macro add32 first, second, row
    ldmia sp, {r0, r1}
    mov \first, \first, asr r3
    mov \second, \second, asr r3
    add r0, r0, \first
    .if \row < 3
    ldr lr, [r12, #SWEEP_NEXT_ROW + 4 * \row]
    .endif
    add r1, r1, \second
    stmia sp, {r0, r1}
    .if \row < 3
    add sp, sp, lr
    .endif
.endm

    .global spindl_end_add32
spindl_end_add32:
    check
    place
    add32 r4, r5, 0
    add32 r6, r7, 1
    add32 r8, r9, 2
    add32 r10, r11, 3
    b next_block

.macro add64 first, second, row
    ldmia sp, {r0-r3}
    .if \row < 3
    ldr lr, [r12, #SWEEP_NEXT_ROW + 4 * \row]
    .endif
    adds r0, r0, \first
    adc r1, r1, \first, asr #31
    adds r2, r2, \second
    adc r3, r3, \second, asr #31
    stmia sp, {r0-r3}
    .if \row < 3
    add sp, sp, lr
    .endif
.endm

    .global spindl_end_add64
spindl_end_add64:
    place
    add64 r4, r5, 0
    add64 r6, r7, 1
    add64 r8, r9, 2
    add64 r10, r11, 3
    b next_block

@ Back to the end that asks if the exact sums, without the half, have no more bits than the largest seen.
second_look:
    ldr r1, [r12, #SWEEP_HALF]
    ldr r2, [r12, #SWEEP_LARGEST]
    subs r3, r4, r1
    rsbmi r3, r3, #0
    .irp sum, r5, r6, r7, r8, r9, r10, r11
    subs r0, \sum, r1
    rsbmi r0, r0, #0
    orr r3, r3, r0
    .endr
    cmp r3, r2
    bxls lr

    .global spindl_end_slow
spindl_end_slow:
    add r0, r12, #SWEEP_SUMS
    stmia r0, {r4-r11}
    ldr sp, [r12, #SWEEP_STACK]
    mov r4, r12
    mov r0, r12
    bl spindl_sweep_slow
    mov r12, r4
    b next_block

@ bool spindl_sweep_run(spindl_sweep *)
    .global spindl_sweep_run
    .type spindl_sweep_run, %function
spindl_sweep_run:
    push {r4-r11, lr}
    mov r12, r0
    sub sp, sp, #4
    str sp, [r12, #SWEEP_STACK]
    mov r1, #0
    msr cpsr_f, r1
    b next_block

    .global spindl_end_round
spindl_end_round:
    end_round 0
next_block:
    ldmia r12, {r0-r2, sp, lr}
    cmp r1, r2
    beq done
    ldmia r1!, {r4, r5}
    add r0, sp, r0
    str r0, [r12, #SWEEP_B]
    str r1, [r12, #SWEEP_START]
    ldr r12, [r12, #SWEEP_PANEL]
    mov r6, r4
    mov r7, r5
    mov r8, r4
    mov r9, r5
begin_run:
    ldr r1, [r12], #4
    ldr r0, [r12], #4
    mov r10, r4
    mov r11, r5
    bx r1

    .global spindl_next_run
spindl_next_run:
    ldmia r12!, {r1, r2}
    ldr r0, [r12], #4
    add sp, sp, r1
    bx r2

done:
    ldr sp, [r12, #SWEEP_STACK]
    mrs r0, cpsr
    mov r0, r0, lsr #27
    and r0, r0, #1
    eor r0, r0, #1
    add sp, sp, #4
    pop {r4-r11, pc}
