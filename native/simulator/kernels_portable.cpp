// The leaf functions for any processor: plain loops that a compiler turns into whatever vectors it has.
#include "kernels.hpp"
#include "kernels_plain.hpp"

namespace spindl::simulator {
namespace {

// sums[lane] += factors times pairs[lane], in wrapping arithmetic.
template <int64_t Width>
inline void add_pair(uint32_t* sums, const int16_t* pairs, int32_t first, int32_t second) {
    for (int64_t lane = 0; lane < Width; ++lane) {
        sums[lane] +=
            static_cast<uint32_t>(first * pairs[2 * lane]) + static_cast<uint32_t>(second * pairs[2 * lane + 1]);
    }
}

// Row by row: where rows are an inner loop, gcc 12 vectorises over them and reads rows beyond the last one.
template <int Rows, int Vectors>
void tile(const Tile& t) {
    constexpr int64_t kWidth = int64_t{Vectors} * kLanes;
    for (int r = 0; r < Rows; ++r) {
        uint32_t sums[kWidth];
        for (int64_t lane = 0; lane < kWidth; ++lane) {
            sums[lane] = static_cast<uint32_t>(t.start[lane]);
        }
        const int16_t* weights = t.weights;
        for (int64_t s = 0; s < t.segment_count; ++s) {
            const int16_t* input = t.input + r * t.stride + t.segments[s].offset;
            for (int64_t pair = 0; pair < t.segments[s].pairs; ++pair) {
                add_pair<kWidth>(sums, weights, input[2 * pair], input[2 * pair + 1]);
                weights += 2 * kWidth;
            }
        }
        for (int64_t lane = 0; lane < kWidth; ++lane) {
            t.accumulators[r * kWidth + lane] = static_cast<int32_t>(sums[lane]);
        }
    }
}

template <int Rows, int Vectors>
void gradient_tile(const GradientTile& t) {
    constexpr int64_t kWidth = int64_t{Vectors} * kLanes;
    for (int r = 0; r < Rows; ++r) {
        uint32_t sums[kWidth];
        for (int64_t lane = 0; lane < kWidth; ++lane) {
            sums[lane] = static_cast<uint32_t>(t.fresh ? t.start : t.accumulators[r * kWidth + lane]);
        }
        for (int64_t line = 0; line < t.lines; ++line) {
            for (int64_t column = 0; column < t.columns; ++column) {
                const int16_t* x = t.x + line * t.x_line + column * t.x_pixel;
                const int32_t factor = t.dy[line * t.dy_line + ((column / 2) * t.dy_rows + r) * 2 + column % 2];
                for (int64_t lane = 0; lane < t.lanes; ++lane) {
                    sums[lane] += static_cast<uint32_t>(factor * x[lane]);
                }
            }
        }
        for (int64_t lane = 0; lane < kWidth; ++lane) {
            t.accumulators[r * kWidth + lane] = static_cast<int32_t>(sums[lane]);
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
    Kernels kernels = plain_kernels();
    kernels.name = "portable";
    fill_rows<kGradientRows>(kernels);
    return kernels;
}

}  // namespace

const Kernels& portable_kernels() {
    static const Kernels kernels = make();
    return kernels;
}

}  // namespace spindl::simulator
