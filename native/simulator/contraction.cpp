// Forward convolution and input gradient as one problem: every output pixel is a sum over taps of (input pixel) x
// (weights).
//
// Sums run in wrapping int32 registers. They are exact if the true value of a register fits, and that is proved by
// Cauchy-Schwarz: |sum x w| <= |x| |w|, with |x|^2 taken over the windows of a task's output pixels and |w|^2 over the
// filters. A reduction is cut into "units" (a tap and up to 64 channels); for each task the smallest number of parts is
// taken (1, 2, 4, ... spans of units) for which every part is proved; parts are widened to int64 between each other. If
// even single units cannot be proved, parts shrink to so few products that no int16 input could overflow them.
#include "contraction.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels.hpp"
#include "scratch.hpp"
#include "threads.hpp"
#include "vector_path.hpp"

namespace spindl::simulator {
namespace {

constexpr int64_t kPanel = int64_t{kTileVectors} * kLanes;
constexpr int64_t kTaskBytes =
    256 * 1024;  // input of one task: stays in a core's second-level cache with a panel of weights
constexpr int64_t kTasksPerThread = 8;
constexpr double kFits = 2147483647.0;  // largest int32

// Energies are sums of floats: each addition may lose 2^-24 of the result. Covers the 64 terms of a unit and all units.
double margin(int64_t units) {
    return 1.0 + std::ldexp(static_cast<double>(units + 2 * kEnergyBlock), -23);
}

// Input pixel of a tap: (row * step_y + dy, column * step_x + dx). Weight of a tap: `weight` elements into a filter.
struct Tap {
    int64_t dy, dx, weight;
};

struct Problem {
    const int16_t* input;
    int64_t images, height, width, channels;
    int64_t rows, columns;  // output pixels of an image
    int64_t step_y, step_x;
    std::vector<Tap> taps;
    int64_t groups, reduction, outputs;  // per group: channels summed over, channels produced
    const int16_t* weights;              // element (group, output, reduced) of a tap: strides below
    int64_t weight_group, weight_output, weight_reduction;
    const int64_t* bias;
    Destination out;
    int64_t out_image, out_row, out_column;  // strides in elements
};

// What one step of proof covers: `run` taps that follow each other in x (their channels contiguous in memory), and
// channels [channel, channel + channels) of each of them.
struct Unit {
    int64_t tap, run, channel, channels;
    int64_t pairs() const { return (run * channels + 1) / 2; }
};

struct Part {
    std::vector<Segment> segments;
    int64_t first_pair;
    int64_t first_unit, end_unit;
};

struct Level {
    std::vector<Part> parts;
    std::vector<double> weight_energy;  // [group][part], largest of the filters
};

struct Panel {
    int64_t first, lanes, width;
    int64_t offset;  // of its weights, in elements
};

// A piece of the output: rows [row, end_row) of `columns` pixels, from input and output positions of an image.
struct Task {
    const int16_t* input;
    int64_t out;
    int64_t row, end_row, columns;
    int64_t height, width;  // of the input image
};

struct Plan {
    int64_t min_dy, max_dy, min_dx, max_dx;
    bool copy;      // the input of a task is copied, with zeros around it
    bool flat;      // 1x1: pixels of all images form one line
    int64_t pitch;  // pixels between rows of a task's input
    std::vector<Unit> units;
    double margin;
    std::vector<int64_t> unit_pairs;  // prefix sums
    std::vector<Level> levels;        // coarse to fine; the last one needs no proof
    std::vector<Panel> panels;
    int64_t panel_elements;  // weights of one group
    int64_t run_rows;        // rows of a tile
    std::vector<Task> tasks;
};

int64_t ceiling(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

std::vector<Unit> make_units(const Problem& p) {
    std::vector<Unit> units;
    const auto count = static_cast<int64_t>(p.taps.size());
    const bool merge = p.reduction % 2 != 0 && p.reduction < kEnergyBlock && p.groups == 1;
    for (int64_t tap = 0; tap < count;) {
        int64_t run = 1;
        if (merge) {
            while (tap + run < count && p.taps[tap + run].dy == p.taps[tap].dy &&
                   p.taps[tap + run].dx == p.taps[tap].dx + run) {
                ++run;
            }
            units.push_back({tap, run, 0, p.reduction});
        } else {
            for (int64_t channel = 0; channel < p.reduction; channel += kEnergyBlock) {
                units.push_back({tap, 1, channel, std::min<int64_t>(kEnergyBlock, p.reduction - channel)});
            }
        }
        tap += run;
    }
    return units;
}

// Offset of a unit's first element from the output pixel's corner.
int64_t unit_offset(const Problem& p, const Plan& plan, const Unit& unit) {
    const Tap& tap = p.taps[unit.tap];
    return ((tap.dy - plan.min_dy) * plan.pitch + tap.dx - plan.min_dx) * p.channels + unit.channel;
}

void append(std::vector<Segment>& segments, int64_t offset, int64_t pairs) {
    if (!segments.empty() && segments.back().offset + 2 * segments.back().pairs == offset) {
        segments.back().pairs += pairs;
    } else {
        segments.push_back({offset, pairs});
    }
}

Part make_part(const Problem& p, const Plan& plan, int64_t first, int64_t end) {
    Part part{{}, plan.unit_pairs[first], first, end};
    for (int64_t u = first; u < end; ++u) {
        append(part.segments, unit_offset(p, plan, plan.units[u]), plan.units[u].pairs());
    }
    return part;
}

void make_levels(const Problem& p, Plan& plan) {
    const auto count = static_cast<int64_t>(plan.units.size());
    int64_t span = 1;
    while (span < count) {
        span *= 2;
    }
    for (; span >= 1; span /= 2) {
        Level level;
        for (int64_t first = 0; first < count; first += span) {
            level.parts.push_back(make_part(p, plan, first, std::min(count, first + span)));
        }
        level.weight_energy.assign(static_cast<size_t>(p.groups) * level.parts.size(), 0.0);
        plan.levels.push_back(std::move(level));
    }
}

// Parts of so few pairs that they fit whatever the input is, given the largest energy of a unit's weights.
void make_last_level(const Problem& p, Plan& plan) {
    const Level& finest = plan.levels.back();
    double energy = 0;
    for (const double e : finest.weight_energy) {
        energy = std::max(energy, e);
    }
    const double weight = std::min(32767.0, std::ceil(std::sqrt(energy * plan.margin)));
    const int64_t most = std::max<int64_t>(1, static_cast<int64_t>(kFits / (2.0 * 32767.0 * std::max(1.0, weight))));
    Level level;
    for (int64_t u = 0; u < static_cast<int64_t>(plan.units.size()); ++u) {
        const int64_t pairs = plan.units[u].pairs();
        for (int64_t pair = 0; pair < pairs; pair += most) {
            Part part{{}, plan.unit_pairs[u] + pair, u, u + 1};
            part.segments.push_back({unit_offset(p, plan, plan.units[u]) + 2 * pair, std::min(most, pairs - pair)});
            level.parts.push_back(std::move(part));
        }
    }
    plan.levels.push_back(std::move(level));
}

int64_t tile_rows(int64_t columns) {
    return ceiling(columns, ceiling(columns, kTileRows));
}

void make_flat_tasks(const Problem& p, Plan& plan) {
    const int64_t pixels = p.images * p.height * p.width;
    const int64_t most = std::clamp<int64_t>(kTaskBytes / (2 * p.channels), 7 * kTileRows, 56 * kTileRows);
    const int64_t count = ceiling(ceiling(pixels, most), threads()) * threads();
    const int64_t even = ceiling(pixels, count);
    const int64_t by_seven = ceiling(even, 7) * 7;
    const int64_t by_eight = ceiling(even, kTileRows) * kTileRows;
    const int64_t block = std::min(by_seven, by_eight);
    plan.run_rows = block % kTileRows == 0 ? kTileRows : 7;
    for (int64_t first = 0; first < pixels; first += block) {
        const int64_t columns = std::min(block, pixels - first);
        plan.tasks.push_back({p.input + first * p.channels, first * p.out_column, 0, 1, columns, 1, columns});
    }
}

void make_tasks(const Problem& p, Plan& plan) {
    const int64_t row_bytes =
        2 * p.channels * std::max<int64_t>(1, plan.max_dx - plan.min_dx + (p.columns - 1) * p.step_x + 1);
    int64_t blocks = std::min(p.rows, ceiling(p.rows * p.step_y * row_bytes, kTaskBytes));
    while (blocks < p.rows && p.images * blocks < kTasksPerThread * threads() && (p.images * blocks) % threads() != 0) {
        ++blocks;
    }
    plan.run_rows = tile_rows(p.columns);
    for (int64_t image = 0; image < p.images; ++image) {
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t first = p.rows * block / blocks;
            const int64_t end = p.rows * (block + 1) / blocks;
            plan.tasks.push_back({p.input + image * p.height * p.width * p.channels, image * p.out_image, first, end,
                                  p.columns, p.height, p.width});
        }
    }
}

Plan make_plan(const Problem& p) {
    Plan plan{};
    const auto by_dy = [](const Tap& a, const Tap& b) { return a.dy < b.dy; };
    const auto by_dx = [](const Tap& a, const Tap& b) { return a.dx < b.dx; };
    plan.min_dy = std::min_element(p.taps.begin(), p.taps.end(), by_dy)->dy;
    plan.max_dy = std::max_element(p.taps.begin(), p.taps.end(), by_dy)->dy;
    plan.min_dx = std::min_element(p.taps.begin(), p.taps.end(), by_dx)->dx;
    plan.max_dx = std::max_element(p.taps.begin(), p.taps.end(), by_dx)->dx;
    const int64_t end_y = plan.max_dy + (p.rows - 1) * p.step_y + 1;
    const int64_t end_x = plan.max_dx + (p.columns - 1) * p.step_x + 1;
    // An odd number of channels makes the last pair read one element further: it must exist, its weight is zero.
    plan.copy = plan.min_dy < 0 || plan.min_dx < 0 || end_y > p.height || end_x > p.width || p.reduction % 2 != 0;
    plan.flat = p.taps.size() == 1 && p.step_y == 1 && p.step_x == 1 && plan.min_dy == 0 && plan.min_dx == 0 &&
                p.rows == p.height && p.columns == p.width && p.out_row == p.columns * p.out_column &&
                p.out_image == p.rows * p.out_row;
    plan.pitch = plan.copy ? end_x - plan.min_dx : p.width;
    plan.units = make_units(p);
    plan.margin = margin(static_cast<int64_t>(plan.units.size()) * plan.units.front().run);
    plan.unit_pairs.push_back(0);
    for (const Unit& unit : plan.units) {
        plan.unit_pairs.push_back(plan.unit_pairs.back() + unit.pairs());
    }
    if (plan.flat) {
        make_flat_tasks(p, plan);
        plan.pitch = plan.tasks.front().columns;
    } else {
        make_tasks(p, plan);
    }
    make_levels(p, plan);
    for (int64_t first = 0; first < p.outputs; first += kPanel) {
        const int64_t lanes = std::min(kPanel, p.outputs - first);
        const int64_t width = ceiling(lanes, kLanes) * kLanes;
        plan.panels.push_back({first, lanes, width, plan.panel_elements});
        plan.panel_elements += plan.unit_pairs.back() * 2 * width;
    }
    return plan;
}

// Packs a unit's weights for a panel: reduced elements in pairs, lanes beyond the panel's outputs zero.
void pack_unit(const Kernels& k, const Problem& p, const Unit& unit, const Panel& panel, const int16_t* filter,
               int16_t* packed) {
    if (unit.run == 1) {
        const int16_t* source = filter + p.taps[unit.tap].weight + unit.channel * p.weight_reduction;
        if (p.weight_reduction == 1) {
            k.pack_rows(source, p.weight_output, panel.lanes, panel.width, unit.channels, packed);
        } else {
            k.pack_columns(source, p.weight_reduction, panel.lanes, panel.width, unit.channels, packed);
        }
        return;
    }
    std::memset(packed, 0, sizeof(int16_t) * static_cast<size_t>(unit.pairs() * 2 * panel.width));
    for (int64_t i = 0; i < unit.run * unit.channels; ++i) {
        const int64_t offset = p.taps[unit.tap + i / unit.channels].weight + i % unit.channels * p.weight_reduction;
        for (int64_t lane = 0; lane < panel.lanes; ++lane) {
            packed[(i / 2 * panel.width + lane) * 2 + i % 2] = filter[offset + lane * p.weight_output];
        }
    }
}

// energy[unit][lane of the panel]: squares of the weights of a unit, summed.
void weight_energies(const Kernels& k, const Problem& p, const Plan& plan, const Panel& panel, const int16_t* filter,
                     std::vector<float>& energy) {
    const auto units = static_cast<int64_t>(plan.units.size());
    energy.assign(static_cast<size_t>(units * kPanel), 0.0F);
    std::vector<float> rows(static_cast<size_t>(panel.lanes));
    for (int64_t u = 0; u < units; ++u) {
        const Unit& unit = plan.units[u];
        float* to = energy.data() + u * kPanel;
        for (int64_t j = 0; j < unit.run; ++j) {
            const int16_t* source = filter + p.taps[unit.tap + j].weight + unit.channel * p.weight_reduction;
            if (p.weight_reduction == 1) {
                k.energies(source, panel.lanes, p.weight_output, unit.channels, rows.data());
                k.add_strided(to, rows.data(), panel.lanes, 1);
            } else {
                k.column_energies(source, unit.channels, p.weight_reduction, panel.lanes, to);
            }
        }
    }
}

// Largest energy of a filter of the panel, for every part of every level: [level][part], parts of all levels in one
// list.
std::vector<double> panel_maxima(const Plan& plan, const std::vector<float>& energy) {
    std::vector<double> maxima;
    for (const Level& level : plan.levels) {
        for (const Part& part : level.parts) {
            float sums[kPanel] = {};
            for (int64_t u = part.first_unit; u < part.end_unit; ++u) {
                for (int64_t lane = 0; lane < kPanel; ++lane) {
                    sums[lane] += energy[static_cast<size_t>(u * kPanel + lane)];
                }
            }
            maxima.push_back(*std::max_element(sums, sums + kPanel));
        }
    }
    return maxima;
}

void pack_weights(const Kernels& k, const Problem& p, Plan& plan, int16_t* packed) {
    const auto panels = static_cast<int64_t>(plan.panels.size());
    const int64_t total = p.groups * panels;
    std::vector<std::vector<double>> maxima(static_cast<size_t>(total));
    parallel([&](int index, int count) {
        std::vector<float> energy;
        const Range range = share(total, index, count);
        for (int64_t i = range.begin; i < range.end; ++i) {
            const Panel& panel = plan.panels[static_cast<size_t>(i % panels)];
            const int64_t group = i / panels;
            const int16_t* filter = p.weights + group * p.weight_group + panel.first * p.weight_output;
            int16_t* to = packed + group * plan.panel_elements + panel.offset;
            for (size_t u = 0; u < plan.units.size(); ++u) {
                pack_unit(k, p, plan.units[u], panel, filter, to + plan.unit_pairs[u] * 2 * panel.width);
            }
            weight_energies(k, p, plan, panel, filter, energy);
            maxima[static_cast<size_t>(i)] = panel_maxima(plan, energy);
        }
    });
    for (int64_t i = 0; i < total; ++i) {
        const double* from = maxima[static_cast<size_t>(i)].data();
        for (Level& level : plan.levels) {
            double* to = level.weight_energy.data() + i / panels * static_cast<int64_t>(level.parts.size());
            for (size_t part = 0; part < level.parts.size(); ++part) {
                to[part] = std::max(to[part], *from++);
            }
        }
    }
    make_last_level(p, plan);
}

// The input pixels of a task, in place or copied with zeros around.
struct Region {
    const int16_t* base;  // corner of the first output pixel
    int64_t rows, width;  // pixels; rows are plan.pitch pixels apart
};

Region load_region(const Problem& p, const Plan& plan, const Task& task, Scratch& scratch) {
    const int64_t y = task.row * p.step_y + plan.min_dy;
    const int64_t rows = (task.end_row - task.row - 1) * p.step_y + plan.max_dy - plan.min_dy + 1;
    const int64_t width = (task.columns - 1) * p.step_x + plan.max_dx - plan.min_dx + 1;
    if (!plan.copy) {
        return {task.input + (y * task.width + plan.min_dx) * p.channels, rows, width};
    }
    const int64_t row_elements = plan.pitch * p.channels;
    int16_t* const memory = scratch.get<int16_t>(rows * row_elements + 2);
    memory[rows * row_elements] = 0;
    const int64_t left = std::clamp<int64_t>(-plan.min_dx, 0, width);
    const int64_t right = std::clamp<int64_t>(task.width - plan.min_dx, left, width);
    for (int64_t r = 0; r < rows; ++r) {
        int16_t* to = memory + r * row_elements;
        if (y + r < 0 || y + r >= task.height || left == right) {
            std::memset(to, 0, sizeof(int16_t) * static_cast<size_t>(row_elements));
            continue;
        }
        const int16_t* from = task.input + ((y + r) * task.width + plan.min_dx + left) * p.channels;
        std::memset(to, 0, sizeof(int16_t) * static_cast<size_t>(left * p.channels));
        std::memcpy(to + left * p.channels, from, sizeof(int16_t) * static_cast<size_t>((right - left) * p.channels));
        std::memset(to + right * p.channels, 0,
                    sizeof(int16_t) * static_cast<size_t>((plan.pitch - right) * p.channels));
    }
    return {memory, rows, width};
}

// Everything one thread needs while it works on its tasks.
struct Worker {
    const Kernels& k;
    const Problem& p;
    const Plan& plan;
    const Requantise& q;
    const int16_t* packed;
    int64_t largest_bias;
    Scratch& region_memory;
    Scratch& energy_memory;
    Scratch& window_memory;
    size_t hint = 0;  // level that served the last task
    Statistics statistics{};

