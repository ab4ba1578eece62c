// The leaf functions for AVX-512 with VNNI. This file alone is compiled with those instructions enabled, and is entered
// only after the processor has been asked; therefore it uses no library templates that the linker might share with
// other files.
#include <immintrin.h>

#include "kernels.hpp"
#include "kernels_plain.hpp"

namespace spindl::simulator {
namespace {

// accumulator += pairs of a times pairs of b. The intrinsic makes gcc 12 spill accumulators; this form does not.
inline void multiply_add(__m512i& accumulator, __m512i a, __m512i b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(accumulator) : "v"(a), "v"(b));
}

inline __m512i broadcast_pair(const int16_t* pair) {
    int32_t bits;
    __builtin_memcpy(&bits, pair, sizeof(bits));
    return _mm512_set1_epi32(bits);
}

inline __mmask16 mask16(int64_t lanes) {
    return lanes >= 16 ? __mmask16{0xFFFF} : static_cast<__mmask16>((1U << lanes) - 1U);
}

inline __mmask32 mask32(int64_t lanes) {
    return lanes >= 32 ? __mmask32{0xFFFFFFFF} : static_cast<__mmask32>((uint64_t{1} << lanes) - 1U);
}

template <int Rows, int Vectors>
void tile(const Tile& t) {
    constexpr int kWidth = Vectors * kLanes;
    __m512i sums[Rows][Vectors];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
            sums[r][v] = _mm512_loadu_si512(t.start + v * kLanes);
        }
    }
    const int64_t stride = t.stride;
    const int16_t* weights = t.weights;
    for (int64_t s = 0; s < t.segment_count; ++s) {
        const int16_t* input = t.input + t.segments[s].offset;
        const int16_t* const end = input + 2 * t.segments[s].pairs;
        for (; input != end; input += 2) {
            __m512i w[Vectors];
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) {
                w[v] = _mm512_loadu_si512(weights + v * 2 * kLanes);
            }
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) {
                const __m512i x = broadcast_pair(input + r * stride);
#pragma GCC unroll 4
                for (int v = 0; v < Vectors; ++v) {
                    multiply_add(sums[r][v], w[v], x);
                }
            }
            weights += 2 * kWidth;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
            _mm512_storeu_si512(t.accumulators + r * kWidth + v * kLanes, sums[r][v]);
        }
    }
}

