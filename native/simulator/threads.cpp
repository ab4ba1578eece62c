#include "threads.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace spindl::simulator {
namespace {

// A waiting thread polls this often before it sleeps: about 20 microseconds, the cost of a wake-up. Longer would steal
// the core from another library's threads, which run between our calls.
constexpr int kPolls = 400;

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

class Pool {
public:
    explicit Pool(int count) {
        for (int index = 1; index < count; ++index) {
            workers_.emplace_back([this, index, count] { serve(index, count); });
        }
    }

    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    ~Pool() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
            generation_.fetch_add(1, std::memory_order_release);
        }
        started_.notify_all();
        for (std::thread& worker : workers_) {
            worker.join();
        }
    }

    void run(const std::function<void(int, int)>& body) {
        const int count = static_cast<int>(workers_.size()) + 1;
        if (count == 1) {
            body(0, 1);
            return;
        }
        {
            std::lock_guard lock(mutex_);
            body_ = &body;
            pending_.store(count - 1, std::memory_order_relaxed);
            generation_.fetch_add(1, std::memory_order_release);
        }
        started_.notify_all();
        body(0, count);
        for (int poll = 0; poll < kPolls; ++poll) {
            if (pending_.load(std::memory_order_acquire) == 0) {
                return;
            }
            relax();
        }
        std::unique_lock lock(mutex_);
        finished_.wait(lock, [this] { return pending_.load(std::memory_order_acquire) == 0; });
    }

private:
    void serve(int index, int count) {
        uint64_t seen = 0;
        while (true) {
            for (int poll = 0; poll < kPolls && generation_.load(std::memory_order_acquire) == seen; ++poll) {
                relax();
            }
            const std::function<void(int, int)>* body = nullptr;
            {
                std::unique_lock lock(mutex_);
                started_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
                seen = generation_.load(std::memory_order_relaxed);
                if (stopping_) {
                    return;
                }
                body = body_;
            }
            (*body)(index, count);
            if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                std::lock_guard lock(mutex_);
                finished_.notify_all();
            }
        }
    }

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable started_;
    std::condition_variable finished_;
    std::atomic<uint64_t> generation_{0};
    std::atomic<int> pending_{0};
    const std::function<void(int, int)>* body_ = nullptr;
    bool stopping_ = false;
};

struct Process {
    std::mutex mutex;
    std::unique_ptr<Pool> pool;
    pid_t owner = 0;
    int pool_size = 0;
    int wanted = 0;
};

int available() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
    return std::max(1U, std::thread::hardware_concurrency());
}

// Never destroyed: at exit of the process its threads sleep in a wait, and joining them would depend on the order of
// exits.
Process& process() {
    static Process* const instance = new Process;
    return *instance;
}

}  // namespace

void set_threads(int count) {
    Process& state = process();
    std::lock_guard lock(state.mutex);
    state.wanted = std::max(1, count);
}

int threads() {
    Process& state = process();
    std::lock_guard lock(state.mutex);
    if (state.wanted == 0) {
        state.wanted = available();
    }
    return state.wanted;
}

void parallel(const std::function<void(int, int)>& body) {
    parallel(threads(), body);
}

void parallel(int count, const std::function<void(int, int)>& body) {
    Process& state = process();
    std::lock_guard lock(state.mutex);
    if (state.owner != getpid()) {
        // After a fork the threads of the parent do not exist here: forget the pool without joining it.
        static_cast<void>(state.pool.release());
        state.owner = getpid();
        state.pool_size = 0;
    }
    if (state.pool_size != count) {
        state.pool.reset();
        state.pool = std::make_unique<Pool>(count);
        state.pool_size = count;
    }
    state.pool->run(body);
}

}  // namespace spindl::simulator