    void work(const Task& task);

private:
    struct Choice {
        size_t level;
        bool narrow;  // the result needs no 64-bit arithmetic
    };

    Choice choose(const Task& task, const Region& region, int64_t group);
    double energy_bound(const float* energy, int64_t block_size, const Part& part) const;
    double window_energy(const Task& task, const float* energy, int64_t energy_pitch, int64_t block_size, bool sparse,
                         const Part& part, float* windows) const;
    bool proved(double input_energy, double weight_energy, double more) const;
    void run_narrow(const Task& task, const int16_t* base, int64_t group);
    void run_wide(const Task& task, const int16_t* base, int64_t group, const Level& level);
};

bool Worker::proved(double input_energy, double weight_energy, double more) const {
    return std::sqrt(input_energy) * std::sqrt(weight_energy) * plan.margin + more + 1.0 < kFits;
}

// At least the energy of any window within the units of a part: as if every pixel were the largest.
double Worker::energy_bound(const float* energy, int64_t block_size, const Part& part) const {
    double bound = 0;
    for (int64_t u = part.first_unit; u < part.end_unit; ++u) {
        const Unit& unit = plan.units[static_cast<size_t>(u)];
        bound += static_cast<double>(unit.run) * energy[unit.channel / kEnergyBlock * (block_size + 1) + block_size];
    }
    return bound;
}

// Largest energy of an output pixel's window, within the units of a part.
double Worker::window_energy(const Task& task, const float* energy, int64_t energy_pitch, int64_t block_size,
                             bool sparse, const Part& part, float* windows) const {
    const int64_t rows = task.end_row - task.row;
    std::fill(windows, windows + rows * task.columns, 0.0F);
    for (int64_t u = part.first_unit; u < part.end_unit; ++u) {
        const Unit& unit = plan.units[static_cast<size_t>(u)];
        const float* block = energy + unit.channel / kEnergyBlock * (block_size + 1);
        for (int64_t j = 0; j < unit.run; ++j) {
            const Tap& tap = p.taps[static_cast<size_t>(unit.tap + j)];
            for (int64_t r = 0; r < rows; ++r) {
                const float* from =
                    sparse ? block + r * energy_pitch
                           : block + (r * p.step_y + tap.dy - plan.min_dy) * energy_pitch + tap.dx - plan.min_dx;
                k.add_strided(windows + r * task.columns, from, task.columns, sparse ? 1 : p.step_x);
            }
        }
    }
    return k.largest(windows, rows * task.columns);
}

Worker::Choice Worker::choose(const Task& task, const Region& region, int64_t group) {
    // With one tap, pixels that a stride skips have no part in any sum.
    const bool sparse = p.taps.size() == 1 && (p.step_x != 1 || p.step_y != 1);
    const int64_t blocks = ceiling(p.reduction, kEnergyBlock);
    const int64_t out_rows = task.end_row - task.row;
    const int64_t energy_pitch = sparse ? task.columns : plan.pitch;
    const int64_t block_size = sparse ? out_rows * task.columns : (region.rows - 1) * plan.pitch + region.width;
    float* const energy = energy_memory.get<float>(blocks * (block_size + 1));  // each block is followed by its maximum
    float* const windows = window_memory.get<float>(out_rows * task.columns);
    for (int64_t block = 0; block < blocks; ++block) {
        const int16_t* base = region.base + group * p.reduction + block * kEnergyBlock;
        const int64_t channels = std::min<int64_t>(kEnergyBlock, p.reduction - block * kEnergyBlock);
        float* to = energy + block * (block_size + 1);
        if (sparse) {
            for (int64_t r = 0; r < out_rows; ++r) {
                k.energies(base + r * p.step_y * plan.pitch * p.channels, task.columns, p.step_x * p.channels, channels,
                           to + r * task.columns);
            }
        } else {
            k.energies(base, block_size, p.channels, channels, to);
        }
        to[block_size] = k.largest(to, block_size);
    }
    const size_t last = plan.levels.size() - 1;
    const bool narrow_shift = q.shift >= 0 && q.shift <= 30 && p.out.exact == nullptr;
    const double more = narrow_shift ? static_cast<double>(largest_bias) + std::ldexp(0.5, q.shift) : 0.0;
    for (size_t level = hint > 0 ? hint - 1 : 0; level < last; ++level) {
        const std::vector<Part>& parts = plan.levels[level].parts;
        const double* weight_energy =
            plan.levels[level].weight_energy.data() + group * static_cast<int64_t>(parts.size());
        bool all = true;
        double energy_of_all = 0;
        for (size_t i = 0; i < parts.size() && all; ++i) {
            energy_of_all = energy_bound(energy, block_size, parts[i]);
            if (!proved(energy_of_all, weight_energy[i], more)) {
                energy_of_all = window_energy(task, energy, energy_pitch, block_size, sparse, parts[i], windows);
            }
            all = proved(energy_of_all, weight_energy[i], 0.0);
        }
        if (all) {
            hint = level;
            return {level, parts.size() == 1 && narrow_shift && proved(energy_of_all, weight_energy[0], more)};
        }
    }
    hint = last;
    return {last, false};
}

void Worker::run_narrow(const Task& task, const int16_t* base, int64_t group) {
    const Requantise32 narrow = Requantise32::make(q);
    const Part& part = plan.levels[0].parts[0];
    alignas(64) int32_t start[kPanel];
    alignas(64) int32_t sums[kTileRows * kPanel];
    Tile tile{nullptr,
              p.step_x * p.channels,
              part.segments.data(),
              static_cast<int64_t>(part.segments.size()),
              nullptr,
              start,
              sums};
    for (const Panel& panel : plan.panels) {
        for (int64_t lane = 0; lane < panel.width; ++lane) {
            const bool biased = p.bias != nullptr && lane < panel.lanes;
            start[lane] =
                narrow.half + (biased ? static_cast<int32_t>(p.bias[group * p.outputs + panel.first + lane]) : 0);
        }
        tile.weights = packed + group * plan.panel_elements + panel.offset;
        const int vectors = static_cast<int>(panel.width / kLanes);
        for (int64_t r = task.row; r < task.end_row; ++r) {
            int16_t* out = p.out.rounded + task.out + r * p.out_row + group * p.outputs + panel.first;
            for (int64_t c = 0; c < task.columns; c += plan.run_rows) {
                const int64_t rows = std::min(plan.run_rows, task.columns - c);
                tile.input = base + ((r - task.row) * p.step_y * plan.pitch + c * p.step_x) * p.channels;
                k.tile[rows - 1][vectors - 1](tile);
                k.finish32(sums, rows, panel.width, panel.lanes, narrow, out + c * p.out_column, p.out_column,
                           statistics);
            }
        }
    }
}

void Worker::run_wide(const Task& task, const int16_t* base, int64_t group, const Level& level) {
    alignas(64) const int32_t start[kPanel] = {};
    alignas(64) int32_t sums[kTileRows * kPanel];
    alignas(64) int64_t totals[kTileRows * kPanel];
    Tile tile{nullptr, p.step_x * p.channels, nullptr, 0, nullptr, start, sums};
    for (const Panel& panel : plan.panels) {
        const int16_t* weights = packed + group * plan.panel_elements + panel.offset;
        const int vectors = static_cast<int>(panel.width / kLanes);
        for (int64_t r = task.row; r < task.end_row; ++r) {
            const int64_t out = task.out + r * p.out_row + group * p.outputs + panel.first;
            for (int64_t c = 0; c < task.columns; c += plan.run_rows) {
                const int64_t rows = std::min(plan.run_rows, task.columns - c);
                for (int64_t i = 0; i < rows * panel.width; ++i) {
                    const int64_t lane = i % panel.width;
                    const bool biased = p.bias != nullptr && lane < panel.lanes;
                    totals[i] = biased ? p.bias[group * p.outputs + panel.first + lane] : 0;
                }
                tile.input = base + ((r - task.row) * p.step_y * plan.pitch + c * p.step_x) * p.channels;
                for (const Part& part : level.parts) {
                    tile.segments = part.segments.data();
                    tile.segment_count = static_cast<int64_t>(part.segments.size());
                    tile.weights = weights + part.first_pair * 2 * panel.width;
                    k.tile[rows - 1][vectors - 1](tile);
                    k.widen(sums, totals, rows * panel.width);
                }
                if (p.out.exact == nullptr) {
                    k.finish64(totals, rows, panel.width, panel.lanes, q, p.out.rounded + out + c * p.out_column,
                               p.out_column, statistics);
                    continue;
                }
                for (int64_t i = 0; i < rows; ++i) {
                    std::copy_n(totals + i * panel.width, panel.lanes, p.out.exact + out + (c + i) * p.out_column);
                }
            }
        }
    }
}

void Worker::work(const Task& task) {
    const Region region = load_region(p, plan, task, region_memory);
    for (int64_t group = 0; group < p.groups; ++group) {
        const Choice choice = choose(task, region, group);
        const int16_t* base = region.base + group * p.reduction;
        if (choice.narrow) {
            run_narrow(task, base, group);
        } else {
            run_wide(task, base, group, plan.levels[choice.level]);
        }
    }
}

// Outputs that no weight reaches: RSH(0) = 0.
void clear(const Problem& p) {
    for (int64_t i = 0; i < p.images * p.rows * p.columns; ++i) {
        const int64_t image = i / (p.rows * p.columns);
        const int64_t row = i / p.columns % p.rows;
        const int64_t at = image * p.out_image + row * p.out_row + i % p.columns * p.out_column;
        if (p.out.exact != nullptr) {
            std::fill_n(p.out.exact + at, p.groups * p.outputs, 0);
        } else {
            std::fill_n(p.out.rounded + at, p.groups * p.outputs, int16_t{0});
        }
    }
}

Statistics solve(const Problem& p, const Requantise& q) {
    if (p.rows == 0 || p.columns == 0 || p.images == 0) {
        return {};
    }
    if (p.taps.empty()) {
        clear(p);
        return {};
    }
    thread_local Scratch packed_memory;
    const Kernels& k = kernels();
    Plan plan = make_plan(p);
    int16_t* const packed = packed_memory.get<int16_t>(p.groups * plan.panel_elements);
    pack_weights(k, p, plan, packed);
    int64_t largest_bias = 0;
    for (int64_t o = 0; p.bias != nullptr && o < p.groups * p.outputs; ++o) {
        largest_bias = std::max(largest_bias, std::abs(p.bias[o]));
    }
    const int workers = threads();
    std::vector<Statistics> statistics(static_cast<size_t>(workers));
    parallel(workers, [&](int index, int count) {
        thread_local Scratch region_memory, energy_memory, window_memory;
        Worker worker{k, p, plan, q, packed, largest_bias, region_memory, energy_memory, window_memory};
        const Range range = share(static_cast<int64_t>(plan.tasks.size()), index, count);
        for (int64_t t = range.begin; t < range.end; ++t) {
            worker.work(plan.tasks[static_cast<size_t>(t)]);
        }
        statistics[static_cast<size_t>(index)] = worker.statistics;
    });
    Statistics all;
    for (const Statistics& s : statistics) {
        all.merge(s);
    }
    return all;
}

int64_t modulo(int64_t a, int64_t b) {
    return ((a % b) + b) % b;
}

// Input rows (or columns) y = first + i * stride, i < count, take from output rows i + shift over taps with
// (y + padding - tap * dilation) divisible by the stride.
struct Phase {
    int64_t first, count;
    std::vector<std::array<int64_t, 2>> taps;  // (tap, shift)
};

std::vector<Phase> phases(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    std::vector<Phase> result;
    for (int64_t first = 0; first < std::min(stride, size); ++first) {
        Phase phase{first, (size - first + stride - 1) / stride, {}};
        for (int64_t tap = kernel - 1; tap >= 0; --tap) {
            const int64_t position = first + padding - tap * dilation;
            if (modulo(position, stride) == 0) {
                phase.taps.push_back({tap, position / stride});
            }
        }
        result.push_back(std::move(phase));
    }
    return result;
}

}  // namespace

Statistics convolution(const Geometry& g, const int16_t* x, const int16_t* w, const int64_t* bias, Destination y,
                       const Requantise& q) {
    Problem p{};
    p.input = x;
    p.images = g.images, p.height = g.height, p.width = g.width, p.channels = g.channels;
    p.rows = g.out_height, p.columns = g.out_width;
    p.step_y = g.stride[0], p.step_x = g.stride[1];
    for (int64_t kh = 0; kh < g.kernel_height; ++kh) {
        for (int64_t kw = 0; kw < g.kernel_width; ++kw) {
            p.taps.push_back({kh * g.dilation[0] - g.padding[0], kw * g.dilation[1] - g.padding[1],
                              (kh * g.kernel_width + kw) * g.group_channels()});
        }
    }
    p.groups = g.groups, p.reduction = g.group_channels(), p.outputs = g.group_out_channels();
    p.weights = w;
    p.weight_output = g.taps() * g.group_channels();
    p.weight_group = p.outputs * p.weight_output;
    p.weight_reduction = 1;
    p.bias = bias;
    p.out = y;
    p.out_column = g.out_channels;
    p.out_row = g.out_width * p.out_column;
    p.out_image = g.out_height * p.out_row;
    return solve(p, q);
}

Statistics convolution_input_gradient(const Geometry& g, const int16_t* dy, const int16_t* w, Destination dx,
                                      const Requantise& q) {
    Statistics statistics;
    for (const Phase& vertical : phases(g.height, g.kernel_height, g.stride[0], g.padding[0], g.dilation[0])) {
        for (const Phase& horizontal : phases(g.width, g.kernel_width, g.stride[1], g.padding[1], g.dilation[1])) {
            Problem p{};
            p.input = dy;
            p.images = g.images, p.height = g.out_height, p.width = g.out_width, p.channels = g.out_channels;
            p.rows = vertical.count, p.columns = horizontal.count;
            p.step_y = 1, p.step_x = 1;
            for (const auto& [kh, shift_y] : vertical.taps) {
                for (const auto& [kw, shift_x] : horizontal.taps) {
                    p.taps.push_back({shift_y, shift_x, (kh * g.kernel_width + kw) * g.group_channels()});
                }
            }
            p.groups = g.groups, p.reduction = g.group_out_channels(), p.outputs = g.group_channels();
            p.weights = w;
            p.weight_output = 1;
            p.weight_reduction = g.taps() * g.group_channels();
            p.weight_group = p.reduction * p.weight_reduction;
            p.out_column = g.stride[1] * g.channels;
            p.out_row = g.stride[0] * g.width * g.channels;
            p.out_image = g.height * g.width * g.channels;
            const int64_t offset = (vertical.first * g.width + horizontal.first) * g.channels;
            p.out = {dx.rounded == nullptr ? nullptr : dx.rounded + offset,
                     dx.exact == nullptr ? nullptr : dx.exact + offset};
            statistics.merge(solve(p, q));
        }
    }
    return statistics;
}

}  // namespace spindl::simulator
