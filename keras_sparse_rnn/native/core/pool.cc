#include "pool.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <vector>

#include "after_fork.h"
#include "cores.h"
#include "float_mode.h"
#include "pool_thread.h"

namespace ksr {
namespace {

// Some 50 microseconds, longer than threads of equal work differ; then the processor is given up.
constexpr int kSpins = 4000;
// After that happened once: two threads may be on one processor, where each only runs when the
// other gives it up.
constexpr int kFewSpins = 40;
// A thread that slept takes longer than that to wake where the processor had gone to sleep, too.
constexpr int kStartSpins = 40000;
constexpr int kMaxPause = 256;  // teams that are not made after one that spent more than `kLost`
constexpr double kLost = 0.6;   // of its time waiting, at most
constexpr int kFlat = 8;        // a larger team meets by way of a tree
constexpr int kBranches = 4;    // of it
constexpr int kBesides = 64;    // teams that leave room for others after two ran side by side

using Clock = std::chrono::steady_clock;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Failed {};  // what a barrier throws in those that did not fail

}  // namespace

Team::Team(int size, Work work, void* argument)
    : size_(size), missing_(size - 1), running_(size - 1), work_(work), argument_(argument) {
  for (int i = 0; i < size; ++i) reached_[i].count.store(0, std::memory_order_relaxed);
}

void Team::work(int id) {
  // Each wakes two more: one alone would take a microsecond or more for every thread.
  for (int child : {2 * id + 1, 2 * id + 2})
    if (child < size_) threads_[child]->wake(this, child);
  if (id > 0) missing_.fetch_sub(1, std::memory_order_release);
  const FloatMode mode;
  try {
    work_(argument_, id, *this);
  } catch (...) {
    if (!told_.test_and_set()) failure_ = std::current_exception();
    failed_.store(true, std::memory_order_release);
  }
  if (id > 0) running_.fetch_sub(1, std::memory_order_release);
}

void Team::finish() {
  work(0);
  for (int spin = 0; running_.load(std::memory_order_acquire) > 0; ++spin)
    spin < kSpins ? relax() : std::this_thread::yield();
  if (failure_) std::rethrow_exception(failure_);
}

template <typename Ready>
void Team::wait(Ready is_ready) {
  const auto ready = [&] { return is_ready() || failed_.load(std::memory_order_acquire); };
  const auto spin = [&](int spins) {
    for (int i = 0; i < spins; ++i) {
      if (ready()) return true;
      relax();
    }
    return false;
  };
  // Who has not begun yet is no sign of a processor that is shared.
  for (int i = 0; i < kStartSpins && missing_.load(std::memory_order_acquire) > 0; ++i) {
    if (ready()) return;
    relax();
  }
  if (spin(stalled_.load(std::memory_order_relaxed) ? kFewSpins : kSpins)) return;
  stalled_.store(true, std::memory_order_relaxed);
  const Clock::time_point begin = Clock::now();
  while (!spin(kFewSpins)) std::this_thread::yield();
  lost_.fetch_add(std::chrono::nanoseconds(Clock::now() - begin).count(),
                  std::memory_order_relaxed);
}

bool Team::reached(int id, unsigned count) const {
  return static_cast<int>(reached_[id].count.load(std::memory_order_acquire) - count) >= 0;
}

void Team::barrier(int id, int first, int count) {
  if (count == 1) return;
  meet(id, first, count);
  if (failed_.load(std::memory_order_acquire)) throw Failed();
}

void Team::meet(int id, int from, int size) {
  std::atomic<unsigned>& own = reached_[id].count;
  const unsigned count = own.load(std::memory_order_relaxed) + 1;
  if (size <= kFlat) {
    own.store(count, std::memory_order_release);
    wait([&] {
      for (int i = from; i < from + size; ++i)
        if (!reached(i, count)) return false;
      return true;
    });
    return;
  }
  // Up a tree, each waiting for its branches; and down by one line that all read.
  const int first = from + kBranches * (id - from) + 1, last = std::min(first + kBranches, from + size);
  wait([&] {
    for (int i = first; i < last; ++i)
      if (!reached(i, count)) return false;
    return true;
  });
  own.store(count, std::memory_order_release);
  if (id > from) wait([&] { return reached(from, count); });
}

namespace {

class Pool {
 public:
  void run(int threads, bool meets, Team::Work work, void* argument) {
    PoolThread* lent_threads[kMaxThreads];
    const int lent = lend(std::min(threads, kMaxThreads), meets, lent_threads);
    Team team(1 + lent, work, argument);
    Processors taken;
    for (int i = 0; i < lent; ++i) {
      team.set_thread(i + 1, lent_threads[i]);
      lent_threads[i]->keep_off(&taken);
    }
    const Clock::time_point begin = Clock::now();
    try {
      team.finish();
    } catch (...) {
      take_back(lent, lent_threads, meets, false);
      throw;
    }
    const std::chrono::duration<double, std::nano> elapsed = Clock::now() - begin;
    take_back(lent, lent_threads, meets, team.lost() > kLost * team.size() * elapsed.count());
  }

