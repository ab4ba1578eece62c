// The machine's Ethernet cables: UDP sockets on loopback addresses, and the thread that keeps simulated time beside wall
// time.
#pragma once

#include "machine/machine.hpp"

#include <map>
#include <string>

#include <poll.h>

namespace spindl::emulator {

class Bridge {
public:
    static constexpr u16 scp_port = 17893, boot_port = 54321;

    // `speed`: simulated seconds per wall second it aims at; 0 runs as fast as it can. Throws std::system_error with the
    // address in its text if a port is taken.
    Bridge(Machine& machine, double speed);
    ~Bridge();
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;

    // Held by whoever touches the machine while the bridge runs. A caller counts itself in `callers` before it waits for
    // the mutex, so that the bridge's thread lets it through.
    std::mutex mutex;
    std::atomic<u32> callers{0};
    std::atomic<bool> paused{false};
    std::atomic<i64> stop_at{never};  // simulated time at which it pauses itself
    double speed;
    u64 datagrams_in = 0, datagrams_out = 0, frames_ignored = 0;

private:
    struct Socket {
        int file;
        u32 chip;
        u16 port;
    };

    void open(u32 chip, u16 port);
    void loop();
    bool receive(bool wait, int milliseconds);
    void datagram(const Socket& socket, const std::vector<u8>& data, u32 from_ip, u16 from_port);
    void send_frames();
    void frame_out(u32 chip, const Frame& frame);
    void follow_tags(u32 chip, const std::vector<u8>& data);

    Machine& machine_;
    std::vector<Socket> sockets_;
    std::vector<pollfd> polled_;
    std::vector<u32> plugs_;  // chips with an Ethernet plug
    int wake_[2] = {-1, -1};
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace spindl::emulator
