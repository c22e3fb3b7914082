// What it costs that threads meet: many_cores.py builds this with the library's own pool.
//   barrier THREADS SECONDS
// prints one JSON object, in nanoseconds: `barrier`, a list of [threads, one barrier of a team]
// from 2 threads on, medians over many runs; and `round_trip`, a line of memory from one processor
// to another and back.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../keras_sparse_rnn/native/core/pool.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Nanoseconds of a barrier in each of many short runs.
double barrier(int threads, double seconds) {
  constexpr int kBarriers = 1000;
  std::vector<double> found;
  const Clock::time_point begin = Clock::now();
  while (found.size() < 5 || seconds_since(begin) < seconds) {
    double elapsed = 0;
    ksr::parallel(threads, true, [&](int id, ksr::Team& team) {
      for (int i = 0; i < 100; ++i) team.barrier(id);
      const Clock::time_point start = Clock::now();
      for (int i = 0; i < kBarriers; ++i) team.barrier(id);
      if (id == 0) elapsed = team.size() == threads ? seconds_since(start) : 0;
    });
    if (elapsed > 0) found.push_back(1e9 * elapsed / kBarriers);
    if (found.empty() && seconds_since(begin) > 10 * seconds + 1) return 0;  // never so many
  }
  return median(found);
}

double round_trip(double seconds) {
  constexpr int kTrips = 1000;
  alignas(64) static std::atomic<int> ball{0};
  std::atomic<bool> stop{false};
  std::thread other([&] {
    for (int wanted = 1; !stop.load(std::memory_order_relaxed);)
      if (ball.load(std::memory_order_acquire) == wanted) {
        ball.store(wanted + 1, std::memory_order_release);
        wanted += 2;
      }
  });
  std::vector<double> found;
  int at = 0;
  const Clock::time_point begin = Clock::now();
  while (found.size() < 5 || seconds_since(begin) < seconds) {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < kTrips; ++i) {
      ball.store(at + 1, std::memory_order_release);
      while (ball.load(std::memory_order_acquire) != at + 2) {
      }
      at += 2;
    }
    found.push_back(1e9 * seconds_since(start) / kTrips);
  }
  stop.store(true);
  other.join();
  return median(found);
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::atoi(arguments[1]) : 2;
  const double seconds = count > 2 ? std::atof(arguments[2]) : 1.0;
  ksr::set_num_threads(threads);
  std::printf("{\"barrier\": [");
  const char* comma = "";
  for (int n = 2; n <= threads; n = n < 4 ? n + 1 : std::min(2 * n, threads > n ? threads : n + 1)) {
    std::printf("%s[%d, %.1f]", comma, n, barrier(n, seconds));
    comma = ", ";
    if (n == threads) break;
  }
  std::printf("], \"round_trip\": %.1f}\n", threads > 1 ? round_trip(seconds) : 0.0);
}
