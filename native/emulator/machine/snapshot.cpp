// Saving and restoring a machine: plain structures as bytes, and every page of memory that is not zero.
#include "machine/machine.hpp"

#include <cstring>
#include <stdexcept>
#include <type_traits>

namespace spindl::emulator {
namespace {

constexpr char magic[8] = {'s', 'p', 'i', 'n', 'd', 'l', 'S', '2'};
constexpr std::size_t page = 4096;

class Writer {
public:
    explicit Writer(std::vector<u8>& out) : out_(out) {}

    void bytes(const void* data, std::size_t size) {
        const u8* from = static_cast<const u8*>(data);
        out_.insert(out_.end(), from, from + size);
    }
    template <class T>
    void plain(const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        bytes(&value, sizeof value);
    }
    void blob(const std::vector<u8>& data) {
        plain(static_cast<u64>(data.size()));
        bytes(data.data(), data.size());
    }

private:
    std::vector<u8>& out_;
};

class Reader {
public:
    explicit Reader(const std::vector<u8>& in) : in_(in) {}

    void bytes(void* to, std::size_t size) {
        if (in_.size() - at_ < size) throw std::invalid_argument("the snapshot is cut off");
        if (size == 0) return;  // `to` may be null then
        std::memcpy(to, in_.data() + at_, size);
        at_ += size;
    }
    template <class T>
    void plain(T& value) {
        bytes(&value, sizeof value);
    }
    std::vector<u8> blob() {
        u64 size = 0;
        plain(size);
        if (in_.size() - at_ < size) throw std::invalid_argument("the snapshot is cut off");
        std::vector<u8> data(in_.begin() + static_cast<std::ptrdiff_t>(at_), in_.begin() + static_cast<std::ptrdiff_t>(at_ + size));
        at_ += size;
        return data;
    }

private:
    const std::vector<u8>& in_;
    std::size_t at_ = 0;
};

// Everything of a chip that is plain data, in one order for both directions.
template <class Stream>
void plain_state(Stream& s, Chip& chip) {
    s.plain(chip.peripherals);
    s.plain(chip.system);
    s.plain(chip.router);
    s.plain(chip.rom);
    s.plain(chip.working);
    s.plain(chip.started);
    s.plain(chip.transmitting);
    s.plain(chip.transferring);
    s.plain(chip.sleeping);
    s.plain(chip.stopped);
    s.plain(chip.timer_due);
    s.plain(chip.first_timer);
    s.plain(chip.watchdog);
    s.plain(chip.sdram_free_at);
    s.plain(chip.sdram_bytes);
    s.plain(chip.sdram_busy);
    s.plain(chip.cpu_accesses);
    s.plain(chip.events);
    s.plain(chip.links);
    s.plain(chip.wake_at);
}

// The digest of what must be equal for a snapshot to fit.
u64 shape_of(const MachineConfig& config) {
    u64 shape = sizeof(Core) + sizeof(Router) * 31 + sizeof(Peripherals) * 1009 + (config.tracks() ? 7 : 0);
    for (const ChipConfig& chip : config.chips) {
        for (const i64 value : {i64{chip.x}, i64{chip.y}, i64{chip.working_cores}, i64{chip.ethernet}}) {
            shape = (shape ^ static_cast<u64>(value)) * 0x100000001b3u;
        }
        for (const i32 to : chip.neighbour) shape = (shape ^ static_cast<u64>(to)) * 0x100000001b3u;
    }
    return shape;
}

bool is_zero(const u8* at) {
    u64 words[page / 8];
    std::memcpy(words, at, page);
    for (const u64 word : words) {
        if (word != 0) return false;
    }
    return true;
}

void save_memory(Writer& out, const Chip& chip) {
    const auto page_out = [&](std::size_t offset) {
        if (is_zero(chip.memory.data() + offset)) return;
        out.plain(static_cast<u64>(offset));
        out.bytes(chip.memory.data() + offset, page);
    };
    for (std::size_t block = 0; block < sdram_size / sdram_block; ++block) {
        if (!(chip.sdram_written[block / 32] >> block % 32 & 1)) continue;
        for (std::size_t offset = 0; offset < sdram_block; offset += page) page_out(block * sdram_block + offset);
    }
    for (std::size_t offset = sdram_size; offset < chip.memory.size(); offset += page) page_out(offset);
    out.plain(~u64{0});
    if (!chip.machine.tracks()) return;
    for (std::size_t offset = 0; offset < chip.sdram_known.size(); offset += page) {
        if (is_zero(chip.sdram_known.data() + offset)) continue;
        out.plain(static_cast<u64>(offset));
        out.bytes(chip.sdram_known.data() + offset, page);
    }
    out.plain(~u64{0});
}

void restore_known(Reader& in, Chip& chip) {
    for (;;) {
        u64 offset = 0;
        in.plain(offset);
        if (offset == ~u64{0}) return;
        if (offset + page > chip.sdram_known.size()) throw std::invalid_argument("the snapshot is damaged");
        in.bytes(chip.sdram_known.data() + offset, page);
    }
}

void restore_memory(Reader& in, Chip& chip) {
    for (;;) {
        u64 offset = 0;
        in.plain(offset);
        if (offset == ~u64{0}) return;
        if (offset + page > chip.memory.size()) throw std::invalid_argument("the snapshot is damaged");
        in.bytes(chip.memory.data() + offset, page);
        if (offset < sdram_size) chip.mark_block(static_cast<u32>(offset));
    }
}

void save_ethernet(Writer& out, const Ethernet& e) {
    for (const u32 value : {e.control, e.mac_low, e.mac_high, e.phy, e.length, u32{e.transmit_done}, u32{e.receive_pending}}) out.plain(value);
    out.plain(e.transmit);
    out.plain(e.receive);
    out.plain(static_cast<u64>(e.waiting.size()));
    for (const Frame& frame : e.waiting) out.blob(frame);
    out.plain(static_cast<u64>(e.sent.size()));
    for (const auto& [time, frame] : e.sent) {
        out.plain(time);
        out.blob(frame);
    }
}

void restore_ethernet(Reader& in, Ethernet& e) {
    u32 done = 0, pending = 0;
    u64 count = 0;
    for (u32* value : {&e.control, &e.mac_low, &e.mac_high, &e.phy, &e.length, &done, &pending}) in.plain(*value);
    e.transmit_done = done != 0;
    e.receive_pending = pending != 0;
    in.plain(e.transmit);
    in.plain(e.receive);
    in.plain(count);
    for (u64 i = 0; i < count; ++i) e.waiting.push_back(in.blob());
    in.plain(count);
    for (u64 i = 0; i < count; ++i) {
        i64 time = 0;
        in.plain(time);
        e.sent.emplace_back(time, in.blob());
    }
}

}  // namespace

std::vector<u8> Machine::snapshot() {
    std::vector<u8> data;
    Writer out(data);
    out.bytes(magic, sizeof magic);
    out.plain(shape_of(config));
    out.plain(now_);
    for (const auto& chip : chips_) {
        for (const Core& core : chip->cores) {
            Core copy = core;
            copy.next_pc = core.pc();
            copy.op = copy.window = nullptr;
            copy.itcm = copy.dtcm = nullptr;
            copy.arm_table = copy.thumb_table = nullptr;
            copy.dtcm_written = nullptr;
            copy.bus = nullptr;
            copy.scratch[0] = copy.scratch[1] = {};
            out.plain(copy);
        }
        plain_state(out, *chip);
        save_ethernet(out, chip->ethernet);
        save_memory(out, *chip);
        out.bytes(chip->dtcm_written.data(), chip->dtcm_written.size() * sizeof(u32));
    }
    return data;
}

void Machine::restore(const std::vector<u8>& data) {
    Reader in(data);
    char found[8] = {};
    u64 shape = 0;
    in.bytes(found, sizeof found);
    in.plain(shape);
    if (std::memcmp(found, magic, sizeof magic) != 0) throw std::invalid_argument("this is not a snapshot");
    if (shape != shape_of(config)) throw std::invalid_argument("the snapshot is of another machine or another build of the emulator");
    in.plain(now_);
    for (const auto& chip : chips_) {
        chip->power_on();
        for (Core& core : chip->cores) in.plain(core);
        chip->wire();
        plain_state(in, *chip);
        restore_ethernet(in, chip->ethernet);
        restore_memory(in, *chip);
        if (config.tracks()) restore_known(in, *chip);
        in.bytes(chip->dtcm_written.data(), chip->dtcm_written.size() * sizeof(u32));
    }
}

}  // namespace spindl::emulator
