#include "pool.h"

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace ksr {
namespace {

constexpr int kSpins = 4000;     // some 50 microseconds, longer than threads of equal work differ; then the processor is given up
constexpr int kFewSpins = 40;    // after that happened once: two threads may be on one processor, where each only runs when the other gives it up
constexpr int kMaxPause = 256;   // pieces of work that run alone after more than `kLost` of one was spent waiting, at most
constexpr double kLost = 0.6;

using Clock = std::chrono::steady_clock;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Pool {
 public:
  void run(int threads, bool meets, void (*work)(void*, int, Team&), void* argument) {
    std::unique_lock<std::mutex> owner(owner_, std::defer_lock);
    threads = std::min({threads, num_threads(), kMaxThreads});
    const bool mine = threads > 1 && owner.try_lock();
    const bool paused = mine && meets && left_ > 0 && left_-- > 0;
    if (!mine || paused || !grow(threads - 1)) {
      Team alone(1);
      work(argument, 0, alone);
      return;
    }
    Team team(threads);
    const Clock::time_point begin = Clock::now();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      work_ = work;
      argument_ = argument;
      team_ = &team;
      size_ = threads;
      running_ = threads - 1;
      ++generation_;
    }
    wake_.notify_all();
    work(argument, 0, team);
    for (int spin = 0; running_.load(std::memory_order_acquire) > 0; ++spin)
      spin < kSpins ? relax() : std::this_thread::yield();
    if (!meets) return;
    const std::chrono::duration<double, std::nano> elapsed = Clock::now() - begin;
    pause_ = team.lost() > kLost * threads * elapsed.count() ? std::min(kMaxPause, 2 * pause_ + 8) : 0;
    left_ = pause_;
  }

 private:
  // Starts threads until there are `count`; false if the system has none left.
  bool grow(int count) {
    try {
      for (; started_ < count; ++started_) std::thread(&Pool::serve, this, started_ + 1, generation_).detach();
    } catch (...) {
      return false;
    }
    return true;
  }

  void serve(int id, unsigned seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (id >= size_) continue;  // the team itself may be gone by now: it did not wait for this thread
      Team* team = team_;
      auto* work = work_;
      void* argument = argument_;
      lock.unlock();
      work(argument, id, *team);
      running_.fetch_sub(1, std::memory_order_release);
      lock.lock();
    }
  }

  std::mutex owner_;  // held by the caller that uses the pool
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  unsigned generation_ = 0;
  void (*work_)(void*, int, Team&) = nullptr;
  void* argument_ = nullptr;
  Team* team_ = nullptr;
  int size_ = 0;
  std::atomic<int> running_{0};
  // Guarded by owner_.
  int started_ = 0;
  int pause_ = 0, left_ = 0;  // how many pieces of work that meets run alone, and how many of them are still to come
};

// Threads do not survive a fork: the child gets a new pool, and the old one, whose locks may be held by threads that are gone, is left alone.
// It is never destroyed either, because its threads outlive main().
std::atomic<Pool*> pool{nullptr};
std::atomic<int> asked{0};

Pool& the_pool() {
  Pool* current = pool.load(std::memory_order_acquire);
  if (!current) {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr, std::memory_order_release); });
    (void)registered;
    Pool* fresh = new Pool;
    if (pool.compare_exchange_strong(current, fresh)) return *fresh;
    delete fresh;
  }
  return *current;
}

int default_threads() {
  // What is no number above 0 counts as nothing here; who called can say so in words, and Python does.
  const char* text = std::getenv("KERAS_SPARSE_RNN_THREADS");
  char* end = nullptr;
  const long wanted = text ? std::strtol(text, &end, 10) : 0;
  if (wanted > 0 && *end == '\0') return static_cast<int>(std::min<long>(wanted, kMaxThreads));
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, std::min(CPU_COUNT(&set), kMaxThreads));
#endif
  return std::max(1u, std::min(std::thread::hardware_concurrency(), unsigned{kMaxThreads}));
}

}  // namespace

bool Team::all_reached(unsigned count) const {
  for (int i = 0; i < size_; ++i)
    if (static_cast<int>(reached_[i].count.load(std::memory_order_acquire) - count) < 0) return false;
  return true;
}

void Team::barrier(int id) {
  if (size_ == 1) return;
  const unsigned count = reached_[id].count.load(std::memory_order_relaxed) + 1;
  reached_[id].count.store(count, std::memory_order_release);
  const auto wait = [&](int spins) {
    for (int spin = 0; spin < spins; ++spin) {
      if (all_reached(count)) return true;
      relax();
    }
    return false;
  };
  if (wait(stalled_.load(std::memory_order_relaxed) ? kFewSpins : kSpins)) return;
  stalled_.store(true, std::memory_order_relaxed);
  const Clock::time_point begin = Clock::now();
  while (!wait(kFewSpins)) std::this_thread::yield();
  lost_.fetch_add(std::chrono::nanoseconds(Clock::now() - begin).count(), std::memory_order_relaxed);
}

std::pair<int64_t, int64_t> share(int64_t count, int id, int size) { return {count * id / size, count * (id + 1) / size}; }

int num_threads() {
  const int threads = asked.load(std::memory_order_relaxed);
  return threads > 0 ? threads : default_threads();
}

void set_num_threads(int threads) { asked.store(std::max(0, std::min(threads, kMaxThreads)), std::memory_order_relaxed); }

void run_team(int threads, bool meets, void (*work)(void*, int, Team&), void* argument) {
  if (threads > 1) return the_pool().run(threads, meets, work, argument);
  Team alone(1);
  work(argument, 0, alone);
}

}  // namespace ksr
