#include "planner/memory.hpp"

#include <cstddef>
#include <vector>

namespace spindl::planner {

namespace {

// A word's last store, in whatever phase: which phase and core (phase * cores + core + 1; 0: none), and which call.
struct Stores {
    std::vector<std::uint32_t> by;
    std::vector<std::uint32_t> call;
};

bool inside(const Access& a, std::size_t words) {
    const auto size = static_cast<std::int64_t>(words);
    return a.start >= 0 && a.words > 0 && a.rows > 0 && a.pitch >= 0 && a.start + (a.rows - 1) * a.pitch + a.words <= size;
}

template <typename F>
void each_row(const Access& a, F&& row) {
    if (a.rows == 1 || a.pitch == a.words) {
        row(static_cast<std::size_t>(a.start), static_cast<std::size_t>(a.start + a.rows * a.words));
        return;
    }
    for (std::int64_t r = 0; r < a.rows; ++r) {
        const auto from = static_cast<std::size_t>(a.start + r * a.pitch);
        row(from, from + static_cast<std::size_t>(a.words));
    }
}

// A read in which some word was written in this phase, or is another buffer's. The last word of a buffer may be another's,
// as values end before it.
Found examine(const Access& a, std::uint32_t phase_begin, std::uint32_t me, const Stores& stores,
              std::span<const std::int32_t> owner) {
    bool other = false, behind = false;
    std::int64_t word = -1;
    each_row(a, [&](std::size_t from, std::size_t to) {
        for (std::size_t w = from; w < to; ++w) {
            if (stores.by[w] > phase_begin) {
                other |= stores.by[w] != me;
                behind |= stores.call[w] < a.call;
            }
            if (owner[w] != a.buffer && word < 0 && static_cast<std::int64_t>(w) < a.end - 1) word = static_cast<std::int64_t>(w);
        }
    });
    if (other) return {Mistake::read_while_written};
    if (behind) return {Mistake::read_behind_store};
    if (word >= 0) return {Mistake::foreign, -1, word, owner[static_cast<std::size_t>(word)]};
    return {};
}

}  // namespace

Found check_memory(std::span<const Access> accesses, std::span<std::int32_t> owner) {
    Stores stores{std::vector<std::uint32_t>(owner.size()), std::vector<std::uint32_t>(owner.size())};
    std::uint32_t cores = 1;
    for (const Access& a : accesses)
        if (a.core >= cores) cores = static_cast<std::uint32_t>(a.core) + 1;
    const auto found = [&](Found what, std::size_t number) {
        what.access = static_cast<std::int64_t>(number);
        return what;
    };
    for (std::size_t first = 0, last = 0; first < accesses.size(); first = last) {
        const std::int64_t phase = accesses[first].phase;
        const std::uint32_t begin = static_cast<std::uint32_t>(phase) * cores;  // stamps of this phase are larger
        std::size_t loads = first;
        for (last = first; last < accesses.size() && accesses[last].phase == phase; ++last) {
            const Access& a = accesses[last];
            if (!inside(a, owner.size())) return found({Mistake::outside}, last);
            const std::uint32_t me = begin + static_cast<std::uint32_t>(a.core) + 1;
            if (a.store) {
                loads = last + 1;
                bool clash = false;
                each_row(a, [&](std::size_t from, std::size_t to) {
                    for (std::size_t w = from; w < to; ++w) {
                        clash |= stores.by[w] > begin && stores.by[w] != me;
                        stores.by[w] = me;
                        stores.call[w] = static_cast<std::uint32_t>(a.call);
                    }
                });
                if (clash) return found({Mistake::two_writers}, last);
                continue;
            }
            const auto buffer = static_cast<std::int32_t>(a.buffer);
            bool look = false;
            each_row(a, [&](std::size_t from, std::size_t to) {
                std::uint32_t some = 0;
                for (std::size_t w = from; w < to; ++w) some |= (stores.by[w] > begin) | (owner[w] != buffer);
                look |= some != 0;
            });
            if (!look) continue;
            const Found what = examine(a, begin, me, stores, owner);
            if (what.mistake != Mistake::none) return found(what, last);
        }
        for (std::size_t k = first; k < loads; ++k) {
            const auto buffer = static_cast<std::int32_t>(accesses[k].buffer);
            each_row(accesses[k], [&](std::size_t from, std::size_t to) {
                for (std::size_t w = from; w < to; ++w) owner[w] = buffer;
            });
        }
    }
    return {};
}

}  // namespace spindl::planner
