// SDRAM serves all engines that are busy alike, none beyond its own rate: between two events the rates are constant. The
// interrupts of rows lengthen whatever their core does; a core that sleeps has nothing to lose.
#include "planner/walk.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <stdexcept>

namespace spindl::planner {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

struct Job {
    double bytes;
    double rows;
    double most;  // bytes per cycle
    Span* span;
};

enum class Stage { fetch_first, begin, barrier, loads, open, ahead, wait, kernel, stores, finish, over };
enum class State { runs, waits, meets };

struct Core {
    std::uint32_t at = 0, end = 0;      // step
    std::size_t transfer = 0, next_transfer = 0;  // first of this step's and of the next one's
    Stage stage = Stage::fetch_first;
    State state = State::runs;
    double until = 0;                   // runs: when this stretch of work ends
    double asleep_since = 0;
    std::uint64_t awaited = 0;          // number of the job that it waits for
    bool early = false;
    std::uint64_t asked = 0, done = 0;  // jobs
    std::uint64_t loaded = 0, loaded_next = 0, fetched = 0, stored = 0;
    std::deque<Job> queue;              // the first one runs
    double left = 0, rate = 0;          // of the running job
    double rows_ended = 0, rows_paid = 0;
};

class Chip {
   public:
    Chip(std::span<const Step> steps, std::span<const Transfer> transfers, std::span<const std::uint32_t> first,
         std::span<const double> start, const Constants& k, std::span<Taken> taken, std::span<Span> moved)
        : steps_(steps), transfers_(transfers), k_(k), taken_(taken), moved_(moved), cores_(first.size() - 1) {
        std::size_t transfer = 0;
        std::uint32_t step = 0;
        for (std::size_t i = 0; i < cores_.size(); ++i) {
            Core& core = cores_[i];
            core.at = first[i];
            core.end = first[i + 1];
            core.until = start[i];
            core.transfer = transfer;
            for (; step < core.end; ++step) transfer += steps[step].loads + steps[step].stores;
        }
        if (transfer != transfers.size() || step != steps.size()) throw std::invalid_argument("steps and transfers do not match");
    }

    void run() {
        for (;;) {
            Core* next = nullptr;
            double at = never;
            bool of_engine = false;
            for (Core& core : cores_) {
                if (core.state == State::runs && core.until < at) at = core.until, next = &core, of_engine = false;
                if (!core.queue.empty()) {
                    const double end = now_ + core.left / core.rate;
                    if (end < at) at = end, next = &core, of_engine = true;
                }
            }
            if (next == nullptr) break;
            advance(at);
            if (of_engine) end_job(*next);
            else end_work(*next);
        }
        for (const Core& core : cores_) {
            if (core.stage != Stage::over) throw std::logic_error("cores wait for each other");
        }
    }

   private:
    void advance(double to) {
        for (Core& core : cores_) {
            if (!core.queue.empty()) core.left -= core.rate * (to - now_);
        }
        now_ = to;
    }

    // Fair shares of the SDRAM: who cannot take his share leaves the rest to the others.
    void share() {
        double room = k_.sdram;
        std::uint32_t open = 0;
        for (Core& core : cores_) {
            core.rate = 0;
            open += !core.queue.empty();
        }
        for (bool changed = true; changed && open;) {
            changed = false;
            const double each = room / open;
            for (Core& core : cores_) {
                if (core.queue.empty() || core.rate != 0 || core.queue.front().most > each) continue;
                core.rate = core.queue.front().most;
                room -= core.rate;
                --open;
                changed = true;
            }
        }
        for (Core& core : cores_) {
            if (!core.queue.empty() && core.rate == 0) core.rate = room / open;
        }
    }

    std::uint64_t enqueue(Core& core, double rows, double bytes, Span* span) {
        const double most = std::min(k_.engine, bytes / k_.row_least);
        core.queue.push_back({rows * bytes, rows, most, span});
        if (core.queue.size() == 1) begin_job(core);
        return ++core.asked;
    }

    void begin_job(Core& core) {
        core.left = core.queue.front().bytes;
        if (core.queue.front().span) core.queue.front().span->start = now_;
        share();
    }

    void end_job(Core& core) {
        const Job job = core.queue.front();
        core.queue.pop_front();
        if (job.span) job.span->end = now_;
        core.rows_ended += job.rows;
        ++core.done;
        if (core.queue.empty()) share();
        else begin_job(core);
        if (core.state == State::waits && core.done >= core.awaited) {
            Taken& taken = taken_[core.at];
            taken.dma += now_ - core.asleep_since;
            taken.dma_until = now_;
            resume(core, k_.row + k_.wake);
        }
    }

    void resume(Core& core, double cycles) {
        core.rows_paid = rows(core);
        core.state = State::runs;
        core.until = now_ + cycles;
    }

    static double rows(const Core& core) {
        if (core.queue.empty()) return core.rows_ended;
        const Job& job = core.queue.front();
        return core.rows_ended + std::floor(job.rows * (1 - core.left / job.bytes) + 1e-9);
    }

    // Interrupts that came meanwhile take time of their own.
    void end_work(Core& core) {
        const double due = rows(core) - core.rows_paid;
        if (due > 0) {
            core.rows_paid += due;
            core.until = now_ + due * k_.row;
            return;
        }
        go_on(core);
    }

    // True if there is nothing to wait for; otherwise the core sleeps, and comes back to the same stage.
    bool have(Core& core, std::uint64_t job) {
        if (core.done >= job) return true;
        core.state = State::waits;
        core.awaited = job;
        core.asleep_since = now_;
        return false;
    }