// Two pixels of up to 16 * Vectors lanes as pairs. With two vectors the lanes come out in the order of vpunpck:
// pairs[0] holds lanes 0-3, 8-11, 16-19, 24-27 and pairs[1] the others; `in_lane_order` and `in_pair_order` translate.
template <int Vectors, bool Full>
inline void interleave(const int16_t* first, const int16_t* second, __mmask32 mask, __mmask32 mask_second,
                       __m512i* pairs) {
    if constexpr (Vectors == 2) {
        const __m512i a = Full ? _mm512_loadu_si512(first) : _mm512_maskz_loadu_epi16(mask, first);
        const __m512i b = Full ? _mm512_loadu_si512(second) : _mm512_maskz_loadu_epi16(mask_second, second);
        pairs[0] = _mm512_unpacklo_epi16(a, b);
        pairs[1] = _mm512_unpackhi_epi16(a, b);
    } else {
        const __m256i a = _mm256_maskz_loadu_epi16(static_cast<__mmask16>(mask), first);
        const __m256i b = _mm256_maskz_loadu_epi16(static_cast<__mmask16>(mask_second), second);
        pairs[0] = _mm512_or_si512(_mm512_cvtepu16_epi32(a), _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
    }
}

template <int Vectors>
inline void in_pair_order(__m512i* v) {
    if constexpr (Vectors == 2) {
        const __m512i low = _mm512_shuffle_i32x4(v[0], v[1], _MM_SHUFFLE(2, 0, 2, 0));
        v[1] = _mm512_shuffle_i32x4(v[0], v[1], _MM_SHUFFLE(3, 1, 3, 1));
        v[0] = low;
    }
}

template <int Vectors>
inline void in_lane_order(__m512i* v) {
    if constexpr (Vectors == 2) {
        const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        const __m512i low = _mm512_permutex2var_epi64(v[0], first, v[1]);
        v[1] = _mm512_permutex2var_epi64(v[0], second, v[1]);
        v[0] = low;
    }
}

// Full: the tile has all its lanes, so that loads need no mask.
template <int Rows, int Vectors, bool Full>
void gradient_tile_of(const GradientTile& t) {
    constexpr int kWidth = Vectors * kLanes;
    const __mmask32 mask = mask32(t.lanes);
    __m512i sums[Rows][Vectors];
    if (t.fresh) {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) {
                sums[r][v] = _mm512_set1_epi32(t.start);
            }
        }
    } else {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) {
                sums[r][v] = _mm512_loadu_si512(t.accumulators + r * kWidth + v * kLanes);
            }
            in_pair_order<Vectors>(sums[r]);
        }
    }
    const int64_t step = t.x_pixel;
    const int64_t dy_step = 2 * t.dy_rows;
    for (int64_t line = 0; line < t.lines; ++line) {
        const int16_t* x = t.x + line * t.x_line;
        const int16_t* dy = t.dy + line * t.dy_line;
        __m512i pairs[Vectors];
        for (int64_t column = 0; column + 1 < t.columns; column += 2) {
            interleave<Vectors, Full>(x, x + step, mask, mask, pairs);
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) {
                const __m512i factor = broadcast_pair(dy + 2 * r);
#pragma GCC unroll 4
                for (int v = 0; v < Vectors; ++v) {
                    multiply_add(sums[r][v], pairs[v], factor);
                }
            }
            x += 2 * step;
            dy += dy_step;
        }
        if (t.columns % 2 != 0) {
            interleave<Vectors, false>(x, x, mask, 0, pairs);
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) {
                const __m512i factor = broadcast_pair(dy + 2 * r);
#pragma GCC unroll 4
                for (int v = 0; v < Vectors; ++v) {
                    multiply_add(sums[r][v], pairs[v], factor);
                }
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
        in_lane_order<Vectors>(sums[r]);
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
            _mm512_storeu_si512(t.accumulators + r * kWidth + v * kLanes, sums[r][v]);
        }
    }
}

template <int Rows, int Vectors>
void gradient_tile(const GradientTile& t) {
    if (t.lanes == Vectors * kLanes) {
        gradient_tile_of<Rows, Vectors, true>(t);
    } else {
        gradient_tile_of<Rows, Vectors, false>(t);
    }
}

// Squares of up to 64 elements, summed in 16 lanes; as unsigned 32-bit numbers two sums of two squares cannot overflow.
inline __m512 square_lanes(const int16_t* x, __mmask32 low, __mmask32 high) {
    const __m512i a = _mm512_maskz_loadu_epi16(low, x);
    __m512i sum = _mm512_madd_epi16(a, a);
    if (high != 0) {
        const __m512i b = _mm512_maskz_loadu_epi16(high, x + 32);
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(b, b));
    }
    return _mm512_cvtepu32_ps(sum);
}

// Sums the 16 lanes of each of v[0..15]; lane i of the result belongs to v[i].
inline __m512 sum_each(__m512* v) {
    __m512 quarter[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const __m512 a = v[j], b = v[j + 4], c = v[j + 8], d = v[j + 12];
        const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
        const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xEE));
        quarter[j] = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
    }
    const __m512 low =
        _mm512_add_ps(_mm512_unpacklo_ps(quarter[0], quarter[1]), _mm512_unpackhi_ps(quarter[0], quarter[1]));
    const __m512 high =
        _mm512_add_ps(_mm512_unpacklo_ps(quarter[2], quarter[3]), _mm512_unpackhi_ps(quarter[2], quarter[3]));
    const __m512d l = _mm512_castps_pd(low), h = _mm512_castps_pd(high);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(l, h)), _mm512_castpd_ps(_mm512_unpackhi_pd(l, h)));
}

