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

// The threads that run one piece of work together.
class Team {
 public:
  explicit Team(int size) : size_(size) {}
  int size() const { return size_; }
  // Returns when all threads of the team have called it. What they wrote before is then visible to all.
  void barrier();
  // How often a thread waited so long at a barrier that another must have lost its processor.
  int stalls() const { return stalls_.load(std::memory_order_relaxed); }

 private:
  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> round_{0};
  std::atomic<int> stalls_{0};
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
