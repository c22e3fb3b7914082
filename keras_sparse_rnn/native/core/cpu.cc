#include "cpu.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace ksr {

#if defined(__x86_64__)
namespace avx512 {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const Kernels kKernels;
}
#endif
namespace plain {
extern const Kernels kKernels;
}

namespace {

std::atomic<const Kernels*> chosen{nullptr};
std::atomic<bool> by_name{false};

// The instruction set of this name, or with an empty name the best one, if the processor has it.
const Kernels* find(const char* name) {
  const bool best = !name || !*name;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if ((best || !std::strcmp(name, "avx512")) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    return &avx512::kKernels;
  if ((best || !std::strcmp(name, "avx2")) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2::kKernels;
#elif defined(__aarch64__)
  if (best || !std::strcmp(name, "neon")) return &neon::kKernels;
#endif
  return best || !std::strcmp(name, "plain") ? &plain::kKernels : nullptr;
}

}  // namespace

const Kernels& kernels() {
  const Kernels* table = chosen.load(std::memory_order_acquire);
  if (!table) {
    table = find(std::getenv("KERAS_SPARSE_RNN_CPU"));
    if (!table) table = find(nullptr);
    chosen.store(table, std::memory_order_release);
  }
  return *table;
}

bool choose_cpu(const char* name) {
  const Kernels* table = find(name);
  if (!table) return false;
  chosen.store(table, std::memory_order_release);
  by_name.store(name && *name, std::memory_order_release);
  return true;
}

const char* chosen_cpu() {
  return by_name.load(std::memory_order_acquire) ? kernels().name : nullptr;
}

const ShapeKernels& shape_kernels(const Kernels& kernels, int height, int width) {
  const ShapeKernels* shape = kernels.shapes;
  while (shape->height && (shape->height != height || shape->width != width)) ++shape;
  return *shape;
}

}  // namespace ksr