void energies(const int16_t* x, int64_t count, int64_t stride, int64_t channels, float* energy) {
    const __mmask32 low = mask32(channels);
    const __mmask32 high = channels > 32 ? mask32(channels - 32) : __mmask32{0};
    for (int64_t i = 0; i < count; i += 16) {
        const int64_t n = count - i < 16 ? count - i : 16;
        __m512 lanes[16];
        if (n == 16) {
#pragma GCC unroll 16
            for (int j = 0; j < 16; ++j) {
                lanes[j] = square_lanes(x + (i + j) * stride, low, high);
            }
        } else {
            for (int j = 0; j < 16; ++j) {
                lanes[j] = j < n ? square_lanes(x + (i + j) * stride, low, high) : _mm512_setzero_ps();
            }
        }
        _mm512_mask_storeu_ps(energy + i, mask16(n), sum_each(lanes));
    }
}

void column_energies(const int16_t* x, int64_t rows, int64_t stride, int64_t columns, float* energy) {
    for (int64_t c = 0; c < columns; c += 16) {
        const __mmask16 mask = mask16(columns - c);
        __m512 sum = _mm512_maskz_loadu_ps(mask, energy + c);
        for (int64_t r = 0; r < rows; ++r) {
            const __m512 value =
                _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, x + r * stride + c)));
            sum = _mm512_fmadd_ps(value, value, sum);
        }
        _mm512_mask_storeu_ps(energy + c, mask, sum);
    }
}

