#include "machine/bridge.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace spindl::emulator {
namespace {

using Clock = std::chrono::steady_clock;

constexpr i64 slice = 20'000;                 // cycles between looks at the sockets: 100 us
constexpr i64 quiet_slice = 800'000;          // the same while no host talks: 4 ms
constexpr auto quiet_after = std::chrono::milliseconds(50);
constexpr double furthest_behind = 5.0;       // seconds of simulated time it tries to catch up
constexpr double cycles_per_second = 200e6;

u16 big16(const u8* at) { return static_cast<u16>(at[0] << 8 | at[1]); }
u32 big32(const u8* at) { return u32{big16(at)} << 16 | big16(at + 2); }
void put16(u8* at, u32 value) {
    at[0] = static_cast<u8>(value >> 8);
    at[1] = static_cast<u8>(value);
}
void put32(u8* at, u32 value) {
    put16(at, value >> 16);
    put16(at + 2, value);
}

u32 address_of(const ChipConfig& chip) { return big32(chip.ip.data()); }

// Every host gets a made-up MAC address that contains its IP address.
void put_host_mac(u8* at, u32 ip) {
    at[0] = 2;
    at[1] = 1;
    put32(at + 2, ip);
}

u16 internet_checksum(const u8* data, u32 size) {
    u32 sum = 0;
    for (u32 i = 0; i + 1 < size; i += 2) sum += big16(data + i);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<u16>(~sum);
}

Frame udp_frame(const ChipConfig& chip, u16 port, const std::vector<u8>& data, u32 from_ip, u16 from_port) {
    const u32 size = static_cast<u32>(data.size());
    Frame frame(std::max<u32>(60, 42 + size));
    const u8 mac[6] = {2, 0, chip.ip[0], chip.ip[1], chip.ip[2], chip.ip[3]};
    u8* at = frame.data();
    std::memcpy(at, mac, 6);
    put_host_mac(at + 6, from_ip);
    put16(at + 12, 0x0800);
    u8* ip = at + 14;
    ip[0] = 0x45;
    put16(ip + 2, 28 + size);
    ip[8] = 64;
    ip[9] = 17;
    put32(ip + 12, from_ip);
    std::memcpy(ip + 16, chip.ip.data(), 4);
    put16(ip + 10, internet_checksum(ip, 20));
    put16(ip + 20, from_port);
    put16(ip + 22, port);
    put16(ip + 24, 8 + size);
    std::copy(data.begin(), data.end(), ip + 28);
    frame.resize((frame.size() + 3) & ~std::size_t{3});
    return frame;
}

Frame arp_reply(const Frame& request) {
    Frame reply(request);
    const u32 asked = big32(request.data() + 38);
    std::memcpy(reply.data(), request.data() + 6, 6);
    put_host_mac(reply.data() + 6, asked);
    put16(reply.data() + 20, 2);
    put_host_mac(reply.data() + 22, asked);
    put32(reply.data() + 28, asked);
    std::memcpy(reply.data() + 32, request.data() + 22, 10);
    return reply;
}

}  // namespace

