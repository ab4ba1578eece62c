// Python bindings of the emulator: spindl._emulator. The public API is spindl/emulator/.
#include "arm/bare.hpp"
#include "machine/bridge.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace nb = nanobind;
using namespace spindl::emulator;

namespace {

void bind_bare_core(nb::module_& m) {
    nb::class_<BareCore>(m, "BareCore")
        .def(nb::init<u32>(), nb::arg("ram_size"))
        .def("read", [](const BareCore& self, u32 address, u32 size) {
            std::vector<u8> data(size);
            if (!self.peek(address, data.data(), size)) throw std::out_of_range("no memory there");
            return nb::bytes(reinterpret_cast<const char*>(data.data()), size);
        })
        .def("write", [](BareCore& self, u32 address, nb::bytes data) {
            if (!self.poke(address, reinterpret_cast<const u8*>(data.c_str()), static_cast<u32>(data.size()))) {
                throw std::out_of_range("no memory there");
            }
        })
        .def("run", &BareCore::run, nb::call_guard<nb::gil_scoped_release>())
        .def("step", &BareCore::step)
        .def("register", [](const BareCore& self, u32 number) {
            if (number > 15) throw std::out_of_range("registers are 0 to 15");
            return number == 15 ? self.core.pc() : self.core.r[number];
        })
        .def("set_register", [](BareCore& self, u32 number, u32 value) {
            if (number > 15) throw std::out_of_range("registers are 0 to 15");
            if (number == 15) jump(self.core, value); else self.core.r[number] = value;
        })
        .def_prop_rw("cpsr", [](const BareCore& self) { return read_cpsr(self.core); },
                     [](BareCore& self, u32 value) {
                         const u32 pc = self.core.pc();
                         write_cpsr(self.core, value);
                         jump(self.core, pc);
                     })
        .def_prop_rw("spsr", [](const BareCore& self) { return read_spsr(self.core); },
                     [](BareCore& self, u32 value) { write_spsr(self.core, value); })
        .def_prop_rw("control", [](const BareCore& self) { return self.core.cp15_control; },
                     [](BareCore& self, u32 value) { self.core.cp15_control = value; })
        .def_prop_rw("irq", [](const BareCore& self) { return self.core.irq_line; },
                     [](BareCore& self, bool value) { self.core.irq_line = value; })
        .def_prop_rw("fiq", [](const BareCore& self) { return self.core.fiq_line; },
                     [](BareCore& self, bool value) { self.core.fiq_line = value; })
        .def_prop_ro("waiting", [](const BareCore& self) { return self.core.waiting; })
        .def_prop_ro("cycles", [](const BareCore& self) { return self.core.count.cycles; })
        .def_prop_ro("instructions", [](const BareCore& self) { return self.core.count.instructions; })
        .def_prop_ro("interlocks", [](const BareCore& self) { return self.core.count.interlocks; })
        .def_prop_ro("reports", [](const BareCore& self) {
            std::vector<std::pair<u32, u32>> reports;
            for (const auto& [fault, address] : self.reports) reports.emplace_back(static_cast<u32>(fault), address);
            return reports;
        });
}

using Lock = std::unique_lock<std::mutex>;

// A machine with its bridge. Every method takes the machine from the bridge's thread for as long as it needs.
class Hosted {
public:
    explicit Hosted(MachineConfig config) : machine(std::move(config)) {}
    ~Hosted() { disconnect(); }

    void connect(double speed) {
        disconnect();
        bridge = std::make_unique<Bridge>(machine, speed);
    }
    void disconnect() { bridge.reset(); }

    Lock take() {
        if (!bridge) return {};
        ++bridge->callers;
        Lock lock(bridge->mutex);
        --bridge->callers;
        return lock;
    }
    Chip& chip(u32 index) {
        if (index >= machine.size()) throw std::out_of_range("no such chip");
        return machine.chip(index);
    }

