@ What moves operands into panels: sweep.h.
#include "sweep.h"

    .syntax unified
    .cpu arm968e-s
    .arm

@ uint32_t *spindl_fill(uint32_t *to, uint32_t words, uint32_t value)
    .section .text.fill, "ax"
    .p2align 2
    .global spindl_fill
    .type spindl_fill, %function
spindl_fill:
    push {r4, lr}
    mov r3, r2
    mov r4, r2
    mov r12, r2
    subs r1, r1, #16
    bmi 2f
1:  stmia r0!, {r2, r3, r4, r12}
    stmia r0!, {r2, r3, r4, r12}
    stmia r0!, {r2, r3, r4, r12}
    stmia r0!, {r2, r3, r4, r12}
    subs r1, r1, #16
    bpl 1b
2:  adds r1, r1, #16
    beq 4f
3:  str r2, [r0], #4
    subs r1, r1, #1
    bne 3b
4:  pop {r4, pc}

@ uint32_t spindl_gather_rows(uint32_t *to, uint32_t words, const spindl_pixel pixels[4], const spindl_tap *tap,
@                             const spindl_bounds *bounds)
.macro source
    ldmia r2!, {r7-r9}
    add r2, r2, #4
    add r7, r7, r4
    cmp r7, r10
    addlo r8, r8, r5
    cmplo r8, r11
    addlo r9, r9, r6
    addlo lr, lr, #1
    movhs r9, r12
    str r9, [sp, #-4]!
.endm

@ A word of each source. Two sets of registers, so that no word is stored right after it was loaded.
.macro load a, b, c, d
    ldr \a, [r9], #4
    ldr \b, [r8], #4
    ldr \c, [r3], #4
    ldr \d, [r2], #4
.endm

    .section .text.gather_rows, "ax"
    .p2align 2
    .global spindl_gather_rows
    .type spindl_gather_rows, %function
spindl_gather_rows:
    push {r4-r11, lr}
    ldr r12, [sp, #36]
    ldmia r3, {r4-r6}
    mov lr, #0
    ldmia r12, {r10-r12}
    .rept 4
    source
    .endr
    pop {r2, r3, r8, r9}
    push {lr}
    subs r1, r1, #8
    bmi 2f
1:  load r4, r5, r6, r7
    .rept 3
    ldr r10, [r9], #4
    stmia r0!, {r4-r7}
    ldr r11, [r8], #4
    ldr r12, [r3], #4
    ldr lr, [r2], #4
    ldr r4, [r9], #4
    stmia r0!, {r10-r12, lr}
    ldr r5, [r8], #4
    ldr r6, [r3], #4
    ldr r7, [r2], #4
    .endr
    ldr r10, [r9], #4
    stmia r0!, {r4-r7}
    ldr r11, [r8], #4
    ldr r12, [r3], #4
    ldr lr, [r2], #4
    subs r1, r1, #8
    stmia r0!, {r10-r12, lr}
    bpl 1b
2:  adds r1, r1, #8
    beq 4f
3:  load r4, r5, r6, r7
    subs r1, r1, #1
    stmia r0!, {r4-r7}
    bne 3b
4:  pop {r0}
    pop {r4-r11, pc}

@ uint32_t *spindl_gather_pairs(uint32_t *to, const spindl_pairs *from)
.macro pairs
    ldr r7, [r1, #4]
    ldr r2, [r1], r9
    ldr r12, [r1, #4]
    ldr r11, [r1], r9
    stmia r0!, {r2, r7, r11, r12}
.endm

.macro zero_pairs count
    movs lr, \count
    beq 2f
1:  stmia r0!, {r2, r7}
    subs lr, lr, #1
    bne 1b
2:
.endm

    .section .text.gather_pairs, "ax"
    .p2align 2
    .global spindl_gather_pairs
    .type spindl_gather_pairs, %function
spindl_gather_pairs:
    push {r4-r11, lr}
    ldmia r1, {r3-r6, r8-r10} @ rows, low, count, high, from, pitch, row_pitch
5:  mov r2, #0
    mov r7, #0
    zero_pairs r4
    mov r1, r8
    add r8, r8, r10
    subs lr, r5, #8
    bmi 2f
1:  .rept 4
    pairs
    .endr
    subs lr, lr, #8
    bpl 1b
2:  adds lr, lr, #8
    beq 4f
3:  ldr r7, [r1, #4]
    ldr r2, [r1], r9
    subs lr, lr, #1
    stmia r0!, {r2, r7}
    bne 3b
4:  mov r2, #0
    mov r7, #0
    zero_pairs r6
    subs r3, r3, #1
    bne 5b
    pop {r4-r11, pc}

@ void spindl_move_values(int16_t *to, const int16_t *from, uint32_t count, int32_t from_step, int32_t first_step,
@                         int32_t second_step)
    .section .text.move_values, "ax"
    .p2align 2
    .global spindl_move_values
    .type spindl_move_values, %function
spindl_move_values:
    push {r4-r8, lr}
    ldr r4, [sp, #24]
    ldr r5, [sp, #28]
    subs r2, r2, #4
    bmi 2f
1:  ldrh r6, [r1], r3
    ldrh r7, [r1], r3
    ldrh r8, [r1], r3
    ldrh r12, [r1], r3
    strh r6, [r0], r4
    strh r7, [r0], r5
    strh r8, [r0], r4
    strh r12, [r0], r5
    subs r2, r2, #4
    bpl 1b
2:  adds r2, r2, #4
    beq 4f
3:  ldrh r6, [r1], r3
    subs r2, r2, #1
    mov r12, r4
    strh r6, [r0], r12
    mov r4, r5
    mov r5, r12
    bne 3b
4:  pop {r4-r8, pc}