Bridge::Bridge(Machine& machine, double wanted_speed) : speed(wanted_speed), machine_(machine) {
    try {
        for (u32 i = 0; i < machine.size(); ++i) {
            if (!machine.chip(i).config.ethernet) continue;
            plugs_.push_back(i);
            open(i, scp_port);
            open(i, boot_port);
        }
        if (pipe(wake_) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    } catch (...) {
        for (const Socket& socket : sockets_) close(socket.file);
        throw;
    }
    thread_ = std::thread([this] { loop(); });
}

Bridge::~Bridge() {
    stop_ = true;
    [[maybe_unused]] const ssize_t written = write(wake_[1], "x", 1);
    thread_.join();
    for (const Socket& socket : sockets_) close(socket.file);
    close(wake_[0]);
    close(wake_[1]);
}

void Bridge::open(u32 chip, u16 port) {
    const int file = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(address_of(machine_.chip(chip).config));
    const int buffer = 1 << 20;
    setsockopt(file, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (file < 0 || bind(file, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int reason = errno;
        if (file >= 0) close(file);
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
        throw std::system_error(reason, std::generic_category(), std::string(text) + ":" + std::to_string(port));
    }
    sockets_.push_back({file, chip, port});
}

void Bridge::loop() {
    Clock::time_point origin = Clock::now();
    i64 origin_cycles = machine_.now();
    bool was_paused = false;
    Clock::time_point last_talk = origin;
    u64 talked = 0;
    while (!stop_) {
        while (callers != 0) std::this_thread::yield();
        const Clock::time_point now = Clock::now();
        if (datagrams_in + datagrams_out != talked) last_talk = now;
        talked = datagrams_in + datagrams_out;
        const bool quiet = now - last_talk > quiet_after;
        const i64 step = quiet ? quiet_slice : slice;
        bool ahead = true;
        int milliseconds = 10;
        if (!paused) {
            const std::lock_guard lock(mutex);
            if (was_paused) {
                origin = now;
                origin_cycles = machine_.now();
            }
            was_paused = false;
            const double wall = std::chrono::duration<double>(now - origin).count();
            i64 goal = machine_.now() + step;
            if (speed > 0) {
                const i64 due = origin_cycles + static_cast<i64>(wall * speed * cycles_per_second);
                if (static_cast<double>(due - machine_.now()) > furthest_behind * cycles_per_second) {
                    origin_cycles -= due - machine_.now() - static_cast<i64>(furthest_behind * cycles_per_second);
                }
                goal = std::min(goal, due);
                ahead = goal - machine_.now() < step;
                milliseconds = quiet ? 4 : 1;
            } else {
                ahead = false;
            }
            if (machine_.now() >= stop_at) {
                paused = true;
            } else if (goal > machine_.now()) {
                machine_.run_until_time(std::min(goal, stop_at.load()));
            }
            send_frames();
        } else {
            was_paused = true;
        }
        receive(ahead, milliseconds);
    }
}

// Takes what has come; if `wait`, sleeps until something does or the time is over.
bool Bridge::receive(bool wait, int milliseconds) {
    std::vector<pollfd>& files = polled_;
    files.clear();
    for (const Socket& socket : sockets_) files.push_back({socket.file, POLLIN, 0});
    files.push_back({wake_[0], POLLIN, 0});
    if (poll(files.data(), files.size(), wait ? milliseconds : 0) <= 0) return false;
    const std::lock_guard lock(mutex);
    std::vector<u8> data(2048);
    for (std::size_t i = 0; i + 1 < files.size(); ++i) {
        if (!(files[i].revents & POLLIN)) continue;
        const Socket socket = sockets_[i];
        for (;;) {
            // What the chip cannot take yet stays in the socket, as it would in the switch.
            if (machine_.chip(socket.chip).ethernet.waiting.size() > 16) break;
            sockaddr_in from{};
            socklen_t length = sizeof from;
            const ssize_t size = recvfrom(socket.file, data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
            if (size < 0) break;
            datagram(socket, {data.begin(), data.begin() + size}, ntohl(from.sin_addr.s_addr), ntohs(from.sin_port));
        }
    }
    return true;
}

void Bridge::datagram(const Socket& socket, const std::vector<u8>& data, u32 from_ip, u16 from_port) {
    ++datagrams_in;
    if (socket.port == boot_port && machine_.chip(socket.chip).rom.active) {
        machine_.arrive(socket.chip, 1, data);
        return;
    }
    if (machine_.chip(socket.chip).rom.active || data.size() > 1472) return;
    follow_tags(socket.chip, data);
    machine_.arrive(socket.chip, 0, udp_frame(machine_.chip(socket.chip).config, socket.port, data, from_ip, from_port));
}

// A reverse IP tag makes SC&MP listen on one more UDP port: open it here too. SCP command 26, [23:16] of the first
// argument is the operation (0 new, 1 set), bit 29 the reverse flag; the port is the lower half of the second argument.
void Bridge::follow_tags(u32 chip, const std::vector<u8>& data) {
    if (data.size() < 26 || data[10] != 26 || data[11] != 0) return;
    u32 first, second;
    std::memcpy(&first, data.data() + 14, 4);
    std::memcpy(&second, data.data() + 18, 4);
    const u16 port = static_cast<u16>(second);
    if ((first >> 16 & 255) > 1 || !(first >> 29 & 1)) return;
    for (const Socket& known : sockets_) {
        if (known.chip == chip && known.port == port) return;
    }
    try {
        open(chip, port);
    } catch (const std::system_error&) {
        ++frames_ignored;  // the port is taken: the host will see that nothing arrives
    }
}

void Bridge::send_frames() {
    for (const u32 i : plugs_) {
        Chip& chip = machine_.chip(i);
        while (!chip.ethernet.sent.empty() && chip.ethernet.sent.front().first <= machine_.now()) {
            frame_out(i, chip.ethernet.sent.front().second);
            chip.ethernet.sent.pop_front();
        }
    }
}

void Bridge::frame_out(u32 chip, const Frame& frame) {
    if (frame.size() >= 42 && big16(frame.data() + 12) == 0x0806 && big16(frame.data() + 20) == 1) {
        if (big32(frame.data() + 38) != address_of(machine_.chip(chip).config)) machine_.arrive(chip, 0, arp_reply(frame));
        return;
    }
    const u8* ip = frame.data() + 14;
    if (frame.size() < 42 || big16(frame.data() + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 17) {
        ++frames_ignored;
        return;
    }
    const u32 size = big16(ip + 24);
    if (size < 8 || 34 + size > frame.size()) {
        ++frames_ignored;
        return;
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(big16(ip + 22));
    to.sin_addr.s_addr = htonl(big32(ip + 16));
    const u16 port = big16(ip + 20);
    int file = -1;
    for (const Socket& socket : sockets_) {
        if (socket.chip == chip && (file < 0 || socket.port == port)) file = socket.file;
    }
    sendto(file, ip + 28, size - 8, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    ++datagrams_out;
}

}  // namespace spindl::emulator
