// The work memory that is kept between calls, as it is in production: the other tests keep none, so
// that the sanitizers see the end of each block. CMakeLists.txt compiles its source for this test.
#include "../core/scratch.h"

#include <atomic>
#include <thread>

#include "../core/pool.h"
#include "problems.h"
#include "skip.h"

namespace {

constexpr int kThreads = 4;

void test_one_thread() {
  const float* before;
  {
    ksr::Scratch first(5000);
    before = first.take(100);
    expect(reinterpret_cast<uintptr_t>(before) % 64 == 0, "alignment", 0, 0);
    expect(first.take(4) == before + 112, "the place of the second piece", 0, 0);
  }
  for (int i = 0; i < 3; ++i) {
    ksr::Scratch again(5000 - i), beside(5000);
    const float *one = again.take(10), *other = beside.take(10);
    if (i == 0) expect(one == before, "whether the block that was given back comes again", 0, 0);
    expect(other < one || other >= one + 5000, "whether two have the same block", 0, 0);
  }
}

// Pieces of all sizes, more at once than there are kept blocks; each is its owner's alone.
void take_and_give(int id) {
  std::mt19937 numbers(id);
  for (int i = 0; i < 1500; ++i) {
    const bool huge = i % 500 == 0;  // more than is kept
    const int64_t small = 16 * (1 + numbers() % 10), large = 16 * (1 + numbers() % 6000);
    const int64_t sizes[] = {small, huge ? 20000000 : large};
    ksr::Scratch first(sizes[0]), second(sizes[1]);
    float* pieces[] = {first.take(sizes[0]), second.take(sizes[1])};
    const float tag = static_cast<float>(id * 10000 + i);
    for (int p = 0; p < 2; ++p)
      for (int64_t k = 0; k < sizes[p]; k += huge ? 99999 : 1) pieces[p][k] = tag;
    for (int p = 0; p < 2; ++p)
      for (int64_t k = 0; k < sizes[p]; k += huge ? 99999 : 1)
        if (pieces[p][k] != tag) return expect(false, "what was written", pieces[p][k], tag);
  }
}

void run_in_threads(void (*act)(int)) {
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id) threads.emplace_back(act, id);
  for (std::thread& thread : threads) thread.join();
}

// Problems of several sizes at once, which fetch one another's blocks.
std::vector<Case> cases;
std::vector<std::vector<Floats>> wanted;
void run_case(int id) {
  for (int i = 0; i < 6; ++i) {
    cases[id].run(id % 2);
    expect(same_bits(cases[id].results(), wanted[id]), "results beside other calls", id, i);
  }
}

void test_calls() {
  ksr::set_num_threads(3);
  cases.reserve(kThreads);
  for (const int64_t batch : {2, 16, 33, 65}) {
    cases.emplace_back(ksr::Cell::kLstm, batch, 5, 60, 100, kShapes[2], kShapes[3], 0.9, true, true,
                       false);
    cases.back().run(wanted.size() % 2);
    wanted.push_back(cases.back().results());
  }
  run_in_threads(run_case);
}

}  // namespace

int main() {
  if (cpu_is_missing()) return kSkipped;
  test_one_thread();
  run_in_threads(take_and_give);
  test_calls();
  return failures != 0;
}
