#include "tables.h"

#include "pairs.h"
#include "spindl_numbers.h"
#include "spindl_tables.h"

SPINDL_LEAN uint32_t spindl_powers(uint32_t d, int32_t exponent) {
    uint64_t product = (uint64_t)d * SPINDL_LOG2_E_Q24;
    if (exponent <= 8) {
        product >>= spindl_least(8 - exponent, 62);
    } else if (product) { /* at least 2^24 > 40 * 2^16 */
        product = SPINDL_LARGEST_POWER_Q16;
    }
    return product > SPINDL_LARGEST_POWER_Q16 ? SPINDL_LARGEST_POWER_Q16 : (uint32_t)product;
}

/* round(2^30 * 2^(-i/256)), i = 0..256 */
static int32_t power(uint32_t i) {
    const uint64_t product = (uint64_t)spindl_power_high_entries[i >> 4] * spindl_power_low_entries[i & 15];
    return (int32_t)(product >> 32) + (int32_t)(spindl_power_more_entries[i >> 5] >> (i & 31) & 1);
}

uint32_t spindl_decay(uint32_t t) {
    const uint32_t i = (t & 0xffff) >> 8, shift = t >> 16; /* up to 40 */
    const int32_t from = power(i), value = from - (((from - power(i + 1)) * (int32_t)(t & 0xff) + 128) >> 8);
    return shift > 31 ? 0 : (uint32_t)value >> shift;
}

SPINDL_SMALL int32_t spindl_log2(uint64_t v) {
    const int32_t bits = spindl_bits(v);
    const uint32_t u = (uint32_t)(bits > 17 ? v >> (bits - 17) : v << (17 - bits)), i = (u >> 8) & 0xff;
    const int32_t from = spindl_log_entries[i], to = i == 255 ? 1 << 16 : spindl_log_entries[i + 1];
    return ((bits - 1) << 16) + from + (((to - from) * (int32_t)(u & 0xff) + 128) >> 8);
}

SPINDL_SMALL int32_t spindl_sigmoid_q30(int32_t x, int32_t exponent, uint32_t hyperbolic) {
    const uint32_t one = 1u << 30;
    const uint32_t decay = spindl_decay(spindl_powers((uint32_t)(x < 0 ? -x : x), exponent + (hyperbolic ? 1 : 0)));
    const uint32_t above = hyperbolic ? one - decay : one;
    const int32_t upper = (int32_t)spindl_quotient((uint64_t)above << 30, one + decay);
    return x >= 0 ? upper : (hyperbolic ? 0 : 1 << 30) - upper;
}

SPINDL_SMALL spindl_softmax_sum spindl_softmax_begin(const int16_t *x, uint32_t length, uint32_t stride,
                                                       int32_t exponent) {
    spindl_softmax_sum s = {0, 0, -32768};
    for (uint32_t k = 0; k < length; k++) {
        if (x[k * stride] <= s.largest) continue;
        s.largest = x[k * stride];
        s.place = k;
    }
    for (uint32_t k = 0; k < length; k++) s.sum += spindl_decay(spindl_powers((uint32_t)(s.largest - x[k * stride]), exponent));
    return s;
}

SPINDL_LEAN int32_t spindl_softmax_q30(const spindl_softmax_sum *sum, int32_t x, int32_t exponent) {
    const uint32_t decay = spindl_decay(spindl_powers((uint32_t)(sum->largest - x), exponent));
    return (int32_t)spindl_quotient((uint64_t)decay << 30, sum->sum);
}