inline void transpose(__m512i* m) {
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
        t[2 * i] = _mm512_unpacklo_epi32(m[2 * i], m[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(m[2 * i], m[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        m[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        m[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        m[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        m[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    // Now block b (128 bits) of m[4 i + j] holds column 4 b + j of rows 4 i .. 4 i + 3.
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const __m512i a = _mm512_shuffle_i32x4(m[j], m[4 + j], 0x88);
        const __m512i b = _mm512_shuffle_i32x4(m[8 + j], m[12 + j], 0x88);
        const __m512i c = _mm512_shuffle_i32x4(m[j], m[4 + j], 0xDD);
        const __m512i d = _mm512_shuffle_i32x4(m[8 + j], m[12 + j], 0xDD);
        t[j] = _mm512_shuffle_i32x4(a, b, 0x88);
        t[8 + j] = _mm512_shuffle_i32x4(a, b, 0xDD);
        t[4 + j] = _mm512_shuffle_i32x4(c, d, 0x88);
        t[12 + j] = _mm512_shuffle_i32x4(c, d, 0xDD);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
        m[i] = t[i];
    }
}

void pack_rows(const int16_t* source, int64_t stride, int64_t lanes, int64_t width, int64_t length, int16_t* packed) {
    for (int64_t lane = 0; lane < width; lane += 16) {
        for (int64_t k = 0; k < length; k += 32) {
            const __mmask32 mask = mask32(length - k);
            __m512i block[16];
#pragma GCC unroll 16
            for (int r = 0; r < 16; ++r) {
                block[r] = lane + r < lanes ? _mm512_maskz_loadu_epi16(mask, source + (lane + r) * stride + k)
                                            : _mm512_setzero_si512();
            }
            transpose(block);
            const int64_t pairs = (length - k + 1) / 2;
            int16_t* to = packed + (k / 2) * width * 2 + lane * 2;
            if (pairs >= 16) {
#pragma GCC unroll 16
                for (int p = 0; p < 16; ++p) {
                    _mm512_storeu_si512(to + p * width * 2, block[p]);
                }
            } else {
                for (int p = 0; p < pairs; ++p) {
                    _mm512_storeu_si512(to + p * width * 2, block[p]);
                }
            }
        }
    }
}

void pack_columns(const int16_t* source, int64_t stride, int64_t lanes, int64_t width, int64_t length,
                  int16_t* packed) {
    for (int64_t pair = 0; 2 * pair < length; ++pair) {
        const bool both = 2 * pair + 1 < length;
        const int16_t* first = source + 2 * pair * stride;
        const int16_t* second = both ? first + stride : first;
        for (int64_t lane = 0; lane < width; lane += 16) {
            const __mmask16 mask = lane < lanes ? mask16(lanes - lane) : __mmask16{0};
            __m512i pairs;
            interleave<1, false>(first + lane, second + lane, mask, both ? mask : __mmask16{0}, &pairs);
            _mm512_mask_storeu_epi32(packed + (pair * width + lane) * 2, mask16(width - lane), pairs);
        }
    }
}

inline void record(__m512i largest, __m512i smallest, const Requantise32& q, const int32_t* accumulators, int64_t rows,
                   int64_t width, int64_t lanes, Statistics& statistics) {
    const Extent32 extent{_mm512_reduce_max_epi32(largest), _mm512_reduce_min_epi32(smallest)};
    record(extent, q, statistics);
    if (extent.largest > q.high || extent.smallest < q.low) {
        statistics.saturated += count_saturated(accumulators, rows, width, lanes, q);
    }
}

// Full: all lanes of each vector are stored, which is faster than under a mask.
template <bool Full>
void finish_vector(const int32_t* accumulators, int64_t rows, int64_t width, __mmask16 mask, const Requantise32& q,
                   int16_t* out, int64_t out_stride, __m512i& largest, __m512i& smallest) {
    const __m128i shift = _mm_cvtsi32_si128(q.shift);
    const __m256i upper = _mm256_set1_epi16(static_cast<int16_t>(q.limit));
    const __m256i lower = _mm256_set1_epi16(static_cast<int16_t>(q.floor));
    for (int64_t r = 0; r < rows; ++r) {
        const __m512i a = _mm512_loadu_si512(accumulators + r * width);
        largest = Full ? _mm512_max_epi32(largest, a) : _mm512_mask_max_epi32(largest, mask, largest, a);
        smallest = Full ? _mm512_min_epi32(smallest, a) : _mm512_mask_min_epi32(smallest, mask, smallest, a);
        __m256i y = _mm512_cvtsepi32_epi16(_mm512_sra_epi32(a, shift));
        y = _mm256_max_epi16(_mm256_min_epi16(y, upper), lower);
        if constexpr (Full) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + r * out_stride), y);
        } else {
            _mm256_mask_storeu_epi16(out + r * out_stride, mask, y);
        }
    }
}

void finish32(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise32& q,
              int16_t* out, int64_t out_stride, Statistics& statistics) {
    __m512i largest = _mm512_set1_epi32(q.half);
    __m512i smallest = largest;
    int64_t lane = 0;
    for (; lane + kLanes <= lanes; lane += kLanes) {
        finish_vector<true>(accumulators + lane, rows, width, 0, q, out + lane, out_stride, largest, smallest);
    }
    if (lane < lanes) {
        finish_vector<false>(accumulators + lane, rows, width, mask16(lanes - lane), q, out + lane, out_stride, largest,
                             smallest);
    }
    record(largest, smallest, q, accumulators, rows, width, lanes, statistics);
}

template <bool Full, bool First>
void add_vector(const int32_t* accumulators, int64_t rows, int64_t width, __mmask16 mask, const Requantise32& q,
                int32_t* out, int64_t out_stride, __m512i& largest, __m512i& smallest) {
    const __m128i shift = _mm_cvtsi32_si128(q.shift);
    const __m512i upper = _mm512_set1_epi32(q.limit);
    const __m512i lower = _mm512_set1_epi32(-q.limit);
    for (int64_t r = 0; r < rows; ++r) {
        const __m512i a = _mm512_loadu_si512(accumulators + r * width);
        largest = Full ? _mm512_max_epi32(largest, a) : _mm512_mask_max_epi32(largest, mask, largest, a);
        smallest = Full ? _mm512_min_epi32(smallest, a) : _mm512_mask_min_epi32(smallest, mask, smallest, a);
        __m512i y = _mm512_max_epi32(_mm512_min_epi32(_mm512_sra_epi32(a, shift), upper), lower);
        int32_t* to = out + r * out_stride;
        if constexpr (!First) {
            y = _mm512_add_epi32(y, Full ? _mm512_loadu_si512(to) : _mm512_maskz_loadu_epi32(mask, to));
        }
        if constexpr (Full) {
            _mm512_storeu_si512(to, y);
        } else {
            _mm512_mask_storeu_epi32(to, mask, y);
        }
    }
}

template <bool First>
void add_rows(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise32& q,
              int32_t* out, int64_t out_stride, Statistics& statistics) {
    __m512i largest = _mm512_set1_epi32(q.half);
    __m512i smallest = largest;
    int64_t lane = 0;
    for (; lane + kLanes <= lanes; lane += kLanes) {
        add_vector<true, First>(accumulators + lane, rows, width, 0, q, out + lane, out_stride, largest, smallest);
    }
    if (lane < lanes) {
        add_vector<false, First>(accumulators + lane, rows, width, mask16(lanes - lane), q, out + lane, out_stride,
                                 largest, smallest);
    }
    record(largest, smallest, q, accumulators, rows, width, lanes, statistics);
}

void add32(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise32& q, int32_t* out,
           int64_t out_stride, bool first, Statistics& statistics) {
    if (first) {
        add_rows<true>(accumulators, rows, width, lanes, q, out, out_stride, statistics);
    } else {
        add_rows<false>(accumulators, rows, width, lanes, q, out, out_stride, statistics);
    }
}

// Rounds eight accumulators of a right shift; the result is clamped to int16 when narrowed.
inline __m512i rounded64(__m512i a, __m128i shift_less_one) {
    const __m512i up = _mm512_add_epi64(_mm512_sra_epi64(a, shift_less_one), _mm512_set1_epi64(1));
    return _mm512_srai_epi64(up, 1);
}

struct Extent64 {
    __m512i largest = _mm512_setzero_si512();
    int64_t saturated = 0;

    void include(__m512i a, __mmask8 mask, const Requantise& q) {
        largest = _mm512_mask_max_epu64(largest, mask, largest, _mm512_abs_epi64(a));
        const __mmask8 high = _mm512_mask_cmp_epi64_mask(mask, a, _mm512_set1_epi64(q.high), _MM_CMPINT_NLT);
        const __mmask8 low = _mm512_mask_cmp_epi64_mask(mask, a, _mm512_set1_epi64(q.low), _MM_CMPINT_LT);
        saturated += __builtin_popcount(static_cast<unsigned>(high) | low);
    }

    void add_to(Statistics& statistics) const { statistics.merge({_mm512_reduce_max_epu64(largest), saturated}); }
};

void finish64(const int64_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise& q,
              int16_t* out, int64_t out_stride, Statistics& statistics) {
    if (q.shift < 1) {
        finish64_plain(accumulators, rows, width, lanes, q, out, out_stride, statistics);
        return;
    }
    const __m128i shift = _mm_cvtsi32_si128(q.shift - 1);
    const __m128i upper = _mm_set1_epi16(static_cast<int16_t>(q.limit));
    const __m128i lower = _mm_set1_epi16(static_cast<int16_t>(q.floor));
    Extent64 extent;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t lane = 0; lane < lanes; lane += 8) {
            const __mmask8 mask = static_cast<__mmask8>(mask16(lanes - lane));
            const __m512i a = _mm512_loadu_si512(accumulators + r * width + lane);
            extent.include(a, mask, q);
            __m128i y = _mm512_cvtsepi64_epi16(rounded64(a, shift));
            y = _mm_max_epi16(_mm_min_epi16(y, upper), lower);
            _mm_mask_storeu_epi16(out + r * out_stride + lane, mask, y);
        }
    }
    extent.add_to(statistics);
}

void add64(const int64_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise& q, int32_t* out,
           int64_t out_stride, bool first, Statistics& statistics) {
    if (q.shift < 1) {
        add64_plain(accumulators, rows, width, lanes, q, out, out_stride, first, statistics);
        return;
    }
    const __m128i shift = _mm_cvtsi32_si128(q.shift - 1);
    const __m256i upper = _mm256_set1_epi32(q.limit);
    const __m256i lower = _mm256_set1_epi32(-q.limit);
    Extent64 extent;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t lane = 0; lane < lanes; lane += 8) {
            const __mmask8 mask = static_cast<__mmask8>(mask16(lanes - lane));
            const __mmask8 add = first ? __mmask8{0} : mask;
            const __m512i a = _mm512_loadu_si512(accumulators + r * width + lane);
            extent.include(a, mask, q);
            __m256i y = _mm512_cvtsepi64_epi32(rounded64(a, shift));
            y = _mm256_max_epi32(_mm256_min_epi32(y, upper), lower);
            int32_t* to = out + r * out_stride + lane;
            _mm256_mask_storeu_epi32(to, mask, _mm256_add_epi32(y, _mm256_maskz_loadu_epi32(add, to)));
        }
    }
    extent.add_to(statistics);
}

