// A small pool of threads of our own: TensorFlow's C API lends none.
//
// Who asks while another op has the pool runs on its own thread alone, so two ops at once never use more threads than the pool has plus one.
// No result depends on the number of threads: every number is summed by one thread in one order.
#ifndef KERAS_SPARSE_RNN_CORE_POOL_H_
#define KERAS_SPARSE_RNN_CORE_POOL_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace ksr {

constexpr int kMaxThreads = 256;

// The threads that run one piece of work together.
class Team {
 public:
  explicit Team(int size) : size_(size) {}
  int size() const { return size_; }
  // Returns when all threads of the team have called it, each with its own number. What they wrote before is then visible to all.
  void barrier(int id);
  // Nanoseconds that the threads, all together, waited at barriers for one that must have lost its processor.
  int64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  // How many barriers a thread has reached. Each has a line of the cache of its own: one that all wrote would travel to and fro.
  struct alignas(64) Reached {
    std::atomic<unsigned> count{0};
  };
  bool all_reached(unsigned count) const;

  const int size_;
  std::atomic<bool> stalled_{false};
  std::atomic<int64_t> lost_{0};
  Reached reached_[kMaxThreads];
};

// The part [begin, end) of `count` equal pieces that thread `id` of `size` takes.
std::pair<int64_t, int64_t> share(int64_t count, int id, int size);

// How many threads the pool uses: KERAS_SPARSE_RNN_THREADS, else as many cores as the process may use.
int num_threads();
void set_num_threads(int threads);  // 0: back to the default

// Calls `work(argument, id, team)` on each thread of a team of at most `threads`, the caller being number 0; returns when all are done.
// `meets`: the threads meet often, as at every step of a sequence. Where processors are shared with other programs, that costs whole time slices;
// when it was seen to, such work runs on one thread for a while.
void run_team(int threads, bool meets, void (*work)(void*, int id, Team&), void* argument);

template <typename Work>
void parallel(int threads, bool meets, Work work) {
  run_team(threads, meets, [](void* argument, int id, Team& team) { (*static_cast<Work*>(argument))(id, team); }, &work);
}

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_POOL_H_
