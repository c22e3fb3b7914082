// A small pool of threads of our own: TensorFlow's C API lends none.
//
// A call runs on its caller's own thread, and on as many of the pool's as it asks for and others have
// left: the pool has one fewer than `num_threads`. After calls have run side by side, as the two
// directions of a Bidirectional do, each leaves half of the threads to others for a while. No result
// depends on the number of threads: every number is summed by one thread in one order.
#ifndef KERAS_SPARSE_RNN_CORE_POOL_H_
#define KERAS_SPARSE_RNN_CORE_POOL_H_

#include <atomic>
#include <cstdint>
#include <exception>
#include <utility>

namespace ksr {

constexpr int kMaxThreads = 256;

class PoolThread;

// The threads that run one piece of work together.
class Team {
 public:
  typedef void (*Work)(void* argument, int id, Team& team);

  Team(int size, Work work, void* argument);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }
  // Returns when all threads of the team have called it, each with its own number. What they wrote
  // before is then visible to all. Where one of them has thrown it throws, too, so that all end.
  void barrier(int id) { barrier(id, 0, size_); }
  // The same for the threads [first, first + count), of whom `id` is one. Before threads meet that are not all of one such group, each must have
  // called `barrier` as often as the others.
  void barrier(int id, int first, int count);

  // For the pool: who has which number, but for 0, the caller's own; what thread `id` does; what
  // the caller does, until all have ended: then it throws what one of them has thrown.
  void set_thread(int id, PoolThread* thread) { threads_[id] = thread; }
  void work(int id);
  void finish();
  // Nanoseconds that the threads, all together, waited at barriers for one that must have lost its
  // processor.
  int64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  void meet(int id, int first, int size);
  template <typename Ready>
  void wait(Ready ready);
  bool reached(int id, unsigned count) const;

  // How many barriers a thread has reached. Each has a line of the cache of its own: one that all
  // wrote would travel to and fro.
  struct alignas(64) Reached {
    std::atomic<unsigned> count;
  };

  const int size_;
  std::atomic<int> missing_, running_;  // who has not begun, and not ended
  const Work work_;
  void* const argument_;
  std::atomic<bool> stalled_{false}, failed_{false};
  std::atomic_flag told_ = ATOMIC_FLAG_INIT;  // by the first that failed
  std::exception_ptr failure_;
  std::atomic<int64_t> lost_{0};
  Reached reached_[kMaxThreads];
  PoolThread* threads_[kMaxThreads];
};

// The part [begin, end) of `count` equal pieces that thread `id` of `size` takes.
std::pair<int64_t, int64_t> share(int64_t count, int id, int size);

// How many threads the pool uses: KERAS_SPARSE_RNN_THREADS, else `usable_cores`.
int num_threads();
void set_num_threads(int threads);  // 0: back to the default

// Calls `work(argument, id, team)` on each thread of a team of at most `threads`, the caller being
// number 0, each in FloatMode; returns when all are done. `meets`: the threads meet often, as at every step of a
// sequence. Where processors are shared with other programs, that costs whole time slices; when it
// was seen to, such work runs on one thread for a while.
void run_team(int threads, bool meets, Team::Work work, void* argument);

template <typename Work>
void parallel(int threads, bool meets, Work work) {
  run_team(
      threads, meets,
      [](void* argument, int id, Team& team) { (*static_cast<Work*>(argument))(id, team); }, &work);
}

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_POOL_H_