template <int Rows>
inline void outer_tile(const int16_t* dy, int64_t dy_stride, const int16_t* x, int64_t x_stride, int64_t images,
                       __mmask32 mask, __m128i shift, __m512i half, int32_t* out, int64_t out_stride) {
    __m512i sums[Rows][2];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
        sums[r][0] = sums[r][1] = _mm512_setzero_si512();
    }
    for (int64_t image = 0; image < images; ++image) {
        const __m512i lanes = _mm512_maskz_loadu_epi16(mask, x + image * x_stride);
        const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(lanes));
        const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(lanes, 1));
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
            const __m512i factor = _mm512_set1_epi16(dy[image * dy_stride + r]);
            __m512i a = half;
            __m512i b = half;
            multiply_add(a, low, factor);
            multiply_add(b, high, factor);
            sums[r][0] = _mm512_add_epi32(sums[r][0], _mm512_sra_epi32(a, shift));
            sums[r][1] = _mm512_add_epi32(sums[r][1], _mm512_sra_epi32(b, shift));
        }
    }
    for (int r = 0; r < Rows; ++r) {
        _mm512_mask_storeu_epi32(out + r * out_stride, static_cast<__mmask16>(mask), sums[r][0]);
        _mm512_mask_storeu_epi32(out + r * out_stride + 16, static_cast<__mmask16>(mask >> 16), sums[r][1]);
    }
}