    std::uint64_t load(Core& core, std::uint32_t step, std::size_t transfer) {
        for (std::uint32_t i = 0; i < steps_[step].loads; ++i, ++transfer) {
            enqueue(core, transfers_[transfer].rows, transfers_[transfer].bytes, &moved_[transfer]);
        }
        return core.asked;
    }

    double work_of_queue(std::uint32_t transfers) const { return transfers ? k_.queue : 0; }

    bool all_met() const {
        return std::all_of(cores_.begin(), cores_.end(), [](const Core& core) { return core.state == State::meets; });
    }

    void meet(Core& core) {
        core.state = State::meets;
        core.asleep_since = now_;
        taken_[core.at].barrier.start = now_;
        if (!all_met()) return;
        for (Core& each : cores_) {
            taken_[each.at].barrier.end = now_;
            each.stage = Stage::loads;
            resume(each, cores_.size() > 1 ? k_.barrier + k_.barrier_core * static_cast<double>(cores_.size()) : 0);
        }
    }

    void work(Core& core, Stage next, double cycles) {
        core.stage = next;
        core.until = now_ + cycles;
    }

    // What the core does next: each stage ends with work, with a wait, or goes on at once.
    void go_on(Core& core) {
        const Step& step = steps_[core.at];
        Taken& taken = taken_[core.at];
        const bool last = core.at + 1 == core.end;
        switch (core.stage) {
            case Stage::fetch_first:
                core.loaded = core.fetched = enqueue(core, 1, step.block, nullptr);
                if (!last) core.fetched = enqueue(core, 1, steps_[core.at + 1].block, nullptr);
                work(core, Stage::begin, k_.step_before + k_.transfer * (step.loads + step.stores));
                break;
            case Stage::begin:
                core.next_transfer = core.transfer + step.loads + step.stores;
                if (step.overlay > 0) {
                    core.loaded = enqueue(core, 1, step.overlay, &taken.overlay);
                    work(core, Stage::barrier, k_.queue);
                } else {
                    work(core, Stage::barrier, 0);
                }
                break;
            case Stage::barrier:
                if (!core.early && step.flags & barrier_before) {
                    if (have(core, core.stored)) meet(core);
                    break;
                }
                core.stage = Stage::loads;
                [[fallthrough]];
            case Stage::loads:
                if (!core.early && !(step.flags & left_out)) {
                    core.loaded = load(core, core.at, core.transfer);
                    work(core, Stage::open, work_of_queue(step.loads));
                } else {
                    work(core, Stage::open, 0);
                }
                break;
            case Stage::open:
                if (last) {
                    work(core, Stage::wait, 0);
                    break;
                }
                if (have(core, core.fetched)) {
                    const Step& next = steps_[core.at + 1];
                    work(core, Stage::ahead, k_.step_open + k_.transfer * (next.loads + next.stores));
                }
                break;
            case Stage::ahead: {
                const Step& next = steps_[core.at + 1];
                core.early = !(next.flags & (barrier_before | ordered | left_out));
                if (core.early) core.loaded_next = load(core, core.at + 1, core.next_transfer);
                if (core.at + 2 < core.end) core.fetched = enqueue(core, 1, steps_[core.at + 2].block, nullptr);
                work(core, Stage::wait, k_.step_rest + (core.early ? work_of_queue(next.loads) : 0));
                break;
            }
            case Stage::wait:
                if (!have(core, core.loaded)) break;
                taken.kernel.start = now_;
                work(core, Stage::kernel, step.kernel < 0 || step.flags & left_out ? 0 : k_.kernel + step.kernel);
                break;
            case Stage::kernel:
                taken.kernel.end = now_;
                if (!(step.flags & left_out) && step.stores) {
                    std::size_t transfer = core.transfer + step.loads;
                    for (std::uint32_t i = 0; i < step.stores; ++i, ++transfer) {
                        core.stored = enqueue(core, transfers_[transfer].rows, transfers_[transfer].bytes, &moved_[transfer]);
                    }
                    work(core, Stage::stores, k_.queue + k_.counted);
                } else {
                    work(core, Stage::stores, k_.counted);
                }
                break;
            case Stage::stores:
                if (last && !have(core, core.asked)) break;
                core.stage = Stage::finish;
                [[fallthrough]];
            case Stage::finish:
                taken.end = now_;
                core.transfer = core.next_transfer;
                if (last) {
                    core.stage = Stage::over;
                    core.state = State::meets;  // for those that meet no more; nobody is left behind
                    break;
                }
                ++core.at;
                taken_[core.at].begin = now_;
                core.loaded = core.early ? core.loaded_next : core.loaded;
                work(core, Stage::begin, k_.step_before);
                break;
            case Stage::over:
                break;
        }
    }

    std::span<const Step> steps_;
    std::span<const Transfer> transfers_;
    const Constants k_;
    std::span<Taken> taken_;
    std::span<Span> moved_;
    std::vector<Core> cores_;
    double now_ = 0;
};

}  // namespace

void walk(std::span<const Step> steps, std::span<const Transfer> transfers, std::span<const std::uint32_t> first,
          std::span<const double> start, const Constants& constants, std::span<Taken> taken, std::span<Span> moved) {
    if (first.size() < 2 || start.size() + 1 != first.size() || taken.size() != steps.size() ||
        moved.size() != transfers.size()) {
        throw std::invalid_argument("sizes do not match");
    }
    for (std::size_t i = 0; i + 1 < first.size(); ++i) {
        if (first[i] >= first[i + 1]) throw std::invalid_argument("a core without steps");
    }
    Chip(steps, transfers, first, start, constants, taken, moved).run();
}

}  // namespace spindl::planner
