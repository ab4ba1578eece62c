#include "pairs.h"

#include "spindl_numbers.h"

void spindl_plus(spindl_int128 *y, const spindl_int128 *x) {
    const uint64_t low = y->low + x->low;
    y->high = (int64_t)((uint64_t)y->high + (uint64_t)x->high + (low < x->low));
    y->low = low;
}

void spindl_minus(spindl_int128 *y) {
    y->low = 0 - y->low;
    y->high = (int64_t)(~(uint64_t)y->high + (y->low == 0));
}

void spindl_product(spindl_int128 *y, int64_t a, int64_t b) {
    const uint32_t a0 = (uint32_t)a, b0 = (uint32_t)b;
    const int32_t a1 = (int32_t)(a >> 32), b1 = (int32_t)(b >> 32);
    const uint64_t low = (uint64_t)a0 * b0;
    const int64_t middle = (int64_t)a0 * b1 + (int64_t)(low >> 32); /* |a0 * b1| <= (2^32 - 1) * 2^31 */
    const int64_t other = (int64_t)b0 * a1 + (int64_t)(uint32_t)middle;
    y->low = (uint64_t)other << 32 | (uint32_t)low;
    y->high = (int64_t)a1 * b1 + (middle >> 32) + (other >> 32);
}

/* y * 2^shift, 0 <= shift < 128 */
SPINDL_SMALL static void shift_left(spindl_int128 *y, int32_t shift) {
    if (shift >= 64) {
        y->high = (int64_t)y->low;
        y->low = 0;
        shift -= 64;
    }
    if (shift) y->high = (int64_t)((uint64_t)y->high << shift | y->low >> (64 - shift));
    y->low <<= shift;
}

/* floor(y / 2^shift), shift >= 0 */
SPINDL_SMALL static void shift_right(spindl_int128 *y, int32_t shift) {
    for (; shift >= 64; shift = spindl_least(shift - 64, 64)) { /* twice is enough */
        if (y->low == (uint64_t)y->high && y->high >> 63 == y->high) return;
        y->low = (uint64_t)y->high;
        y->high >>= 63;
    }
    if (shift) y->low = y->low >> shift | (uint64_t)y->high << (64 - shift);
    y->high >>= shift;
}

SPINDL_SMALL void spindl_rsh128(spindl_int128 *y, int32_t shift) {
    const spindl_int128 one = {1, 0};
    if (shift <= 0) {
        shift_left(y, spindl_least(-shift, 127));
        return;
    }
    shift_right(y, shift - 1); /* floor((floor(y / 2^(s-1)) + 1) / 2) */
    spindl_plus(y, &one);
    shift_right(y, 1);
}

SPINDL_SMALL int64_t spindl_floor_divide128(const spindl_int128 *a, uint32_t n) {
    const int64_t sign = a->high >> 63;
    const uint64_t low = a->low ^ (uint64_t)sign;
    const uint64_t top = (uint64_t)(a->high ^ sign) << 32 | low >> 32;
    const uint64_t first = spindl_divide(top, n); /* below 2^31 */
    const uint64_t rest = (top - first * n) << 32 | (uint32_t)low;
    return (int64_t)(first << 32 | spindl_divide(rest, n)) ^ sign;
}

SPINDL_LEAN static int32_t bits128(const spindl_int128 *x) {
    return x->high ? 64 + spindl_bits((uint64_t)x->high) : spindl_bits(x->low);
}

SPINDL_SMALL spindl_pair spindl_normalise128(spindl_int128 *x, int32_t exponent) {
    spindl_int128 magnitude = *x;
    if (x->high < 0) spindl_minus(&magnitude);
    const int32_t bits = bits128(&magnitude);
    if (bits == 0) return 0;
    int32_t shift = bits - SPINDL_PAIR_MANTISSA_BITS;
    spindl_rsh128(x, shift);
    int64_t mantissa = (int64_t)x->low;
    if (mantissa == (int64_t)1 << SPINDL_PAIR_MANTISSA_BITS || mantissa == -((int64_t)1 << SPINDL_PAIR_MANTISSA_BITS)) {
        mantissa >>= 1;
        shift++;
    }
    return spindl_pair_of((int32_t)mantissa, exponent + shift);
}

