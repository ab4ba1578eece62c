// Weight gradient: dw[o][tap][c] = sum over pixels of dy[pixel][o] * x[pixel * stride + tap][c], per group of images.
//
// Tiles of the result (rows: output channels, lanes: consecutive elements of x) run over pixels in pairs. As in
// contraction.cpp sums wrap in int32 and are proved to fit by Cauchy-Schwarz, here with the energies of each channel
// over the pixels; a group is cut into pieces (images, lines of pixels, parts of a line) until each is proved, and
// pieces are widened to int64.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "contraction.hpp"
#include "kernels.hpp"
#include "scratch.hpp"
#include "threads.hpp"
#include "vector_path.hpp"

namespace spindl::simulator {
namespace {

constexpr int64_t kTileLanes = int64_t{kTileVectors} * kLanes;
constexpr int64_t kTileElements = kGradientRows * kTileLanes;
constexpr int64_t kBlockTiles = 8;              // along both axes: tiles that share operands in the second-level cache
constexpr int64_t kTileBytes = 256 * 1024;      // operands of one tile and all images that stay there as well
constexpr int64_t kPrivateBytes = 1024 * 1024;  // results small enough for every thread to have its own
constexpr int64_t kManyChannels = 128;          // from here on x is copied in blocks of channels
constexpr int64_t kLongestLine = 1024;          // pixels; longer lines are not formed from short ones
constexpr double kFits = 2147483647.0;

// Energies are sums of floats: each addition may lose 2^-24 of the result.
double margin(int64_t terms) {
    return 1.0 + std::ldexp(static_cast<double>(terms), -23);
}

int64_t ceiling(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// `lanes` consecutive elements of x at (dy, dx) pixels and `element` from an output pixel's corner, and where they go
// in a filter's gradient.
struct LaneTile {
    int64_t dy, dx, element, lanes, out;
};

struct RowTile {
    int64_t first, rows;
};

// Pixels of a group of images: `lines` lines from `line`, columns [column, column + columns) of each.
struct Piece {
    int64_t image, line, lines, column, columns;
};

struct GroupPlan {
    bool narrow;  // one int32 accumulator takes the whole group
    std::vector<Piece> pieces;
};

// How tiles see the pixels of an image of x: in place, or copied with padding and without the pixels that a lone tap
// skips. Many channels are copied in blocks of a tile's lanes, each block [rows][pitch][width]: tiles walk over pixels,
// and strides of powers of two would fall on few sets of the caches.
struct Layout {
    bool copy, sampled;
    int64_t rows, pitch, width, blocks;
    int64_t step_y, step_x;  // pixels between output pixels

    int64_t block_elements() const { return rows * pitch * width; }
    int64_t at(int64_t row, int64_t column, int64_t channel) const {
        return channel / width * block_elements() + (row * pitch + column) * width + channel % width;
    }
};

struct Plan {
    Geometry g;
    Layout x;
    int64_t pairs;  // of pixels in a line of dy
    std::vector<LaneTile> lane_tiles;
    std::vector<RowTile> row_tiles;   // of one group of channels
    int64_t x_elements, dy_elements;  // of one prepared image
    int64_t x_energies, dy_energies;
    double margin;
};

int64_t largest_magnitude(const int16_t* x, int64_t count) {
    int32_t largest = 0;
    for (int64_t i = 0; i < count; ++i) {
        largest = std::max(largest, std::abs(int32_t{x[i]}));
    }
    return largest;
}

Geometry with_long_lines(Geometry g) {
    const bool pointwise = g.taps() == 1 && g.stride[0] == 1 && g.stride[1] == 1 && g.padding[0] == 0 &&
                           g.padding[1] == 0 && g.out_height == g.height && g.out_width == g.width;
    if (pointwise && g.width % 2 != 0 && g.height * g.width <= kLongestLine) {
        g.width = g.out_width = g.height * g.width;
        g.height = g.out_height = 1;
    }
    return g;
}

Layout make_layout(const Geometry& g) {
    const int64_t end_y = (g.out_height - 1) * g.stride[0] + (g.kernel_height - 1) * g.dilation[0] + 1 - g.padding[0];
    const int64_t end_x = (g.out_width - 1) * g.stride[1] + (g.kernel_width - 1) * g.dilation[1] + 1 - g.padding[1];
    const bool padded = g.padding[0] > 0 || g.padding[1] > 0 || end_y > g.height || end_x > g.width;
    const bool blocked = g.groups == 1 && g.channels % kTileLanes == 0 && g.channels >= kManyChannels;
    Layout x{};
    x.sampled = g.taps() == 1 && (g.stride[0] > 1 || g.stride[1] > 1);
    x.copy = padded || blocked || x.sampled;
    x.rows = x.sampled ? g.out_height : x.copy ? end_y + g.padding[0] : g.height;
    x.pitch = x.sampled ? g.out_width : x.copy ? end_x + g.padding[1] : g.width;
    x.width = blocked ? kTileLanes : g.channels;
    x.blocks = g.channels / x.width;
    x.step_y = x.sampled ? 1 : g.stride[0];
    x.step_x = x.sampled ? 1 : g.stride[1];
    return x;
}

Plan make_plan(const Geometry& original) {
    Plan plan{};
    plan.g = with_long_lines(original);
    const Geometry& g = plan.g;
    plan.x = make_layout(g);
    plan.pairs = ceiling(g.out_width, 2);
    const bool merge = g.groups == 1 && g.dilation[1] == 1 && plan.x.blocks == 1;
    const int64_t runs = merge ? 1 : g.kernel_width;
    const int64_t length = (merge ? g.kernel_width : 1) * g.group_channels();
    for (int64_t kh = 0; kh < g.kernel_height; ++kh) {
        for (int64_t run = 0; run < runs; ++run) {
            for (int64_t element = 0; element < length; element += kTileLanes) {
                plan.lane_tiles.push_back({kh * g.dilation[0], run * g.dilation[1], element,
                                           std::min(kTileLanes, length - element),
                                           (kh * g.kernel_width + run) * g.group_channels() + element});
            }
        }
    }
    const int64_t outputs = g.group_out_channels();
    const int64_t count = ceiling(outputs, kGradientRows);
    for (int64_t i = 0; i < count; ++i) {
        const int64_t first = outputs * i / count;
        plan.row_tiles.push_back({first, outputs * (i + 1) / count - first});
    }
    plan.x_elements = plan.x.copy ? plan.x.block_elements() * plan.x.blocks : 0;
    plan.dy_elements = g.out_height * plan.pairs * 2 * g.out_channels;
    plan.x_energies = g.height * g.channels;
    plan.dy_energies = g.out_height * g.out_channels;
    plan.margin = margin(g.width + g.height + g.out_width + g.out_height);
    return plan;
}

// Prepared images: x with its padding (or in place), dy interleaved for the tiles, and energies per line and channel.
struct Images {
    const Kernels& k;
    const Plan& plan;
    const int16_t* dy;
    const int16_t* x;
    int64_t first_image;  // that the buffers hold
    int16_t* x_copies;
    int16_t* dy_pairs;
    float* x_energy;
    float* dy_energy;

    void prepare(int64_t image);
    GroupPlan plan_group(int64_t first, int64_t end, const Requantise& q, bool exact) const;

    const int16_t* x_of(int64_t image) const {
        return plan.x.copy ? x_copies + (image - first_image) * plan.x_elements
                           : x + image * plan.g.height * plan.g.width * plan.g.channels;
    }
    const int16_t* dy_of(int64_t image) const { return dy_pairs + (image - first_image) * plan.dy_elements; }

private:
    void copy_x(int64_t image);
    double x_bound(const Piece& piece) const;
    double dy_bound(const Piece& piece) const;
    void cut(const Piece& piece, std::vector<Piece>& pieces) const;
};

void Images::copy_x(int64_t image) {
    const Geometry& g = plan.g;
    const Layout& layout = plan.x;
    const int64_t stride_y = layout.sampled ? g.stride[0] : 1;
    const int64_t stride_x = layout.sampled ? g.stride[1] : 1;
    const auto bytes = static_cast<size_t>(layout.width) * sizeof(int16_t);
    int16_t* const copy = x_copies + (image - first_image) * plan.x_elements;
    for (int64_t row = 0; row < layout.rows; ++row) {
        const int64_t y = row * stride_y - g.padding[0];
        const int16_t* const line = x + (image * g.height + y) * g.width * g.channels;
        // Columns [left, right) lie inside the image.
        const int64_t left = std::min(ceiling(g.padding[1], stride_x), layout.pitch);
        const int64_t inside = ceiling(std::max<int64_t>(0, g.width + g.padding[1]), stride_x);
        const int64_t right = y < 0 || y >= g.height ? left : std::clamp(inside, left, layout.pitch);
        for (int64_t block = 0; block < layout.blocks; ++block) {
            int16_t* const to = copy + layout.at(row, 0, block * layout.width);
            std::memset(to, 0, bytes * static_cast<size_t>(left));
            std::memset(to + right * layout.width, 0, bytes * static_cast<size_t>(layout.pitch - right));
        }
        if (layout.blocks == 1 && stride_x == 1) {
            std::memcpy(copy + layout.at(row, left, 0), line + (left - g.padding[1]) * g.channels,
                        bytes * static_cast<size_t>(right - left));
            continue;
        }
        for (int64_t column = left; column < right; ++column) {
            const int16_t* from = line + (column * stride_x - g.padding[1]) * g.channels;
            int16_t* to = copy + layout.at(row, column, 0);
            for (int64_t block = 0; block < layout.blocks; ++block) {
                std::memcpy(to + block * layout.block_elements(), from + block * layout.width, bytes);
            }
        }
    }
}

void Images::prepare(int64_t image) {
    const Geometry& g = plan.g;
    if (plan.x.copy) {
        copy_x(image);
    }
    const int64_t slot = image - first_image;
    const int16_t* const dy_image = dy + image * g.out_height * g.out_width * g.out_channels;
    float* const dy_to = dy_energy + slot * plan.dy_energies;
    std::fill_n(dy_to, plan.dy_energies, 0.0F);
    int16_t* const pairs = dy_pairs + slot * plan.dy_elements;
    for (int64_t line = 0; line < g.out_height; ++line) {
        const int16_t* const from = dy_image + line * g.out_width * g.out_channels;
        k.column_energies(from, g.out_width, g.out_channels, g.out_channels, dy_to + line * g.out_channels);
        for (int64_t group = 0; group < g.groups; ++group) {
            for (const RowTile& tile : plan.row_tiles) {
                const int64_t first = group * g.group_out_channels() + tile.first;
                int16_t* to = pairs + (g.out_height * first + line * tile.rows) * plan.pairs * 2;
                k.pack_columns(from + first, g.out_channels, tile.rows, tile.rows, g.out_width, to);
            }
        }
    }
    float* const x_to = x_energy + slot * plan.x_energies;
    std::fill_n(x_to, plan.x_energies, 0.0F);
    // With one tap, pixels that a stride skips have no part in any sum.
    const int64_t step = g.taps() == 1 && g.padding[1] == 0 ? g.stride[1] : 1;
    for (int64_t row = 0; row < g.height; ++row) {
        k.column_energies(x + (image * g.height + row) * g.width * g.channels, ceiling(g.width, step),
                          step * g.channels, g.channels, x_to + row * g.channels);
    }
}

// Upper bounds of the energy of any one channel within a piece (a whole line where the piece has only part of it).
double Images::dy_bound(const Piece& piece) const {
    const int64_t channels = plan.g.out_channels;
    const float* from = dy_energy + (piece.image - first_image) * plan.dy_energies + piece.line * channels;
    std::vector<float> sums(static_cast<size_t>(channels), 0.0F);
    for (int64_t line = 0; line < piece.lines; ++line) {
        k.add_strided(sums.data(), from + line * channels, channels, 1);
    }
    return *std::max_element(sums.begin(), sums.end());
}

double Images::x_bound(const Piece& piece) const {
    const Geometry& g = plan.g;
    const float* from = x_energy + (piece.image - first_image) * plan.x_energies;
    std::vector<float> sums(static_cast<size_t>(g.channels), 0.0F);
    const int64_t first = piece.line * g.stride[0] - g.padding[0];
    const int64_t last =
        (piece.line + piece.lines - 1) * g.stride[0] + (g.kernel_height - 1) * g.dilation[0] - g.padding[0];
    const int64_t step = g.kernel_height == 1 ? g.stride[0] : 1;
    for (int64_t row = first; row <= last; row += step) {
        if (row >= 0 && row < g.height) {
            k.add_strided(sums.data(), from + row * g.channels, g.channels, 1);
        }
    }
    return *std::max_element(sums.begin(), sums.end());
}

void Images::cut(const Piece& piece, std::vector<Piece>& pieces) const {
    const double dy_energy_bound = dy_bound(piece) * plan.margin;
    const double x_energy_bound = x_bound(piece) * plan.margin;
    if (std::sqrt(dy_energy_bound) * std::sqrt(x_energy_bound) + 1.0 < kFits) {
        pieces.push_back(piece);
    } else if (piece.lines > 1) {
        const int64_t half = piece.lines / 2;
        cut({piece.image, piece.line, half, piece.column, piece.columns}, pieces);
        cut({piece.image, piece.line + half, piece.lines - half, piece.column, piece.columns}, pieces);
    } else {
        const double largest =
            std::min(32767.0, std::sqrt(dy_energy_bound)) * std::min(32767.0, std::sqrt(x_energy_bound));
        const int64_t most = std::max<int64_t>(1, static_cast<int64_t>(kFits / (2.0 * largest))) * 2;
        for (int64_t column = 0; column < piece.columns; column += most) {
            pieces.push_back({piece.image, piece.line, 1, column, std::min(most, piece.columns - column)});
        }
    }
}

GroupPlan Images::plan_group(int64_t first, int64_t end, const Requantise& q, bool exact) const {
    const Geometry& g = plan.g;
    GroupPlan group{false, {}};
    double dy_total = 0;
    double x_total = 0;
    for (int64_t image = first; image < end; ++image) {
        group.pieces.push_back({image, 0, g.out_height, 0, g.out_width});
        dy_total += dy_bound(group.pieces.back());
        x_total += x_bound(group.pieces.back());
    }
    const double half = std::ldexp(0.5, q.shift);
    const double bound = std::sqrt(dy_total * plan.margin) * std::sqrt(x_total * plan.margin);
    if (!exact && q.shift >= 0 && q.shift <= 30 && bound + half + 1.0 < kFits) {
        group.narrow = true;
        return group;
    }
    std::vector<Piece> images;
    images.swap(group.pieces);
    for (const Piece& piece : images) {
        cut(piece, group.pieces);
    }
    return group;
}

// One tile of the result of one group of channels.
struct ResultTile {
    int64_t channel_group;
    const LaneTile* lanes;
    const RowTile* rows;
};

// Of the first element that a tile reads of a piece. A run of merged taps may start beyond the channels of a pixel.
int64_t x_offset(const Layout& layout, const Piece& piece, const ResultTile& tile, int64_t element) {
    const int64_t row = piece.line * layout.step_y + tile.lanes->dy;
    const int64_t column = piece.column * layout.step_x + tile.lanes->dx;
    return layout.blocks == 1 ? layout.at(row, column, 0) + element : layout.at(row, column, element);
}

int64_t vectors_of(const ResultTile& tile) {
    return tile.lanes->lanes > kLanes ? 2 : 1;
}

int64_t filter_elements(const Geometry& g) {
    return g.taps() * g.group_channels();
}

// Of a tile's first element in the weight gradient; rows are filter_elements apart.
int64_t result_offset(const Geometry& g, const ResultTile& tile) {
    return (tile.channel_group * g.group_out_channels() + tile.rows->first) * filter_elements(g) + tile.lanes->out;
}

// Sums of the tile over the pixels of a group: rounded and added to `sums` [rows][vectors * kLanes], set if this is the
// first group; or, if `exact` (the whole weight gradient) is given, as they are.
void run_tile(const Images& images, const ResultTile& tile, const GroupPlan& group, const Requantise& q, bool first,
              int32_t* sums, int64_t* exact, Statistics& statistics) {
    const Plan& plan = images.plan;
    const Geometry& g = plan.g;
    const Kernels& k = images.k;
    const Layout& layout = plan.x;
    const int64_t output = tile.channel_group * g.group_out_channels() + tile.rows->first;
    const int64_t vectors = vectors_of(tile);
    const int64_t width = vectors * kLanes;
    const int64_t rows = tile.rows->rows;
    alignas(64) int32_t accumulators[kTileElements];
    alignas(64) int64_t totals[kTileElements];
    GradientTile t{};
    t.x_line = layout.step_y * layout.pitch * layout.width;
    t.x_pixel = layout.step_x * layout.width;
    t.dy_line = plan.pairs * 2 * rows;
    t.dy_rows = rows;
    t.lanes = tile.lanes->lanes;
    t.fresh = true;
    t.accumulators = accumulators;
    const Requantise32 narrow = group.narrow ? Requantise32::make(q) : Requantise32{};
    t.start = narrow.half;
    if (!group.narrow) {
        std::fill_n(totals, rows * width, 0);
    }
    for (const Piece& piece : group.pieces) {
        const int64_t channel = tile.channel_group * g.group_channels() + tile.lanes->element;
        t.x = images.x_of(piece.image) + x_offset(layout, piece, tile, channel);
        t.dy = images.dy_of(piece.image) + (g.out_height * output + piece.line * rows) * plan.pairs * 2 +
               piece.column * rows;
        t.lines = piece.lines;
        t.columns = piece.columns;
        k.gradient_tile[rows - 1][vectors - 1](t);
        if (group.narrow) {
            t.fresh = false;
        } else {
            k.widen(accumulators, totals, rows * width);
        }
    }
    if (exact != nullptr) {
        for (int64_t r = 0; r < rows; ++r) {
            std::copy_n(totals + r * width, t.lanes, exact + result_offset(g, tile) + r * filter_elements(g));
        }
    } else if (group.narrow) {
        k.add32(accumulators, rows, width, t.lanes, narrow, sums, width, first, statistics);
    } else {
        k.add64(totals, rows, width, t.lanes, q, sums, width, first, statistics);
    }
}

// Copies a tile's sums to their place.
void store_tile(const Geometry& g, const ResultTile& tile, const int32_t* sums, int32_t* dw) {
    for (int64_t r = 0; r < tile.rows->rows; ++r) {
        std::copy_n(sums + r * vectors_of(tile) * kLanes, tile.lanes->lanes,
                    dw + result_offset(g, tile) + r * filter_elements(g));
    }
}

// In square blocks, so that neighbours in the list share both operands.
std::vector<ResultTile> make_tiles(const Plan& plan) {
    std::vector<ResultTile> tiles;
    const auto lane_count = static_cast<int64_t>(plan.lane_tiles.size());
    const auto row_count = static_cast<int64_t>(plan.row_tiles.size());
    for (int64_t group = 0; group < plan.g.groups; ++group) {
        for (int64_t row_block = 0; row_block < row_count; row_block += kBlockTiles) {
            for (int64_t lane = 0; lane < lane_count; ++lane) {
                for (int64_t row = row_block; row < std::min(row_count, row_block + kBlockTiles); ++row) {
                    tiles.push_back({group, &plan.lane_tiles[static_cast<size_t>(lane)],
                                     &plan.row_tiles[static_cast<size_t>(row)]});
                }
            }
        }
    }
    return tiles;
}

struct Problem {
    const Kernels& k;
    const Plan& plan;
    const std::vector<ResultTile>& tiles;
    const int16_t* dy;
    const int16_t* x;
    int64_t group_size, group_count;
    const Requantise& q;
    int32_t* dw;
    int64_t* exact;

    int64_t group_end(int64_t group) const { return std::min(plan.g.images, (group + 1) * group_size); }
};

// Each thread takes some of the groups of images and sums into its own tiles; these are added at the end.
Statistics split_groups(const Problem& p) {
    thread_local Scratch sums_memory;
    const int workers = threads();
    const auto tile_count = static_cast<int64_t>(p.tiles.size());
    int32_t* const all_sums = sums_memory.get<int32_t>(workers * tile_count * kTileElements);
    std::vector<Statistics> statistics(static_cast<size_t>(workers));
    parallel(workers, [&](int index, int count) {
        thread_local Scratch x_memory, dy_memory, x_energy_memory, dy_energy_memory;
        Images images{p.k,
                      p.plan,
                      p.dy,
                      p.x,
                      0,
                      x_memory.get<int16_t>(p.group_size * p.plan.x_elements),
                      dy_memory.get<int16_t>(p.group_size * p.plan.dy_elements),
                      x_energy_memory.get<float>(p.group_size * p.plan.x_energies),
                      dy_energy_memory.get<float>(p.group_size * p.plan.dy_energies)};
        // Lanes that no tile uses are added up as well.
        std::fill_n(all_sums + index * tile_count * kTileElements, tile_count * kTileElements, 0);
        const Range range = share(p.group_count, index, count);
        for (int64_t group = range.begin; group < range.end; ++group) {
            images.first_image = group * p.group_size;
            for (int64_t image = images.first_image; image < p.group_end(group); ++image) {
                images.prepare(image);
            }
            const GroupPlan group_plan = images.plan_group(images.first_image, p.group_end(group), p.q, false);
            int32_t* sums = all_sums + index * tile_count * kTileElements;
            for (const ResultTile& tile : p.tiles) {
                run_tile(images, tile, group_plan, p.q, group == range.begin, sums, nullptr,
                         statistics[static_cast<size_t>(index)]);
                sums += kTileElements;
            }
        }
    });
    const int64_t used = std::min<int64_t>(workers, p.group_count);
    for (int64_t tile = 0; tile < tile_count; ++tile) {
        int32_t* const sums = all_sums + tile * kTileElements;
        for (int64_t thread = 1; thread < used; ++thread) {
            const int32_t* more = sums + thread * tile_count * kTileElements;
            for (int64_t i = 0; i < kTileElements; ++i) {
                sums[i] += more[i];
            }
        }
        store_tile(p.plan.g, p.tiles[static_cast<size_t>(tile)], sums, p.dw);
    }
    Statistics all;
    for (const Statistics& s : statistics) {
        all.merge(s);
    }
    return all;
}

// Each thread takes some of the tiles, in blocks that stay in its cache, and all groups of images.
Statistics split_tiles(const Problem& p) {
    thread_local Scratch x_memory, dy_memory, x_energy_memory, dy_energy_memory;
    const int64_t count_images = p.plan.g.images;
    const Images buffers{p.k,
                         p.plan,
                         p.dy,
                         p.x,
                         0,
                         x_memory.get<int16_t>(count_images * p.plan.x_elements),
                         dy_memory.get<int16_t>(count_images * p.plan.dy_elements),
                         x_energy_memory.get<float>(count_images * p.plan.x_energies),
                         dy_energy_memory.get<float>(count_images * p.plan.dy_energies)};
    std::vector<GroupPlan> groups(static_cast<size_t>(p.group_count));
    parallel([&](int index, int count) {
        Images images = buffers;
        const Range range = share(count_images, index, count);
        for (int64_t image = range.begin; image < range.end; ++image) {
            images.prepare(image);
        }
    });
    const int workers = threads();
    std::vector<Statistics> statistics(static_cast<size_t>(workers));
    parallel(workers, [&](int index, int count) {
        const Images images = buffers;
        const Range range = share(p.group_count, index, count);
        for (int64_t group = range.begin; group < range.end; ++group) {
            groups[static_cast<size_t>(group)] =
                images.plan_group(group * p.group_size, p.group_end(group), p.q, p.exact != nullptr);
        }
    });
    // Small images: one result tile at a time, all images, so that its sums stay close. Large ones: image by image.
    const Geometry& g = p.plan.g;
    const int64_t pixels = g.images * (g.height * g.width * kTileLanes + g.out_height * g.out_width * kGradientRows);
    const int64_t block = pixels * static_cast<int64_t>(sizeof(int16_t)) <= kTileBytes ? 1 : kBlockTiles * kBlockTiles;
    parallel(workers, [&](int index, int count) {
        thread_local Scratch sums_memory;
        int32_t* const sums = sums_memory.get<int32_t>(block * kTileElements);
        const Range range = share(static_cast<int64_t>(p.tiles.size()), index, count);
        for (int64_t first = range.begin; first < range.end; first += block) {
            const int64_t end = std::min(range.end, first + block);
            for (int64_t group = 0; group < p.group_count; ++group) {
                for (int64_t tile = first; tile < end; ++tile) {
                    run_tile(buffers, p.tiles[static_cast<size_t>(tile)], groups[static_cast<size_t>(group)], p.q,
                             group == 0, sums + (tile - first) * kTileElements, p.exact,
                             statistics[static_cast<size_t>(index)]);
                }
            }
            for (int64_t tile = first; tile < end && p.exact == nullptr; ++tile) {
                store_tile(g, p.tiles[static_cast<size_t>(tile)], sums + (tile - first) * kTileElements, p.dw);
            }
        }
    });
    Statistics all;
    for (const Statistics& s : statistics) {
        all.merge(s);
    }
    return all;
}

// Groups of one pixel: each group's sums are single products, whose largest is the product of the largest factors.
// False (and nothing done) if some product would be clamped.
bool single_products(const Geometry& g, const int16_t* dy, const int16_t* x, const Requantise& q, int32_t* dw,
                     Statistics& statistics) {
    if (q.shift < 0 || q.shift > 30) {
        return false;
    }
    int64_t largest = 0;
    for (int64_t image = 0; image < g.images; ++image) {
        largest = std::max(largest, largest_magnitude(dy + image * g.out_channels, g.out_channels) *
                                        largest_magnitude(x + image * g.channels, g.channels));
    }
    if (largest >= q.high) {
        return false;
    }
    statistics.max_abs = static_cast<uint64_t>(largest);
    const Kernels& k = kernels();
    parallel([&](int index, int count) {
        const Range range = share(ceiling(g.out_channels, 8), index, count);
        const int64_t first = range.begin * 8;
        const int64_t rows = std::min(range.end * 8, g.out_channels) - first;
        k.outer_products(dy + first, g.out_channels, x, g.channels, g.images, rows, g.channels, q.shift,
                         Requantise32::make(q).half, dw + first * g.channels, g.channels);
    });
    return true;
}

}  // namespace

Statistics convolution_weight_gradient(const Geometry& g, const int16_t* dy, const int16_t* x, int32_t* dw,
                                       int64_t* exact, int64_t group_size, const Requantise& q) {
    const int64_t elements = g.out_channels * g.taps() * g.group_channels();
    if (g.images == 0 || g.out_height == 0 || g.out_width == 0) {
        if (exact != nullptr) {
            std::fill_n(exact, elements, 0);
        } else {
            std::fill_n(dw, elements, 0);
        }
        return {};
    }
    Statistics products;
    const bool one_pixel = g.height == 1 && g.width == 1 && g.out_height == 1 && g.out_width == 1 && g.taps() == 1;
    const bool no_padding = g.padding[0] == 0 && g.padding[1] == 0;
    if (one_pixel && no_padding && g.groups == 1 && group_size == 1 && exact == nullptr &&
        single_products(g, dy, x, q, dw, products)) {
        return products;
    }
    const Plan plan = make_plan(g);
    const std::vector<ResultTile> tiles = make_tiles(plan);
    const int64_t size = exact != nullptr ? g.images : std::min(group_size, g.images);
    const Problem problem{kernels(), plan, tiles, dy, x, size, ceiling(g.images, size), q, dw, exact};
    const bool small = elements * static_cast<int64_t>(sizeof(int32_t)) <= kPrivateBytes;
    const bool even = problem.group_count % threads() == 0 || problem.group_count >= 8 * threads();
    return exact == nullptr && small && even ? split_groups(problem) : split_tiles(problem);
}

}  // namespace spindl::simulator
