/* The packet interrupt (FIQ): words of a block that the core listens to go to their places, the rest to packet_arrived. */
    .syntax unified
    .cpu arm968e-s
    .arm
    .text

    /* `listeners`: two of {key, capacity}, packets taken, two of {buffer, missing, seen[32]}. */
    .equ TAKEN, 16
    .equ FIRST, 20
    .equ SECOND, 20 + 136
    .equ BUFFER, 0
    .equ MISSING, 4
    .equ SEEN, 8

    .global enter_packets
    .type enter_packets, %function
enter_packets:
    sub lr, lr, #4
    push {r0-r3, lr}
    mov r8, #0x10000000             /* communications controller */
    ldr r12, =listeners
next:
    ldr r9, [r8, #0x10]             /* payload */
    ldr r10, [r8, #0x14]            /* key; takes the packet */
    ldm r12, {r0-r3}
    sub r11, r10, r0                /* place, if it is one of this block */
    cmp r11, r1
    add r1, r12, #FIRST
    blo place
    sub r11, r10, r2
    cmp r11, r3
    add r1, r12, #SECOND
    bhs other
place:
    ldr r0, [r1, #BUFFER]
    mov r2, #1
    str r9, [r0, r11, lsl #2]
    and r3, r11, #31
    mov r11, r11, lsr #5
    add r11, r1, r11, lsl #2
    mov r2, r2, lsl r3
    ldr r0, [r11, #SEEN]
    ldr r3, [r1, #MISSING]
    tst r0, r2
    orr r0, r0, r2
    subeq r3, r3, #1
    str r0, [r11, #SEEN]
    str r3, [r1, #MISSING]
more:
    ldr r0, [r8, #0x0c]             /* another one? */
    ldr r1, [r12, #TAKEN]
    cmp r0, #0
    add r1, r1, #1
    str r1, [r12, #TAKEN]
    bmi next
    ldm sp!, {r0-r3, pc}^
other:
    mov r0, r10
    mov r1, r9
    push {r8, r12}
    bl packet_arrived
    pop {r8, r12}
    b more
    .ltorg