 private:
  // How many threads are lent besides the caller's own: of those that the pool may use, what others
  // have left.
  int lend(int wanted, bool meets, PoolThread** lent_threads) {
    const int all = num_threads();
    std::lock_guard<std::mutex> lock(mutex_);
    ++callers_;
    if (meets && left_ > 0) return --left_, 0;
    if (callers_ > 1) besides_ = kBesides;
    if (besides_ > 0) --besides_, wanted = std::min(wanted, (all + 1) / 2);
    int count = std::min(wanted - 1, all - callers_ - busy_);
    for (; static_cast<int>(idle_.size()) < count; idle_.push_back(all_.back().get()))
      if (!grow()) break;
    count = std::max(0, std::min(count, static_cast<int>(idle_.size())));
    std::copy(idle_.end() - count, idle_.end(), lent_threads);
    idle_.resize(idle_.size() - count);
    busy_ += count;
    return count;
  }

  void take_back(int count, PoolThread** lent_threads, bool meets, bool waited) {
    std::lock_guard<std::mutex> lock(mutex_);
    --callers_;
    busy_ -= count;
    // There is room: they came from there.
    idle_.insert(idle_.end(), lent_threads, lent_threads + count);
    if (!meets || !count) return;
    pause_ = waited ? std::min(kMaxPause, 2 * pause_ + 8) : 0;
    left_ = pause_;
  }

  // One more thread; false if the system has none left.
  bool grow() {
    try {
      idle_.reserve(all_.size() + 1);
      all_.push_back(std::make_unique<PoolThread>());
      all_.back()->start();
      return true;
    } catch (...) {
      if (!all_.empty() && all_.size() > idle_.size() + busy_) all_.pop_back();
      return false;
    }
  }

  std::mutex mutex_;  // guards all that follows
  std::vector<std::unique_ptr<PoolThread>> all_;
  std::vector<PoolThread*> idle_;
  int callers_ = 0, busy_ = 0;
  int besides_ = 0;
  int pause_ = 0, left_ = 0;  // how many teams that meet are not made, and how many still are not
};

std::atomic<int> asked{0};

int default_threads() {
  // What is no number above 0 counts as nothing here; who called can say so in words, and Python
  // does.
  const char* text = std::getenv("KERAS_SPARSE_RNN_THREADS");
  char* end = nullptr;
  const long wanted = text ? std::strtol(text, &end, 10) : 0;
  if (wanted > 0 && *end == '\0') return static_cast<int>(std::min<long>(wanted, kMaxThreads));
  // Without a lock, which a fork could leave locked: those that come at once all count them.
  static std::atomic<int> counted{0};
  int cores = counted.load(std::memory_order_relaxed);
  if (cores == 0) counted.store(cores = usable_cores(), std::memory_order_relaxed);
  return std::max(1, std::min(cores, kMaxThreads));
}

}  // namespace

std::pair<int64_t, int64_t> share(int64_t count, int id, int size) {
  return {count * id / size, count * (id + 1) / size};
}

int num_threads() {
  const int threads = asked.load(std::memory_order_relaxed);
  return threads > 0 ? threads : default_threads();
}

void set_num_threads(int threads) {
  asked.store(std::max(0, std::min(threads, kMaxThreads)), std::memory_order_relaxed);
}

void run_team(int threads, bool meets, Team::Work work, void* argument) {
  if (threads > 1) return only<Pool>().run(threads, meets, work, argument);
  Team alone(1, work, argument);
  alone.finish();
}

}  // namespace ksr
