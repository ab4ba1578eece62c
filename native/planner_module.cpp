// The Python module spindl._planner: hot loops of the planner. spindl/_planner.pyi says what they do.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "planner/memory.hpp"
#include "planner/walk.hpp"

namespace nb = nanobind;
namespace planner = spindl::planner;

namespace {

template <typename T, std::size_t Columns>
using Table = nb::ndarray<T, nb::shape<-1, Columns>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Line = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t step_columns = 6, taken_columns = 10, constant_count = 14;

void walk(Table<const double, step_columns> steps, Table<const std::uint32_t, 2> transfers, Line<const std::uint32_t> first,
          Line<const double> start, Line<const double> constants, Table<double, taken_columns> taken, Table<double, 2> moved) {
    if (constants.size() != constant_count) throw std::invalid_argument("another number of constants");
    std::vector<planner::Step> all(steps.shape(0));
    for (std::size_t i = 0; i < all.size(); ++i) {
        const double* row = steps.data() + i * step_columns;
        all[i] = {row[0], row[1], static_cast<std::uint32_t>(row[2]), static_cast<std::uint32_t>(row[3]),
                  static_cast<std::uint32_t>(row[4]), static_cast<std::uint32_t>(row[5])};
    }
    std::vector<planner::Transfer> moves(transfers.shape(0));
    for (std::size_t i = 0; i < moves.size(); ++i) moves[i] = {transfers.data()[2 * i], transfers.data()[2 * i + 1]};
    const double* c = constants.data();
    const planner::Constants k{c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12], c[13]};
    std::vector<planner::Taken> result(taken.shape(0));
    std::vector<planner::Span> spans(moved.shape(0));
    {
        nb::gil_scoped_release unlocked;
        planner::walk(all, moves, {first.data(), first.size()}, {start.data(), start.size()}, k, result, spans);
    }
    for (std::size_t i = 0; i < result.size(); ++i) {
        const planner::Taken& t = result[i];
        const double row[taken_columns] = {t.begin,      t.end, t.overlay.start, t.overlay.end,  t.barrier.start,
                                           t.barrier.end, t.dma, t.dma_until,     t.kernel.start, t.kernel.end};
        std::copy_n(row, taken_columns, taken.data() + i * taken_columns);
    }
    for (std::size_t i = 0; i < spans.size(); ++i) {
        moved.data()[2 * i] = spans[i].start;
        moved.data()[2 * i + 1] = spans[i].end;
    }
}

constexpr std::size_t access_columns = 10;

nb::tuple check_memory(Table<const std::int64_t, access_columns> accesses, Line<std::int32_t> owner) {
    static_assert(sizeof(planner::Access) == access_columns * sizeof(std::int64_t));
    planner::Found found;
    {
        nb::gil_scoped_release unlocked;
        const auto* first = reinterpret_cast<const planner::Access*>(accesses.data());
        found = planner::check_memory({first, accesses.shape(0)}, {owner.data(), owner.size()});
    }
    return nb::make_tuple(static_cast<int>(found.mistake), found.access, found.word, found.owner);
}

}  // namespace

NB_MODULE(_planner, m) {
    m.def("walk", &walk, nb::arg("steps"), nb::arg("transfers"), nb::arg("first"), nb::arg("start"), nb::arg("constants"),
          nb::arg("taken"), nb::arg("moved"));
    m.def("check_memory", &check_memory, nb::arg("accesses"), nb::arg("owner"));
}