SPINDL_SMALL spindl_pair spindl_normalise(int64_t x, int32_t exponent) {
    spindl_int128 wide = {(uint64_t)x, x >> 63};
    return spindl_normalise128(&wide, exponent);
}

SPINDL_SMALL spindl_pair spindl_multiply(spindl_pair a, spindl_pair b) {
    return spindl_normalise((int64_t)spindl_mantissa(a) * spindl_mantissa(b), spindl_exponent(a) + spindl_exponent(b));
}

SPINDL_SMALL spindl_pair spindl_add_pairs(spindl_pair a, spindl_pair b) {
    spindl_int128 sum;
    if (spindl_mantissa(a) == 0) return b;
    if (spindl_mantissa(b) == 0) return a;
    int32_t distance = spindl_exponent(a) - spindl_exponent(b);
    if (distance < 0) {
        const spindl_pair other = a;
        a = b;
        b = other;
        distance = -distance;
    }
    if (distance > 62) return a;
    const spindl_int128 low = {(uint64_t)(int64_t)spindl_mantissa(b), spindl_mantissa(b) >> 31};
    spindl_product(&sum, spindl_mantissa(a), (int64_t)1 << distance);
    spindl_plus(&sum, &low);
    return spindl_normalise128(&sum, spindl_exponent(b));
}

SPINDL_SMALL spindl_pair spindl_divide_pair(spindl_pair a, uint32_t n, int32_t exponent) {
    const int64_t numerator = (int64_t)((uint64_t)a << 32) + (n >> 1);
    return spindl_normalise(spindl_floor_divide(numerator, n), spindl_exponent(a) - 32 - exponent);
}

spindl_pair spindl_negate(spindl_pair a) {
    return spindl_pair_of(-spindl_mantissa(a), spindl_exponent(a));
}

SPINDL_SMALL int64_t spindl_to_integer(spindl_pair x, int32_t exponent, int64_t limit) {
    return spindl_clamped_rsh(spindl_mantissa(x), exponent - spindl_exponent(x), limit);
}

/* floor(sqrt(v)) for v < 2^62. */
SPINDL_LEAN static uint32_t root_of(uint64_t v) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 60; bit; bit >>= 2) {
        const uint64_t trial = root + bit;
        root >>= 1;
        if (v >= trial) {
            v -= trial;
            root += bit;
        }
    }
    return (uint32_t)root;
}

/* The root of x scaled by an even power of two into [2^60, 2^62), truncated, and half the exponent after it. x > 0. */
SPINDL_SMALL static spindl_pair scaled_root(spindl_int128 *x, int32_t exponent) {
    if (exponent & 1) shift_left(x, 1);
    exponent &= ~1;
    int32_t shift = bits128(x) - 62;
    shift += shift & 1;
    if (shift > 0) shift_right(x, shift);
    else shift_left(x, -shift);
    return spindl_pair_of((int32_t)root_of(x->low), (shift + exponent) / 2);
}

SPINDL_SMALL spindl_pair spindl_inverse_square_root(spindl_int128 *x, int32_t exponent) {
    const spindl_pair root = scaled_root(x, exponent);
    return spindl_normalise((int64_t)spindl_quotient((uint64_t)1 << 61, (uint32_t)root), -61 - spindl_exponent(root));
}

SPINDL_SMALL spindl_pair spindl_square_root(int64_t x, int32_t exponent) {
    spindl_int128 wide = {(uint64_t)x, 0};
    if (x == 0) return 0;
    const spindl_pair root = scaled_root(&wide, exponent);
    return spindl_normalise(spindl_mantissa(root), spindl_exponent(root));
}