void outer_products(const int16_t* dy, int64_t dy_stride, const int16_t* x, int64_t x_stride, int64_t images,
                    int64_t rows, int64_t lanes, int32_t shift, int32_t half, int32_t* out, int64_t out_stride) {
    constexpr int kRows = 8;
    const __m128i count = _mm_cvtsi32_si128(shift);
    const __m512i start = _mm512_set1_epi32(half);
    for (int64_t lane = 0; lane < lanes; lane += 32) {
        const __mmask32 mask = mask32(lanes - lane);
        int64_t r = 0;
        for (; r + kRows <= rows; r += kRows) {
            outer_tile<kRows>(dy + r, dy_stride, x + lane, x_stride, images, mask, count, start,
                              out + r * out_stride + lane, out_stride);
        }
        for (; r < rows; ++r) {
            outer_tile<1>(dy + r, dy_stride, x + lane, x_stride, images, mask, count, start,
                          out + r * out_stride + lane, out_stride);
        }
    }
}

template <int Rows>
void fill_rows(Kernels& kernels) {
    if constexpr (Rows > 0) {
        kernels.gradient_tile[Rows - 1][0] = gradient_tile<Rows, 1>;
        kernels.gradient_tile[Rows - 1][1] = gradient_tile<Rows, 2>;
        if constexpr (Rows <= kTileRows) {
            kernels.tile[Rows - 1][0] = tile<Rows, 1>;
            kernels.tile[Rows - 1][1] = tile<Rows, 2>;
        }
        fill_rows<Rows - 1>(kernels);
    }
}

Kernels make() {
    Kernels kernels{};
    kernels.name = "avx512vnni";
    fill_rows<kGradientRows>(kernels);
    kernels.energies = energies;
    kernels.column_energies = column_energies;
    kernels.add_strided = add_strided_plain;
    kernels.largest = largest_plain;
    kernels.pack_rows = pack_rows;
    kernels.pack_columns = pack_columns;
    kernels.finish32 = finish32;
    kernels.finish64 = finish64;
    kernels.add32 = add32;
    kernels.add64 = add64;
    kernels.outer_products = outer_products;
    kernels.widen = widen_plain;
    return kernels;
}

}  // namespace

const Kernels& avx512vnni_kernels() {
    static const Kernels kernels = make();
    return kernels;
}

}  // namespace spindl::simulator
