// The Python module spindl._kernels: kernels of the cores on the host, with their costs.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include "spindl_kernels.h"

uint8_t* spindl_host_memory;
}

namespace nb = nanobind;

namespace {

struct Entry {
    std::uint32_t number;
    const char* name;
    std::size_t words;
    int (*run)(const std::uint32_t*, spindl_context*);
    std::uint32_t (*cycles)(const std::uint32_t*);
    std::uint32_t (*scratch)(const std::uint32_t*);
};

// The argument words are copied to where the struct lives: same size, same layout, aligned.
#define ENTRY(NAME)                                                                                             \
    {SPINDL_NUMBER_##NAME, #NAME, sizeof(spindl_##NAME##_arguments) / 4,                                        \
     [](const std::uint32_t* words, spindl_context* context) {                                                  \
         return spindl_##NAME(reinterpret_cast<const spindl_##NAME##_arguments*>(words), context);              \
     },                                                                                                         \
     [](const std::uint32_t* words) {                                                                           \
         return spindl_##NAME##_cycles(reinterpret_cast<const spindl_##NAME##_arguments*>(words));              \
     },                                                                                                         \
     [](const std::uint32_t* words) {                                                                           \
         return spindl_##NAME##_scratch(reinterpret_cast<const spindl_##NAME##_arguments*>(words));             \
     }},

const Entry entries[] = {SPINDL_EVERY_KERNEL(ENTRY)};

const Entry& entry(std::uint32_t number, const std::vector<std::uint32_t>& words) {
    for (const Entry& each : entries) {
        if (each.number != number) continue;
        if (words.size() != each.words) throw std::invalid_argument(std::string(each.name) + " has another number of words");
        return each;
    }
    throw std::invalid_argument("there is no kernel " + std::to_string(number));
}

std::vector<std::uint32_t> unpacked(const nb::bytes& words) {
    std::vector<std::uint32_t> values(words.size() / 4);
    const auto* bytes = static_cast<const std::uint8_t*>(words.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = bytes[4 * i] | std::uint32_t{bytes[4 * i + 1]} << 8 | std::uint32_t{bytes[4 * i + 2]} << 16 |
                    std::uint32_t{bytes[4 * i + 3]} << 24;
    }
    return values;
}

using Memory = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Exponents = nb::ndarray<std::int16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::pair<int, std::uint32_t> run(std::uint32_t number, const nb::bytes& words, Memory memory, Exponents exponents,
                                  Memory sites) {
    const std::vector<std::uint32_t> arguments = unpacked(words);
    const Entry& kernel = entry(number, arguments);
    if (sites.size() % sizeof(spindl_site) != 0) throw std::invalid_argument("sites have 8 bytes each");
    spindl_context context{exponents.data(), reinterpret_cast<spindl_site*>(sites.data()),
                           static_cast<std::uint32_t>(exponents.size()),
                           static_cast<std::uint32_t>(sites.size() / sizeof(spindl_site)), 0};
    spindl_host_memory = memory.data();
    const int error = kernel.run(arguments.data(), &context);
    spindl_host_memory = nullptr;
    return {error, context.tiles_redone};
}

}  // namespace

NB_MODULE(_kernels, m) {
    m.doc() = "Kernels of the cores on the host; private to spindl.program.";
    m.def("run", &run, nb::arg("number"), nb::arg("words"), nb::arg("memory"), nb::arg("exponents"), nb::arg("sites"),
          "(error, tiles redone); addresses in `words` count from the start of `memory`.");
    m.def("cycles", [](std::uint32_t number, const nb::bytes& words) {
        const std::vector<std::uint32_t> arguments = unpacked(words);
        return entry(number, arguments).cycles(arguments.data());
    });
    m.def("scratch", [](std::uint32_t number, const nb::bytes& words) {
        const std::vector<std::uint32_t> arguments = unpacked(words);
        return entry(number, arguments).scratch(arguments.data());
    });
}
