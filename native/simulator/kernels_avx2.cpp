// The leaf functions for AVX2: the two inner loops by hand, the rest the plain loops as the compiler vectorises them. This
// file alone is compiled with AVX2 enabled, and is entered only after the processor has been asked; therefore it uses no
// library templates that the linker might share with other files.
#include <immintrin.h>

#include "kernels.hpp"
#include "kernels_plain.hpp"

namespace spindl::simulator {
namespace {

constexpr int kHalf = 8;  // 32-bit lanes of a register: a vector of 16 lanes is two of them
// AVX2 has 16 registers: three rows of two vectors are 12 accumulators, and leave room for a factor and a product.
constexpr int kBlockRows = 3;

inline __m256i load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

inline void store(void* to, __m256i value) {
    _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}

inline __m256i broadcast_pair(const int16_t* pair) {
    int32_t bits;
    __builtin_memcpy(&bits, pair, sizeof(bits));
    return _mm256_set1_epi32(bits);
}

// Two int16 products of 32767 * 32767 fit an int32, so that vpmaddwd is exact; the addition wraps, as it may.
inline __m256i multiply_add(__m256i sum, __m256i a, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

template <int Rows, int Vectors>
void tile_rows(const Tile& t, int first) {
    constexpr int kWidth = Vectors * kLanes;
    constexpr int kRegisters = 2 * Vectors;
    __m256i sums[Rows][kRegisters];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < kRegisters; ++v) {
            sums[r][v] = load(t.start + v * kHalf);
        }
    }
    const int64_t stride = t.stride;
    const int16_t* weights = t.weights;
    for (int64_t s = 0; s < t.segment_count; ++s) {
        const int16_t* input = t.input + first * stride + t.segments[s].offset;
        const int16_t* const end = input + 2 * t.segments[s].pairs;
        for (; input != end; input += 2) {
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r) {
                const __m256i x = broadcast_pair(input + r * stride);
#pragma GCC unroll 4
                for (int v = 0; v < kRegisters; ++v) {
                    sums[r][v] = multiply_add(sums[r][v], x, load(weights + v * 2 * kHalf));
                }
            }
            weights += 2 * kWidth;
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < kRegisters; ++v) {
            store(t.accumulators + (first + r) * kWidth + v * kHalf, sums[r][v]);
        }
    }
}

template <int Rows, int Vectors>
void tile(const Tile& t) {
    int first = 0;
    for (; first + kBlockRows <= Rows; first += kBlockRows) {
        tile_rows<kBlockRows, Vectors>(t, first);
    }
    if constexpr (Rows % kBlockRows != 0) {
        tile_rows<Rows % kBlockRows, Vectors>(t, first);
    }
}

// 16 lanes of two pixels as pairs, lanes 0-3 and 8-11 in pairs[0] and the others in pairs[1]: the order of vpunpck.
inline void interleave(__m256i first, __m256i second, __m256i* pairs) {
    pairs[0] = _mm256_unpacklo_epi16(first, second);
    pairs[1] = _mm256_unpackhi_epi16(first, second);
}

// Between the order of lanes and that of vpunpck; the same exchange of quarters leads there and back.
inline void exchange(__m256i* v) {
    const __m256i low = _mm256_permute2x128_si256(v[0], v[1], 0x20);
    v[1] = _mm256_permute2x128_si256(v[0], v[1], 0x31);
    v[0] = low;
}

// A pixel's lanes from vector v on: all 16, or what is left of `lanes` and zeros behind it.
template <bool Full>
inline __m256i pixel(const int16_t* x, int64_t lanes, int v) {
    if constexpr (Full) {
        return load(x + v * kLanes);
    }
    int16_t part[kLanes] = {};
    const int64_t left = lanes - int64_t{v} * kLanes;
    __builtin_memcpy(part, x + v * kLanes, static_cast<size_t>(left < kLanes ? left : kLanes) * sizeof(int16_t));
    return load(part);
}

template <int Rows, int Vectors, bool Full>
void gradient_rows(const GradientTile& t, int first) {
    constexpr int kWidth = Vectors * kLanes;
    constexpr int kRegisters = 2 * Vectors;
    __m256i sums[Rows][kRegisters];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < kRegisters; ++v) {
            sums[r][v] = t.fresh ? _mm256_set1_epi32(t.start) : load(t.accumulators + (first + r) * kWidth + v * kHalf);
        }
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
            exchange(sums[r] + 2 * v);
        }
    }
    const int64_t step = t.x_pixel;
    const int64_t dy_step = 2 * t.dy_rows;
    for (int64_t line = 0; line < t.lines; ++line) {
        const int16_t* x = t.x + line * t.x_line;
        const int16_t* dy = t.dy + line * t.dy_line + 2 * first;
        for (int64_t column = 0; column < t.columns; column += 2) {
            __m256i pairs[kRegisters];
            const bool both = column + 1 < t.columns;
#pragma GCC unroll 2
            for (int v = 0; v < Vectors; ++v) {
                const __m256i second = both ? pixel<Full>(x + step, t.lanes, v) : _mm256_setzero_si256();
                interleave(pixel<Full>(x, t.lanes, v), second, pairs + 2 * v);
            }
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r) {
                const __m256i factor = broadcast_pair(dy + 2 * r);
#pragma GCC unroll 4
                for (int v = 0; v < kRegisters; ++v) {
                    sums[r][v] = multiply_add(sums[r][v], factor, pairs[v]);
                }
            }
            x += 2 * step;
            dy += dy_step;
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
            exchange(sums[r] + 2 * v);
        }
#pragma GCC unroll 4
        for (int v = 0; v < kRegisters; ++v) {
            store(t.accumulators + (first + r) * kWidth + v * kHalf, sums[r][v]);
        }
    }
}

template <int Rows, int Vectors, bool Full>
void gradient_blocks(const GradientTile& t) {
    // The pairs of a pixel take registers too: two rows of two vectors, or three of one.
    constexpr int kBlock = Vectors == 2 ? 2 : kBlockRows;
    int first = 0;
    for (; first + kBlock <= Rows; first += kBlock) {
        gradient_rows<kBlock, Vectors, Full>(t, first);
    }
    if constexpr (Rows % kBlock != 0) {
        gradient_rows<Rows % kBlock, Vectors, Full>(t, first);
    }
}

template <int Rows, int Vectors>
void gradient_tile(const GradientTile& t) {
    // lanes > (Vectors - 1) * 16, so that every vector has at least one lane.
    if (t.lanes == Vectors * kLanes) {
        gradient_blocks<Rows, Vectors, true>(t);
    } else {
        gradient_blocks<Rows, Vectors, false>(t);
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
    Kernels kernels = plain_kernels();
    kernels.name = "avx2";
    fill_rows<kGradientRows>(kernels);
    return kernels;
}

}  // namespace

const Kernels& avx2_kernels() {
    static const Kernels kernels = make();
    return kernels;
}

}  // namespace spindl::simulator
