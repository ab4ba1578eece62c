/* Packets, in and out.
 *
 * The packet interrupt (FIQ): the next word of a block that the core listens to goes to its place, the rest to packet_arrived.
 */
    .syntax unified
    .cpu arm968e-s
    .arm
    .section .text.enter_packets, "ax"

    /* `listeners`: two of {next, end, at, sum, event, ...}. */
    .equ NEXT, 0                    /* key of the packet to come */
    .equ END, 4                     /* key behind the last one */
    .equ AT, 8                      /* where its word goes */
    .equ SUM, 12                    /* checksum of those that have come */
    .equ EVENT, 16
    .equ SLOT, 168

    .global enter_packets
    .type enter_packets, %function
enter_packets:                      /* from the fast interrupt in start.S; uses the mode's own registers */
    mov r8, #0x10000000             /* communications controller */
    ldr r12, =listeners
    ldr r9, [r8, #0x10]             /* payload */
    ldr r10, [r8, #0x14]            /* key; takes the packet */
    ldr r11, [r12, #NEXT]
    ldr r8, [r12, #SUM]
    cmp r10, r11
    beq mine
    ldr r11, [r12, #SLOT]!          /* the other one's NEXT */
    ldr r8, [r12, #SUM]
    cmp r10, r11
    bne other
mine:
    adc r11, r10, r10               /* its weight, 2 key + 1: keys were equal, carry is set */
    add r10, r10, #1
    mla r8, r9, r11, r8
    ldr r11, [r12, #AT]
    str r10, [r12, #NEXT]
    str r9, [r11], #4
    str r11, [r12, #AT]
    ldr r11, [r12, #END]
    str r8, [r12, #SUM]
    cmp r10, r11
    mvneq r10, #0
    streq r10, [r12, #NEXT]         /* nobody's key */
    streq r10, [r12, #EVENT]
    subs pc, lr, #4
other:
    push {r0-r3, lr}
    mov r0, r10
    mov r1, r9
    bl packet_arrived
    pop {r0-r3, lr}
    subs pc, lr, #4
    .ltorg

    /* uint32_t send_words(key, words, count > 0, gap): keys count up, at least `gap` cycles from packet to packet.
     * Returns the sum of each word times 2 key + 1. */
    .equ TRIES, 1000000
    .equ STOP, 69                   /* SPINDL_STOP_SEND_TIME_OUT */
    .section .text.send_words, "ax"
    .global send_words
    .type send_words, %function
send_words:
    push {r4-r10, lr}
    mov r4, #0x10000000             /* communications controller */
    add r5, r4, #0x01000000         /* timers: 0x24 counts cycles downwards */
    add r6, r0, r2                  /* key behind the last one */
    mov r7, #0
    mov r10, #1
    ldr r8, [r5, #0x24]
send_next:
    ldr r2, [r4]
    ldr r9, [r1], #4
    tst r2, #1 << 28                /* room for a packet? */
    beq no_room
send_now:
    add r2, r10, r0, lsl #1
    str r9, [r4, #4]
    mla r7, r9, r2, r7
    str r0, [r4, #8]
    add r0, r0, #1
    cmp r3, #0
    bne pace
paced:
    cmp r0, r6
    bne send_next
    mov r0, r7
    pop {r4-r10, pc}
pace:
    ldr r9, [r5, #0x24]
    sub r2, r8, r9
    cmp r2, r3
    blo pace
    mov r8, r9                      /* what is late stays so: packets that catch up would block the router */
    b paced
no_room:
    ldr r12, =TRIES
1:  ldr r2, [r4]
    tst r2, #1 << 28
    bne send_now
    subs r12, r12, #1
    bne 1b
    mov r1, r0
    mov r0, #STOP
    bl stop
    .ltorg
