// Tables of instantiated handlers, indexed by instruction fields.
#include "arm/alu.hpp"
#include "arm/control.hpp"
#include "arm/decode.hpp"
#include "arm/multiple.hpp"

#include <array>
#include <utility>

namespace spindl::emulator {
namespace {

constexpr u32 operands = 12, offsets = 6;

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> data_processing_table(std::index_sequence<I...>) {
    return {&plain<&alu::data_processing<I / (2 * operands), I / operands % 2 == 1, I % operands>>...};
}

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> data_processing_pc_table(std::index_sequence<I...>) {
    return {&general<&alu::data_processing_pc<I / (2 * operands), I / operands % 2 == 1, I % operands>>...};
}

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> transfer_table(std::index_sequence<I...>) {
    return {&fast_or_general<&transfer::fast<I / (3 * offsets), I / 3 % offsets, I % 3>,
                             &transfer::slow<I / (3 * offsets), I / 3 % offsets, I % 3>>...};
}

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> load_pc_table(std::index_sequence<I...>) {
    return {&general<&transfer::slow<transfer::ldr, I / 3, I % 3>>...};
}

template <bool Load, bool WriteBack>
constexpr Handler multiple_fast = &fast_or_general<&multiple::fast<Load, WriteBack>, &multiple::slow<Load, WriteBack, false>>;

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> multiple_slow_table(std::index_sequence<I...>) {
    return {&general<&multiple::slow<I / 4 == 1, I / 2 % 2 == 1, I % 2 == 1>>...};
}

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> branch_table(std::index_sequence<I...>) {
    return {&control::branch<I / 2, I % 2 == 1>...};
}

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> prefix_table(std::index_sequence<I...>) {
    return {(I % 2 == 1 ? &with_pc<I / 2> : &conditional<I / 2>)...};
}

constexpr auto data_processing_handlers = data_processing_table(std::make_index_sequence<16 * 2 * operands>());
constexpr auto data_processing_pc_handlers = data_processing_pc_table(std::make_index_sequence<16 * 2 * operands>());
constexpr auto transfer_handlers = transfer_table(std::make_index_sequence<8 * offsets * 3>());
constexpr auto load_pc_handlers = load_pc_table(std::make_index_sequence<offsets * 3>());
constexpr auto multiple_slow_handlers = multiple_slow_table(std::make_index_sequence<8>());
constexpr auto branch_handlers = branch_table(std::make_index_sequence<30>());
constexpr auto prefixes = prefix_table(std::make_index_sequence<30>());

}  // namespace

Handler data_processing_handler(u32 operation, bool flags, u32 operand, bool to_pc) {
    const u32 index = (operation * 2 + flags) * operands + operand;
    return to_pc ? data_processing_pc_handlers[index] : data_processing_handlers[index];
}

Handler transfer_handler(u32 kind, u32 offset, u32 indexing, bool to_pc) {
    return to_pc ? load_pc_handlers[offset * 3 + indexing] : transfer_handlers[(kind * offsets + offset) * 3 + indexing];
}

Handler multiple_handler(bool load, bool write_back, bool user_bank, bool to_pc) {
    if (user_bank || to_pc) return multiple_slow_handlers[load * 4u + write_back * 2u + user_bank];
    if (load) return write_back ? multiple_fast<true, true> : multiple_fast<true, false>;
    return write_back ? multiple_fast<false, true> : multiple_fast<false, false>;
}

Handler branch_handler(u32 condition, bool link) { return branch_handlers[condition * 2 + link]; }

void guard(Op& op, Handler body, u32 condition, bool reads_pc) {
    op.condition = static_cast<u8>(condition);
    op.body = offset_of(body);
    op.handler = condition == 14 && !reads_pc ? op.body : offset_of(prefixes[condition * 2 + reads_pc]);
}

}  // namespace spindl::emulator
