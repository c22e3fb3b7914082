// Wherever memory runs out, a call says so by std::bad_alloc, all of its threads end, nothing is
// lost or left in another mode, and the next call is right.
//   memory_test [step]: every so many of a call's allocations fail, one after another; all without.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>

#include "../core/float_mode.h"
#include "../core/pack.h"
#include "../core/pool.h"
#include "problems.h"
#include "skip.h"

namespace {

int step = 1;
std::atomic<int> allocations{0}, failing{-1};  // the first one that gives nothing
std::atomic<bool> for_good{false};             // and whether those behind it do
bool fails() {
  const int number = allocations++, first = failing;
  return first >= 0 && (for_good ? number >= first : number == first);
}

void* allocate(size_t size) {
  void* memory = fails() ? nullptr : std::malloc(size);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Of vectors and the like.
void* operator new(size_t size) { return allocate(size); }
void* operator new[](size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

// Of work memory: the linker hands the core's calls to the function below.
extern "C" {
void* __real_aligned_alloc(size_t alignment, size_t size);
void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  return fails() ? nullptr : __real_aligned_alloc(alignment, size);
}
}

namespace {

// Calls `act` until it succeeds without a failure, each time with the next one of its allocations
// failing.
void run_out_of_memory(const char* name, const std::function<void()>& act,
                       const std::function<std::vector<Floats>()>& results) {
  about = name;
  act();
  const std::vector<Floats> wanted = results();
  const uint64_t settings = ksr::float_settings();
  int refused = 0;
  for (const bool all : {false, true})
    for (int n = 0;; n += step) {
      bool thrown = false;
      for_good = all;
      failing = allocations + n;
      try {
        act();
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      const bool failed = failing < allocations;
      failing = -1;
      expect(failed || !thrown, "a call that threw without a reason", n, 0);
      if (!thrown) expect(same_bits(results(), wanted), "results", n, 0);
      if (!failed) break;
      refused += thrown;
      act();
      expect(same_bits(results(), wanted), "results of the call after that", n, 0);
      expect(ksr::float_settings() == settings, "the caller's settings", n, 0);
    }
  expect(refused > 0, "calls that were refused memory", refused, 1);
}

void try_cell(const char* name, int64_t batch, int64_t time, ksr::Cell cell) {
  Case one(cell, batch, time, 100, 200, kShapes[2], kShapes[3], 0.9, true, true, false);
  Floats reserve(ksr::reserve_size(one.problem));
  const auto results = [&] { return one.results(); };
  const ksr::RecurrentOut out = {one.outputs.data(), one.h.data(), one.c.data(), nullptr};
  ksr::RecurrentOut kept = out;
  kept.reserve = reserve.data();
  const ksr::RecurrentGradients fresh = {nullptr,
                                         one.d_outputs.data(),
                                         one.d_h.data(),
                                         one.d_c.data(),
                                         one.dx.data(),
                                         one.d_h0.data(),
                                         one.d_c0.data(),
                                         one.d_kernel.data(),
                                         one.d_recurrent.data(),
                                         one.d_bias.data()};
  ksr::RecurrentGradients from_reserve = fresh;
  from_reserve.reserve = reserve.data();
  const std::string of = std::string(name) + " of " + std::to_string(batch) + " samples, ";
  run_out_of_memory((of + "forward").c_str(), [&] { ksr::recurrent_forward(one.problem, out); },
                    results);
  run_out_of_memory((of + "forward with a reserve").c_str(),
                    [&] { ksr::recurrent_forward(one.problem, kept); }, results);
  run_out_of_memory((of + "backward from it").c_str(),
                    [&] { ksr::recurrent_backward(one.problem, from_reserve); }, results);
  run_out_of_memory((of + "backward").c_str(),
                    [&] { ksr::recurrent_backward(one.problem, fresh); }, results);
}

void try_product(int64_t rows) {
  Kernel kernel;
  make_kernel(300, 200, 2, kShapes[2], 0.9, &kernel);
  const Floats x = random_floats(rows * 300), dy = random_floats(rows * 400);
  Floats y(rows * 400), dx(rows * 300), d_values(kernel.values.size());
  const auto results = [&] { return std::vector<Floats>{y, dx, d_values}; };
  run_out_of_memory("product",
                    [&] { ksr::matmul_forward(kernel.packed, rows, x.data(), y.data()); }, results);
  run_out_of_memory("product, backward",
                    [&] {
                      ksr::matmul_backward(kernel.packed, rows, 
                                           {x.data(), dy.data(), dx.data(), d_values.data()});
                    },
                    results);
}

void try_packing() {
  const ksr::Grid grid = {800, 800, 1, 16, 16};
  const Floats dense = random_floats(800 * 800);
  Floats values(800 * 800), back(800 * 800);
  std::vector<int32_t> blocks(50 * 50);
  run_out_of_memory("packing",
                    [&] {
                      const ksr::LivePacker packer(grid, dense.data());
                      packer.pack(values.data(), blocks.data());
                      ksr::unpack(grid, values.data(), blocks.data(), packer.live(), back.data());
                    },
                    [&] { return std::vector<Floats>{values, back}; });
}

}  // namespace

int main(int count, char** arguments) {
  if (cpu_is_missing()) return kSkipped;
  if (count > 1) step = std::atoi(arguments[1]);
  for (const int threads : {1, 3}) {
    ksr::set_num_threads(threads);
    try_cell("LSTM", 3, 7, ksr::Cell::kLstm);
    try_cell("GRU", 33, 2, ksr::Cell::kGruResetBefore);
    try_product(3);
    try_product(40);
    try_packing();
  }
  return failures != 0;
}
