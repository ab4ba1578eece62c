// Behaviour of the router and of the links out of it.
//
// Oldest packet first over all inputs. One packet is in the output stage at a time; if one of its ports is blocked it
// blocks everything behind it, for wait1, then tries an emergency route for wait2, then is dropped (datasheet section 10).
#include "chip/chip.hpp"

#include <algorithm>
#include <cstring>

namespace spindl::emulator {
namespace {

constexpr i64 pipeline_cycles = 8;  // five router clocks of 133 MHz (TickySim's model of the pipeline)
constexpr i64 issue_cycles = 2;     // one packet per router clock, rounded up to core cycles
constexpr u32 all_links = 0x3f;

constexpr u32 no_emergency = 0, first_leg_and_normal = 1, first_leg = 2, second_leg = 3;

u32 emergency_of(const Packet& packet) { return packet.type() == multicast ? packet.control >> 4 & 3 : 0; }

Packet with_emergency(Packet packet, u32 bits) {
    packet.control = static_cast<u8>((packet.control & ~0x30) | bits << 4);
    return packet;
}

u64 mix(u64 x) {  // splitmix64 finaliser: a counter-based random word
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

}  // namespace

i64 router_wait_cycles(u32 field) {
    if (field == 0xff) return never;
    const i64 mantissa = field & 15, exponent = field >> 4;
    const i64 clocks = exponent <= 4 ? (mantissa + 16 - (i64{1} << (4 - exponent))) << exponent : (mantissa + 16) << exponent;
    return clocks * 3 / 2;  // 133 MHz router, 200 MHz cores
}

bool Chip::chance(double rate) {
    if (rate <= 0) return false;
    const u64 draw = mix(machine.faults.seed * 0x9e3779b97f4a7c15u + (u64{index} << 40) + ++events);
    return static_cast<double>(draw >> 11) * 0x1p-53 < rate;
}

u32 Chip::multicast_route(u32 key, bool& matched) {
    RouteCache::Entry& known = cache_.slot(key);
    if (known.generation != cache_.generation || known.key != key) {
        known = {key, 0, cache_.generation, false};
        for (u32 i = 0; i < router.entries_used; ++i) {
            if ((key & router.mask[i]) == router.key[i]) {
                known.route = router.route[i] & 0xffffff;
                known.matched = true;
                break;
            }
        }
    }
    matched = known.matched;
    return known.route;
}

// Ports that the packet must leave by. Sets default_routed; handles nearest-neighbour memory accesses at once (route 0).
u32 Chip::route_of(Packet& packet, i64 now) {
    const u32 monitor_port = 1u << (links_per_chip + router.monitor());
    const bool local = packet.route == from_core;
    packet.default_routed = false;
    switch (packet.type()) {
        case multicast: {
            const u32 emergency = emergency_of(packet);
            u32 arrived = packet.route, second = 0;
            if (!local && (emergency == first_leg || emergency == first_leg_and_normal)) second = 1u << (arrived + 1) % links_per_chip;
            if (emergency == first_leg) {
                packet = with_emergency(packet, second_leg);
                return second;
            }
            if (emergency == second_leg) arrived = (arrived + 1) % links_per_chip;
            if (second != 0) send_on_link((packet.route + 1u) % links_per_chip, with_emergency(packet, second_leg), now);
            packet = with_emergency(packet, no_emergency);
            bool matched;
            const u32 route = multicast_route(packet.key, matched);
            if (matched) return route;
            packet.default_routed = true;
            return local ? 0 : 1u << opposite(arrived);
        }
        case point_to_point: {
            const u32 destination = packet.key & 0xffff;
            const u32 entry = router.p2p[destination / 8] >> destination % 8 * 3 & 7;
            return entry < links_per_chip ? 1u << entry : entry == 7 ? monitor_port : 0;
        }
        case nearest_neighbour: {
            if (local) {
                const u32 link = packet.control >> 2 & 7;
                if (link < links_per_chip) return 1u << link;
                return link == 6 ? router.fixed_route >> 26 & all_links : monitor_port;
            }
            if (packet.control & 0x20) {
                direct_access(packet, now);
                return 0;
            }
            return monitor_port;
        }
        default: return router.fixed_route & 0xffffff;
    }
}

// Peek (no payload) and poke by a neighbour: done by the router itself, answered with the low key bit set.
void Chip::direct_access(const Packet& request, i64 now) {
    const u32 address = request.key & ~3u;
    Packet reply;
    reply.control = static_cast<u8>(nearest_neighbour << 6 | request.route << 2);
    reply.key = request.key | 1;
    if (request.has_payload()) {
        if (u8* at = shared_memory(address)) {
            std::memcpy(at, &request.payload, 4);
            if (address >> 24 < 0x80) mark_sdram(address & (sdram_size - 1), 4);
        } else {
            system_register_store(address, Width::word, request.payload, now, cores_per_chip);
        }
    } else {
        reply.control |= 2;
        if (const u8* at = shared_memory(address)) {
            std::memcpy(&reply.payload, at, 4);
        } else {
            reply.payload = system_register_load(address, now);
        }
    }
    send_on_link(request.route, reply, now);
}

void Chip::send_on_link(u32 link, Packet packet, i64 now) {
    LinkOutput& out = router.output[link];
    const i64 symbols = packet.has_payload() ? 19 : 11;  // 4 bits each, with end of packet
    out.free_at = std::max(out.free_at, now) + static_cast<i64>(static_cast<double>(symbols) * machine.costs.link_cycles_per_symbol);
    if (config.neighbour[link] < 0 || (system.link_disable >> link & 1)) return;  // nothing there: it vanishes
    ++links[link].packets;
    if (chance(machine.faults.packet_loss)) {
        ++links[link].lost;
        traced(PacketEvent::lost, now, link, packet);
        return;
    }
    if (chance(machine.faults.packet_corruption)) {
        ++links[link].corrupted;
        packet.key ^= 1u << (mix(events) & 31);
    }
    if (packet.type() == multicast) disturb(link, packet, now);
    else forward(link, packet, now);
}

// Faults of multicast packets: lost, passed on twice, or behind up to 16 later ones of the link.
void Chip::disturb(u32 link, const Packet& packet, i64 now) {
    const FaultConfig& faults = machine.faults;
    LinkOutput& out = router.output[link];
    if (chance(faults.multicast_loss)) {
        ++links[link].lost;
        traced(PacketEvent::lost, now, link, packet);
        return;
    }
    if (out.late_after == 0 && chance(faults.multicast_reorder)) {
        ++links[link].reordered;
        out.late = packet;
        out.late_after = 1 + static_cast<u32>(mix(events) % 16);
        return;
    }
    forward(link, packet, now);
    if (chance(faults.multicast_repeat)) {
        ++links[link].repeated;
        forward(link, packet, now);
    }
    if (out.late_after != 0 && --out.late_after == 0) forward(link, out.late, now);
}

void Chip::forward(u32 link, Packet packet, i64 now) {
    LinkOutput& out = router.output[link];
    if (out.credits > 0) --out.credits;
    packet.route = static_cast<u8>(opposite(link));
    traced(PacketEvent::forwarded, now, link, packet);
    outbox[link].packets.push_back({packet, now + machine.costs.hop});
    outgoing |= 1u << link;
}

bool Chip::deliver(u32 core, const Packet& packet, i64 now) {
    if (!((started & working) >> core & 1)) {
        if (rom.active && core == router.monitor() && packet.type() == nearest_neighbour) {
            if (rom.take_packet(packet)) boot({rom.image, rom.image + rom.blocks * BootRom::block_words * 4}, now);
        }
        return true;  // nobody there: swallowed
    }
    Comms& comms = peripherals[core].comms;
    if (comms.receive.full()) return false;
    comms.receive.push(packet);
    traced(PacketEvent::received, now, core, packet);
    refresh(core, now);
    return true;
}

// Filter fields: spinn_extra.h (diagnostic filter): type, emergency, default, payload, local, destination.
void Chip::count_packet(const Packet& packet, u32 route, bool dropped) {
    const u32 monitor_port = 1u << (links_per_chip + router.monitor());
    u32 destination = 0;
    if (dropped) destination |= 1;
    if (route & 0xffffc0 & ~monitor_port) destination |= 2;
    if (route & monitor_port) destination |= 4;
    destination |= (route & all_links) << 3;
    const u32 local = packet.route == from_core ? 1 : 2, payload = packet.has_payload() ? 1 : 2;
    const u32 is_default = packet.default_routed ? 1 : 2;
    for (u32 left = router.diagnostic_enable; left != 0; left &= left - 1) {
        const u32 i = static_cast<u32>(std::countr_zero(left)), filter = router.filters[i];
        const bool counts = (filter >> packet.type() & 1) && (filter >> (4 + emergency_of(packet)) & 1) && (filter >> 10 & is_default) &&
                            (filter >> 12 & payload) && (filter >> 14 & local) && (filter >> 16 & destination);
        if (counts) ++router.counters[i];
    }
}

void Chip::drop(i64 now) {
    count_packet(router.held, router.held_route, true);
    traced(PacketEvent::dropped, now, router.waiting_ports, router.held);
    ++router.drops;
    if (router.dumped) {
        router.dump_overflow = true;
    } else {
        router.dumped = true;
        router.dump = router.held;
        router.dump_outputs = router.waiting_ports;
        router.dump_phase = router.control >> 6 & 3;
    }
    router.dump_sticky |= router.waiting_ports;
    router.holding = false;
    router.free_at = now + issue_cycles;
    if (router.dump_interrupt()) refresh_all(now);
}

// Takes the oldest waiting packet into the output stage. False: none before `end`.
bool Chip::next_packet(i64 end) {
    i64 oldest = never;
    u32 source = 0;
    for (u32 left = router.arrived; left != 0; left &= left - 1) {
        const u32 link = static_cast<u32>(std::countr_zero(left));
        if (router.input[link].front().time < oldest) {
            oldest = router.input[link].front().time;
            source = link;
        }
    }
    for (u32 left = transmitting; left != 0; left &= left - 1) {
        const u32 core = static_cast<u32>(std::countr_zero(left));
        const i64 time = peripherals[core].comms.transmit.front().time;
        if (time < oldest) {
            oldest = time;
            source = links_per_chip + core;
        }
    }
    const i64 entry = std::max(oldest, router.free_at);
    if (oldest == never || entry >= end) return false;
    if (source < links_per_chip) {
        router.held = router.input[source].front().packet;
        router.input[source].pop();
        if (router.input[source].empty()) router.arrived &= ~(1u << source);
        ++outbox[source].credits;
        outgoing |= 1u << source;
    } else {
        const u32 core = source - links_per_chip;
        Comms& comms = peripherals[core].comms;
        router.held = comms.transmit.front().packet;
        comms.transmit.pop();
        if (comms.transmit.empty()) transmitting &= ~(1u << core);
        refresh(core, entry);
    }
    router.free_at = entry + issue_cycles;
    router.held_since = entry + pipeline_cycles;
    router.held_route = router.waiting_ports = route_of(router.held, router.held_since);
    router.holding = true;
    ++router.packets;
    traced(PacketEvent::routed, router.held_since, router.held_route, router.held);
    const bool handled = router.held.type() == nearest_neighbour && router.held.route != from_core && (router.held.control & 0x20);
    const bool nowhere = router.waiting_ports == 0 && !handled;
    // An unmatched packet from a core, or a p2p packet for nowhere, is an error that goes to the dump register.
    if (nowhere && (router.held.default_routed || router.held.type() == point_to_point)) {
        drop(router.held_since);
    } else if (handled) {
        router.holding = false;
        count_packet(router.held, 1u << (links_per_chip + router.monitor()), false);
    }
    return true;
}

// Hands the held packet to every port that can take it. True when none is left; else `retry` is when to try again.
bool Chip::offer(i64 now, i64 end, i64& retry) {
    retry = end;
    for (u32 left = router.waiting_ports; left != 0; left &= left - 1) {
        const u32 port = static_cast<u32>(std::countr_zero(left));
        if (port < links_per_chip) {
            const LinkOutput& out = router.output[port];
            if (out.credits == 0) continue;
            if (out.free_at > now) {
                retry = std::min(retry, out.free_at);
                continue;
            }
            send_on_link(port, router.held, now);
        } else if (!deliver(port - links_per_chip, router.held, now)) {
            continue;
        }
        router.waiting_ports &= ~(1u << port);
    }
    return router.waiting_ports == 0;
}

void Chip::run_router(i64 begin, i64 end) {
    if (!router.enabled() || (!router.holding && router.arrived == 0 && transmitting == 0)) return;
    for (;;) {
        if (!router.holding && !next_packet(end)) return;
        if (!router.holding) continue;
        i64 now = std::max(router.held_since, begin), retry = end;
        const i64 first_wait = router_wait_cycles(router.control >> 16 & 255), second_wait = router_wait_cycles(router.control >> 24);
        for (;;) {
            if (offer(now, end, retry)) {
                count_packet(router.held, router.held_route, false);
                router.holding = false;
                router.blocked_cycles += static_cast<u64>(now - router.held_since);
                router.free_at = std::max(router.free_at, now);
                break;
            }
            const i64 emergency_at = first_wait == never ? never : router.held_since + first_wait;
            const i64 drop_at = emergency_at == never || second_wait == never ? never : emergency_at + second_wait;
            if (now >= drop_at) {
                router.blocked_cycles += static_cast<u64>(now - router.held_since);
                drop(now);
                break;
            }
            if (second_wait > 0 && now >= emergency_at && router.held.type() == multicast) {
                // Round the triangle: by the next link, which sends it on by the one after the next.
                for (u32 left = router.waiting_ports & all_links; left != 0; left &= left - 1) {
                    const u32 port = static_cast<u32>(std::countr_zero(left)), around = (port + 1) % links_per_chip;
                    const LinkOutput& out = router.output[around];
                    if (out.credits == 0 || out.free_at > now) continue;
                    const bool also_normal = router.waiting_ports >> around & 1;
                    send_on_link(around, with_emergency(router.held, also_normal ? first_leg_and_normal : first_leg), now);
                    router.waiting_ports &= ~(1u << port | (also_normal ? 1u << around : 0));
                    ++router.emergency;
                }
            }
            const i64 deadline = now < emergency_at ? emergency_at : drop_at;
            const i64 next = std::min(retry, deadline);
            if (next >= end) return;  // still blocked when the quantum ends
            now = std::max(next, now + 1);
        }
    }
}

}  // namespace spindl::emulator
