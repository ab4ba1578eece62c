/* Divisions of 64 bits: the cores have none. */
#include "pairs.h"

/* By a reciprocal of 30 bits, a little too small: every round takes what surely fits, 28 bits of the quotient or so. */
SPINDL_LEAN __attribute__((noinline)) uint64_t spindl_divide(uint64_t a, uint64_t n) {
    const int32_t n_bits = spindl_bits(n);
    uint64_t quotient = 0;
    if (a < n || !n) return 0;
    const uint32_t d = (uint32_t)(n << (64 - n_bits) >> 32); /* a fraction in [1/2, 1) */
    uint32_t r = 3031741621u - (uint32_t)(((uint64_t)d * 2021161080u) >> 32); /* 48/17 - 32/17 d in Q30: 1/d within 1/17 */
    for (int32_t i = 3; i; i--) { /* Newton: r (2 - d r) */
        const uint32_t e = 0x80000000u - (uint32_t)(((uint64_t)d * r) >> 32);
        r = (uint32_t)(((uint64_t)r * e) >> 30);
    }
    r -= 8; /* below 2^62 / d, whatever was cut off */
    do {
        const int32_t a_bits = spindl_bits(a), down = 62 - a_bits + n_bits;
        const uint32_t top = (uint32_t)(a_bits > 32 ? a >> (a_bits - 32) : a << (32 - a_bits));
        uint64_t q = (uint64_t)top * r;
        q = down > 0 ? q >> spindl_least(down, 63) : q << -down;
        if (q == 0) q = 1;
        quotient += q;
        a -= q * n;
    } while (a >= n);
    return quotient;
}

uint64_t spindl_quotient(uint64_t a, uint64_t n) {
    return spindl_divide(a + (n >> 1), n);
}

int64_t spindl_floor_divide(int64_t a, uint64_t n) {
    const int64_t sign = a >> 63;
    return (int64_t)spindl_divide((uint64_t)(a ^ sign), n) ^ sign; /* floor(a / n) = ~floor(~a / n) for a < 0 */
}
