/* What compilers call for copies and fills of structs and arrays; words where everything is aligned. */
    .syntax unified
    .cpu arm968e-s
    .arm
    .text

    .macro function name
    .global \name
    .type \name, %function
\name:
    .endm

    /* (to, from, bytes) */
    function __aeabi_memcpy
    function __aeabi_memcpy4
    function __aeabi_memcpy8
    function memcpy
    mov r12, r0
    orr r3, r0, r1
    tst r3, #3
    bne 2f
1:  subs r2, r2, #4
    ldrhs r3, [r1], #4
    strhs r3, [r12], #4
    bhs 1b
    add r2, r2, #4
2:  subs r2, r2, #1
    ldrbhs r3, [r1], #1
    strbhs r3, [r12], #1
    bhs 2b
    bx lr

    /* (to, bytes) */
    function __aeabi_memclr
    function __aeabi_memclr4
    function __aeabi_memclr8
    mov r2, r1
    mov r1, #0
    b memset
    /* (to, bytes, value) */
    function __aeabi_memset
    function __aeabi_memset4
    function __aeabi_memset8
    mov r3, r1
    mov r1, r2
    mov r2, r3
    /* (to, value, bytes) */
    function memset
    mov r12, r0
    and r1, r1, #255
    orr r1, r1, r1, lsl #8
    orr r1, r1, r1, lsl #16
    tst r0, #3
    bne 4f
3:  subs r2, r2, #4
    strhs r1, [r12], #4
    bhs 3b
    add r2, r2, #4
4:  subs r2, r2, #1
    strbhs r1, [r12], #1
    bhs 4b
    bx lr