    std::map<u32, std::shared_ptr<std::vector<PacketTrace>>> traces;
    Machine machine;
    std::unique_ptr<Bridge> bridge;
};

void require_core(u32 core) {
    if (core >= cores_per_chip) throw std::out_of_range("cores are 0 to 17");
}

nb::bytes as_bytes(const std::vector<u8>& data) { return nb::bytes(reinterpret_cast<const char*>(data.data()), data.size()); }
std::vector<u8> as_vector(nb::bytes data) {
    const u8* at = reinterpret_cast<const u8*>(data.c_str());
    return {at, at + data.size()};
}

nb::dict core_state(Hosted& self, u32 index, u32 number) {
    require_core(number);
    const Lock lock = self.take();
    const Core& core = self.chip(index).cores[number];
    nb::list registers;
    for (u32 i = 0; i < 15; ++i) registers.append(core.r[i]);
    registers.append(core.pc());
    nb::dict state;
    state["registers"] = registers;
    state["cpsr"] = read_cpsr(core);
    state["waiting"] = core.waiting;
    state["running"] = (self.chip(index).running() >> number & 1) != 0;
    state["stopped"] = (self.chip(index).stopped >> number & 1) != 0;
    state["cycles"] = core.count.cycles;
    state["instructions"] = core.count.instructions;
    state["interlock_cycles"] = core.count.interlocks;
    state["bus_wait_cycles"] = core.count.waits;
    state["exceptions"] = core.count.exceptions;
    state["interrupts"] = core.count.interrupts;
    return state;
}

nb::dict chip_state(Hosted& self, u32 index) {
    const Lock lock = self.take();
    const Chip& chip = self.chip(index);
    nb::dict state;
    state["booted"] = !chip.rom.active;
    state["monitor"] = chip.system.monitor;
    state["packets"] = chip.router.packets;
    state["dropped"] = chip.router.drops;
    state["emergency"] = chip.router.emergency;
    state["blocked_cycles"] = chip.router.blocked_cycles;
    state["sdram_bytes"] = chip.sdram_bytes;
    state["sdram_busy_cycles"] = chip.sdram_busy;
    state["frames_in"] = chip.ethernet.frames_in;
    state["frames_out"] = chip.ethernet.frames_out;
    state["frames_lost"] = chip.ethernet.frames_lost;
    nb::list links;
    for (const LinkCounters& link : chip.links) links.append(nb::make_tuple(link.packets, link.lost, link.corrupted));
    state["links"] = links;
    nb::list disturbed;
    for (const LinkCounters& link : chip.links) disturbed.append(nb::make_tuple(link.repeated, link.reordered));
    state["links_disturbed"] = disturbed;
    return state;
}

nb::dict totals(Hosted& self) {
    const Lock lock = self.take();
    u64 packets = 0, dropped = 0, frames_in = 0, frames_out = 0, reports = 0, awake = 0, stopped = 0;
    for (u32 i = 0; i < self.machine.size(); ++i) {
        const Chip& chip = self.machine.chip(i);
        packets += chip.router.packets;
        dropped += chip.router.drops;
        frames_in += chip.ethernet.frames_in;
        frames_out += chip.ethernet.frames_out;
        reports += chip.reports.size();
        awake += static_cast<u64>(std::popcount(chip.running() & ~chip.sleeping));
        stopped += static_cast<u64>(std::popcount(chip.stopped));
    }
    nb::dict sums;
    sums["packets"] = packets;
    sums["dropped"] = dropped;
    sums["frames_in"] = frames_in;
    sums["frames_out"] = frames_out;
    sums["reports"] = reports;
    sums["awake"] = awake;
    sums["stopped"] = stopped;
    return sums;
}

void bind_config(nb::module_& m) {
    nb::class_<Costs>(m, "Costs")
        .def(nb::init<>())
        .def_rw("peripheral", &Costs::peripheral)
        .def_rw("system_register", &Costs::system_register)
        .def_rw("system_ram", &Costs::system_ram)
        .def_rw("sdram", &Costs::sdram)
        .def_rw("sdram_bytes_per_cycle", &Costs::sdram_bytes_per_cycle)
        .def_rw("dma_bytes_per_cycle", &Costs::dma_bytes_per_cycle)
        .def_rw("hop", &Costs::hop)
        .def_rw("link_cycles_per_symbol", &Costs::link_cycles_per_symbol)
        .def_rw("ethernet_frame", &Costs::ethernet_frame);
    nb::class_<ChipConfig>(m, "ChipConfig")
        .def(nb::init<>())
        .def_rw("x", &ChipConfig::x)
        .def_rw("y", &ChipConfig::y)
        .def_rw("neighbour", &ChipConfig::neighbour)
        .def_rw("working_cores", &ChipConfig::working_cores)
        .def_rw("ethernet", &ChipConfig::ethernet)
        .def_rw("ip", &ChipConfig::ip)
        .def_rw("board", &ChipConfig::board);
    nb::class_<FaultConfig>(m, "FaultConfig")
        .def(nb::init<>())
        .def_rw("seed", &FaultConfig::seed)
        .def_rw("packet_loss", &FaultConfig::packet_loss)
        .def_rw("packet_corruption", &FaultConfig::packet_corruption)
        .def_rw("sdram_bit_error", &FaultConfig::sdram_bit_error)
        .def_rw("multicast_loss", &FaultConfig::multicast_loss)
        .def_rw("multicast_repeat", &FaultConfig::multicast_repeat)
        .def_rw("multicast_reorder", &FaultConfig::multicast_reorder);
    nb::class_<MachineConfig>(m, "MachineConfig")
        .def(nb::init<>())
        .def("add_chip", [](MachineConfig& self, const ChipConfig& chip) { self.chips.push_back(chip); })
        .def_rw("costs", &MachineConfig::costs)
        .def_rw("faults", &MachineConfig::faults)
        .def_rw("hardware_version", &MachineConfig::hardware_version)
        .def_rw("threads", &MachineConfig::threads)
        .def_prop_rw("strict", [](const MachineConfig& self) { return static_cast<u32>(self.strict); },
                     [](MachineConfig& self, u32 level) { self.strict = static_cast<Strictness>(std::min(level, 2u)); });
}

void bind_machine(nb::module_& m) {
    const auto release = nb::call_guard<nb::gil_scoped_release>();
    nb::class_<Hosted>(m, "Machine")
        .def(nb::init<MachineConfig>())
        .def("connect", &Hosted::connect, nb::arg("speed"), release)
        .def("disconnect", &Hosted::disconnect, release)
        .def("power_on", [](Hosted& self) { const Lock lock = self.take(); self.machine.power_on(); }, release)
        .def("run", [](Hosted& self, i64 cycles) {
            const Lock lock = self.take();
            self.machine.run_until_time(self.machine.now() + cycles);
        }, release)
        .def_prop_ro("now", [](Hosted& self) { const Lock lock = self.take(); return self.machine.now(); })
        .def("pause", [](Hosted& self, bool paused) { if (self.bridge) self.bridge->paused = paused; })
        .def("set_faults", [](Hosted& self, const FaultConfig& faults) {
            const Lock lock = self.take();
            self.machine.config.faults = faults;
        })
        .def("chip_state", &chip_state)
        .def("totals", &totals)
        .def("core_state", &core_state)
        .def("fingerprint", [](Hosted& self) { const Lock lock = self.take(); return self.machine.fingerprint(); })
        .def("read", [](Hosted& self, u32 chip, u32 core, u32 address, u32 size) {
            require_core(core);
            std::vector<u8> data(size);
            const Lock lock = self.take();
            if (!self.chip(chip).peek(core, address, data.data(), size)) throw std::out_of_range("no memory there");
            return as_bytes(data);
        })
        .def("write", [](Hosted& self, u32 chip, u32 core, u32 address, nb::bytes data) {
            require_core(core);
            const std::vector<u8> bytes = as_vector(data);
            const Lock lock = self.take();
            if (!self.chip(chip).poke(core, address, bytes.data(), static_cast<u32>(bytes.size()))) {
                throw std::out_of_range("no memory there");
            }
        })
        .def("peek_register", [](Hosted& self, u32 chip, u32 address) {
            const Lock lock = self.take();
            return self.chip(chip).peek_register(address, self.machine.now());
        })
        .def("poke_registers", [](Hosted& self, u32 chip, const std::vector<std::pair<u32, u32>>& writes) {
            const Lock lock = self.take();
            Chip& c = self.chip(chip);
            for (const auto& [address, value] : writes) c.poke_register(address, value, self.machine.now());
            c.wake_at = std::min(c.wake_at, self.machine.now());  // it may have woken a core
        })
        .def("boot", [](Hosted& self, u32 chip, nb::bytes image) {
            const std::vector<u8> bytes = as_vector(image);
            const Lock lock = self.take();
            self.chip(chip).boot(bytes, self.machine.now());
        })
        .def("set_register", [](Hosted& self, u32 chip, u32 number, u32 which, u32 value) {
            require_core(number);
            const Lock lock = self.take();
            Core& core = self.chip(chip).cores[number];
            if (which < 15) core.r[which] = value;
            if (which == 15) jump(core, value);
            if (which == 16) {
                const u32 pc = core.pc();
                write_cpsr(core, value);
                jump(core, pc);
            }
        })
        .def("watch", [](Hosted& self, u32 chip, u32 cores, std::size_t limit) {
            const Lock lock = self.take();
            Chip& c = self.chip(chip);
            c.watched = cores;
            c.history_limit = limit;
            c.history.clear();
        })
        .def("watched", [](Hosted& self, u32 chip) { const Lock lock = self.take(); return self.chip(chip).watched; })
        .def("history", [](Hosted& self, u32 chip) {
            const Lock lock = self.take();
            nb::list entries;
            for (const InstructionTrace& e : self.chip(chip).history) {
                nb::list registers;
                for (const u32 value : e.registers) registers.append(value);
                entries.append(nb::make_tuple(e.time, e.core, e.pc, e.word, e.thumb, e.cpsr, nb::tuple(registers)));
            }
            return entries;
        })
        .def("set_breakpoints", [](Hosted& self, u32 chip, const std::vector<std::pair<u32, u32>>& points) {
            const Lock lock = self.take();
            self.chip(chip).breakpoints = points;
        })
        .def("halt", [](Hosted& self, u32 chip, u32 core) {
            require_core(core);
            const Lock lock = self.take();
            self.chip(chip).halted |= 1u << core;
        })
        .def("go", [](Hosted& self, u32 chip, u32 core) {
            require_core(core);
            const Lock lock = self.take();
            Chip& c = self.chip(chip);
            c.halted &= ~(1u << core);
            if (!c.cores[core].waiting) c.cores[core].set_now(std::max(c.cores[core].now(), self.machine.now()));
            c.refresh(core, self.machine.now());
            c.wake_at = std::min(c.wake_at, self.machine.now());
        })
        .def("step_core", [](Hosted& self, u32 chip, u32 core) {
            require_core(core);
            const Lock lock = self.take();
            self.chip(chip).debug_step(core, self.machine.now());
        })
        .def("halted", [](Hosted& self, u32 chip) { const Lock lock = self.take(); return self.chip(chip).halted; })
        .def("trace_packets", [](Hosted& self, u32 chip, u32 key, u32 mask, std::size_t limit) {
            const Lock lock = self.take();
            const auto& traced = self.traces[chip] = std::make_shared<std::vector<PacketTrace>>();
            self.chip(chip).trace = [traced, key, mask, limit](const PacketTrace& event) {
                if ((event.packet.key & mask) == key && traced->size() < limit) traced->push_back(event);
            };
        })
        .def("traced_packets", [](Hosted& self, u32 chip) {
            const Lock lock = self.take();
            nb::list events;
            if (!self.traces.contains(chip)) return events;
            for (const PacketTrace& e : *self.traces[chip]) {
                events.append(nb::make_tuple(e.time, static_cast<u32>(e.event), e.place, e.packet.key, e.packet.payload, e.packet.control));
            }
            return events;
        })
        .def("snapshot", [](Hosted& self) {
            std::vector<u8> data;
            {
                const Lock lock = self.take();
                data = self.machine.snapshot();
            }
            return as_bytes(data);
        })
        .def("restore", [](Hosted& self, nb::bytes data) {
            const std::vector<u8> bytes = as_vector(data);
            const Lock lock = self.take();
            self.machine.restore(bytes);
        })
        .def("start_core", [](Hosted& self, u32 chip, u32 core, u32 address) {
            require_core(core);
            const Lock lock = self.take();
            self.chip(chip).start_core(core, address, self.machine.now());
        })
        .def("set_recording", [](Hosted& self, bool on) {
            const Lock lock = self.take();
            self.machine.recording = on;
            self.machine.record.clear();
        })
        .def("recorded", [](Hosted& self) {
            const Lock lock = self.take();
            nb::list arrivals;
            for (const Arrival& a : self.machine.record) arrivals.append(nb::make_tuple(a.time, a.chip, a.kind, as_bytes(a.data)));
            return arrivals;
        })
        .def("replay", [](Hosted& self, nb::list arrivals, i64 until) {
            std::vector<Arrival> copied;
            for (nb::handle item : arrivals) {
                const auto [time, chip, kind, data] = nb::cast<std::tuple<i64, u32, u32, nb::bytes>>(item);
                copied.push_back({time, chip, kind, as_vector(data)});
            }
            nb::gil_scoped_release release;
            const Lock lock = self.take();
            self.machine.replay(copied, until);
        })
        .def("reports", [](Hosted& self, u32 chip) {
            const Lock lock = self.take();
            std::vector<std::tuple<u32, u32, u32, u32, i64, u64, u32, std::vector<u32>>> reports;
            for (const Report& r : self.chip(chip).reports) {
                reports.emplace_back(static_cast<u32>(r.fault), r.core, r.pc, r.address, r.time, r.count, r.cpsr,
                                     std::vector<u32>(r.registers, r.registers + 15));
            }
            return reports;
        });
}

}  // namespace

NB_MODULE(_emulator, m) {
    bind_bare_core(m);
    bind_config(m);
    bind_machine(m);
}
