// One thread of the pool, and where it wakes. Private to pool.cc.
#ifndef KERAS_SPARSE_RNN_CORE_POOL_THREAD_H_
#define KERAS_SPARSE_RNN_CORE_POOL_THREAD_H_

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "pool.h"

namespace ksr {

// Processors that the threads of a team have already, of those that the caller may use.
class Processors {
 public:
#if defined(__linux__)
  Processors() {
    CPU_ZERO(&taken_);
    add(sched_getcpu());
  }
  bool has(int processor) const { return CPU_ISSET(processor, &taken_); }
  void add(int processor) {
    if (processor >= 0 && processor < CPU_SETSIZE) CPU_SET(processor, &taken_);
  }
  // One that nobody has; -1 if there is none.
  int free_one() {
    if (!known_) known_ = sched_getaffinity(0, sizeof allowed_, &allowed_) == 0 ? 1 : -1;
    for (int i = 0; known_ > 0 && i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &allowed_) && !has(i)) return i;
    return -1;
  }

 private:
  cpu_set_t taken_, allowed_;
  int known_ = 0;
#endif
};

// A thread of the pool, asleep until it is given a place in a team.
class PoolThread {
 public:
  void start() {
    std::thread thread(&PoolThread::serve, this);
    handle_ = thread.native_handle();
    thread.detach();
  }

  void wake(Team* team, int id) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      team_ = team;
      id_ = id;
    }
    wake_.notify_one();
  }

  // Sees to it that it wakes on a processor that is not among `taken`, and adds that. The scheduler
  // wakes a thread where it slept; if the caller runs there by now, and the other processors were
  // busy a moment ago, the two share one for milliseconds. Before `wake`, while it sleeps.
  void keep_off(Processors* taken) {
#if defined(__linux__)
    const int last = last_.load(std::memory_order_relaxed);
    if (last >= 0 && !taken->has(last)) return taken->add(last);
    const int other = taken->free_one();
    if (other < 0) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(other, &one);
    pthread_setaffinity_np(handle_, sizeof one, &one);
    last_.store(other, std::memory_order_relaxed);
    taken->add(other);
#else
    (void)taken;
#endif
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return team_ != nullptr; });
      Team* team = std::exchange(team_, nullptr);
      const int id = id_;
      lock.unlock();
      team->work(id);  // after which the team may be gone
      lock.lock();
    }
  }

  std::thread::native_handle_type handle_;
  std::atomic<int> last_{-1};  // the processor that it is kept on
  std::mutex mutex_;
  std::condition_variable wake_;
  Team* team_ = nullptr;
  int id_ = 0;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_POOL_THREAD_H_
