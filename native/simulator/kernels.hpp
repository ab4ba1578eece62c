// The leaf functions of the contractions, one table per instruction set. All work on raw memory, one thread at a time.
//
// Vocabulary: a "lane" is one 32-bit accumulator; a vector is 16 lanes; a "pair" is two consecutive terms of a sum, as
// vpdpwssd takes them (two int16 products added to an int32). Accumulators wrap modulo 2^32; the caller proves that the
// final value of every accumulator fits int32, so that what wrapped on the way is harmless.
#pragma once

#include <cstdint>

#include "requantise.hpp"

namespace spindl::simulator {

inline constexpr int kLanes = 16;         // lanes of a vector
inline constexpr int kTileRows = 8;       // most rows of a tile of a contraction
inline constexpr int kTileVectors = 2;    // most vectors of a tile
inline constexpr int kEnergyBlock = 64;   // most channels of one energy: sums of 64 squares of int16 fit exactly
inline constexpr int kGradientRows = 12;  // most rows (output channels) of a tile of a weight gradient

// `pairs` pairs of the input, contiguous from row + offset (in elements).
struct Segment {
    int64_t offset;
    int64_t pairs;
};

// One tile of a contraction: rows r of the input at input + r * stride, weights packed [pair][vectors * 16][2].
struct Tile {
    const int16_t* input;
    int64_t stride;
    const Segment* segments;
    int64_t segment_count;
    const int16_t* weights;
    const int32_t* start;   // [vectors * 16], initial value of each row
    int32_t* accumulators;  // [rows][vectors * 16]
};

// One tile of a weight gradient: lanes are `lanes` contiguous elements of x, rows are output channels of dy. The sum
// runs over `lines` lines of `columns` pixels; within a line, pixels are taken in pairs (the last one alone if columns
// is odd).
struct GradientTile {
    const int16_t* x;  // pixel c of line l at x + l * x_line + c * x_pixel
    int64_t x_line;
    int64_t x_pixel;
    const int16_t* dy;  // pair p of line l at dy + l * dy_line + p * 2 * dy_rows: [dy_rows][2]
    int64_t dy_line;
    int64_t dy_rows;
    int64_t lines;
    int64_t columns;
    int64_t lanes;  // 1 .. vectors * 16
    bool fresh;     // start from `start`, else from the accumulators
    int32_t start;
    int32_t* accumulators;  // [rows][vectors * 16], in lane order
};

struct Kernels {
    const char* name;

    // tile[rows - 1][vectors - 1]
    void (*tile[kTileRows][kTileVectors])(const Tile&);
    // gradient_tile[rows - 1][vectors - 1]
    void (*gradient_tile[kGradientRows][kTileVectors])(const GradientTile&);

    // Sum of squares of `channels` (<= kEnergyBlock) elements at x + i * stride, for i < count; relative error below
    // 1e-6.
    void (*energies)(const int16_t* x, int64_t count, int64_t stride, int64_t channels, float* energy);
    // Adds to energy[c] the squares of x[r * stride + c], r < rows, c < columns; relative error below rows * 1e-7.
    void (*column_energies)(const int16_t* x, int64_t rows, int64_t stride, int64_t columns, float* energy);
    // total[i] += part[i * step]
    void (*add_strided)(float* total, const float* part, int64_t count, int64_t step);
    // Largest of `count` numbers that are not negative.
    float (*largest)(const float* x, int64_t count);

    // packed[pair][lane][2] = source[lane * stride + 2 * pair + {0, 1}], zero beyond `lanes` and beyond `length`.
    void (*pack_rows)(const int16_t* source, int64_t stride, int64_t lanes, int64_t width, int64_t length,
                      int16_t* packed);
    // packed[pair][lane][2] = source[(2 * pair + {0, 1}) * stride + lane], zero beyond `lanes` and beyond `length`.
    void (*pack_columns)(const int16_t* source, int64_t stride, int64_t lanes, int64_t width, int64_t length,
                         int16_t* packed);

    // Rounds accumulators[rows][width], which contain the half, into out[row * out_stride + lane], lane < lanes.
    void (*finish32)(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise32& q,
                     int16_t* out, int64_t out_stride, Statistics& statistics);
    // The same with 64-bit accumulators and without the half in them.
    void (*finish64)(const int64_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise& q,
                     int16_t* out, int64_t out_stride, Statistics& statistics);
    // Rounds and adds into out[row * out_stride + lane] (int32), or writes there if `first`.
    void (*add32)(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise32& q,
                  int32_t* out, int64_t out_stride, bool first, Statistics& statistics);
    void (*add64)(const int64_t* accumulators, int64_t rows, int64_t width, int64_t lanes, const Requantise& q,
                  int32_t* out, int64_t out_stride, bool first, Statistics& statistics);
    // out[row][lane] = sum over images of RSH(dy[image * dy_stride + row] * x[image * x_stride + lane], shift),
    // unclamped; 0 <= shift <= 30, half = 2^(shift - 1) or 0.
    void (*outer_products)(const int16_t* dy, int64_t dy_stride, const int16_t* x, int64_t x_stride, int64_t images,
                           int64_t rows, int64_t lanes, int32_t shift, int32_t half, int32_t* out, int64_t out_stride);
    // total[i] += part[i]
    void (*widen)(const int32_t* part, int64_t* total, int64_t count);
};

const Kernels& portable_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512vnni_kernels();

}  // namespace spindl::simulator
