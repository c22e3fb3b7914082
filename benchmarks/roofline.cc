// What this machine can do at most: how fast memory of a given size can be read again and again, and how many multiply-adds a second there are.
//
//   roofline THREADS SECONDS BYTES...
//
// prints a JSON object. `bandwidth` has, for 1 thread and for THREADS, [bytes, bytes per second]: each thread reads its own share of the bytes, over and over.
// `flops` has [threads, floating-point operations per second] of independent float32 multiply-adds in registers.
//
//   roofline round-trip
//
// prints how many seconds a line of memory takes from one processor to another and back, between the first two that the process may use; null if it has one. It is
// a matter of which caches they share, and on a virtual machine the host may change that at any time.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#if defined(__AVX512F__)
typedef float Vector __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef float Vector __attribute__((vector_size(32)));
#else
typedef float Vector __attribute__((vector_size(16)));
#endif
constexpr int kLanes = sizeof(Vector) / sizeof(float);
constexpr int kChains = 8;  // sums side by side, so that none waits for its last addition

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::atomic<float> sink;

void keep(const Vector* sums) {
  float total = 0;
  for (int i = 0; i < kChains; ++i) total += sums[i][0];
  sink = total;
}

void read(const Vector* from, size_t count) {
  Vector sums[kChains] = {};
  for (size_t i = 0; i + kChains <= count; i += kChains)
    for (int j = 0; j < kChains; ++j) sums[j] += from[i + j];
  keep(sums);
}

void multiply_add(int64_t times) {
  Vector factor = Vector{} + 0.999f, sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = Vector{} + static_cast<float>(i);
  for (int64_t t = 0; t < times; ++t)
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + factor;
  keep(sums);
}

// Calls `work(thread)` on all threads for about `seconds`; returns the calls of all of them per second, from when all have begun to when the first is done.
template <class Work>
double rate(int threads, double seconds, const Work& work) {
  std::atomic<int> waiting{threads};
  std::atomic<bool> stop{false};
  std::vector<double> rates(threads);
  std::vector<std::thread> pool;
  for (int thread = 0; thread < threads; ++thread)
    pool.emplace_back([&, thread] {
      work(thread);  // brings the memory to this core
      --waiting;
      while (waiting > 0) {
      }
      double start = now(), time = 0;
      int64_t calls = 0;
      do {  // once at least: on a busy machine another thread may be done before this one gets a processor
        work(thread);
        ++calls;
        time = now() - start;
        if (time >= seconds) stop = true;
      } while (!stop);
      rates[thread] = calls / time;
    });
  double sum = 0;
  for (int thread = 0; thread < threads; ++thread) {
    pool[thread].join();
    sum += rates[thread];
  }
  return sum;
}

double bandwidth(int threads, double seconds, size_t bytes) {
  size_t count = bytes / threads / sizeof(Vector) / kChains * kChains;
  std::vector<Vector*> shares;
  for (int thread = 0; thread < threads; ++thread) {
    Vector* share = static_cast<Vector*>(std::aligned_alloc(4096, (count * sizeof(Vector) + 4095) / 4096 * 4096));
    for (size_t i = 0; i < count; ++i) share[i] = Vector{} + 1.0f;
    shares.push_back(share);
  }
  double found = rate(threads, seconds, [&](int thread) { read(shares[thread], count); }) * count * sizeof(Vector);
  for (Vector* share : shares) std::free(share);
  return found;
}

#if defined(__linux__)
// The processor that the calling thread runs on from now on: the one of that place among those that the process may use. False if there is none.
bool run_on(int place, const cpu_set_t& usable) {
  for (int processor = 0; processor < CPU_SETSIZE; ++processor)
    if (CPU_ISSET(processor, &usable) && place-- == 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(processor, &one);
      return pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
    }
  return false;
}

// Least of a few, negative if it cannot be told.
double round_trip() {
  constexpr int kTrips = 2000, kTries = 5;
  alignas(128) static std::atomic<int> there{0};
  alignas(128) static std::atomic<int> back{0};
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0 || CPU_COUNT(&usable) < 2 || !run_on(0, usable)) return -1.0;
  std::atomic<bool> placed{false}, failed{false};
  std::thread other([&] {
    failed = !run_on(1, usable);
    placed = true;
    for (int i = 1; i <= kTries * kTrips && !failed; ++i) {
      while (there.load() < i) {
      }
      back.store(i);
    }
  });
  while (!placed) {
  }
  double least = -1.0;
  for (int i = 0; i < kTries && !failed; ++i) {
    double start = now();
    for (int trip = 1; trip <= kTrips; ++trip) {
      there.store(i * kTrips + trip);
      while (back.load() < i * kTrips + trip) {
      }
    }
    double each = (now() - start) / kTrips;
    if (least < 0 || each < least) least = each;
  }
  other.join();
  return least;
}
#else
double round_trip() { return -1.0; }
#endif

int main(int count, char** arguments) {
  if (count == 2 && std::strcmp(arguments[1], "round-trip") == 0) {
    double seconds = round_trip();
    return seconds < 0 ? std::puts("null") < 0 : std::printf("%.4g\n", seconds) < 0;
  }
  if (count < 4) return std::fprintf(stderr, "roofline THREADS SECONDS BYTES...\nroofline round-trip\n"), 2;
  const int threads = std::atoi(arguments[1]);
  const double seconds = std::atof(arguments[2]);
  std::printf("{\"bandwidth\": {");
  for (int n = 1; n <= threads; n = n < threads ? threads : threads + 1) {
    std::printf("%s\"%d\": [", n > 1 ? ", " : "", n);
    for (int i = 3; i < count; ++i) {
      size_t bytes = std::strtoull(arguments[i], nullptr, 10);
      std::printf("%s[%zu, %.4g]", i > 3 ? ", " : "", bytes, bandwidth(n, seconds, bytes));
    }
    std::printf("]");
  }
  std::printf("}, \"flops\": [");
  constexpr int64_t kTimes = 20000;
  for (int n = 1; n <= threads; n = n < threads ? threads : threads + 1)
    std::printf("%s[%d, %.4g]", n > 1 ? ", " : "", n, rate(n, seconds, [](int) { multiply_add(kTimes); }) * kTimes * kChains * kLanes * 2);
  std::printf("]}\n");
}
