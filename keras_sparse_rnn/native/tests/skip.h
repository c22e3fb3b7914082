// A test of an instruction set that the machine lacks is skipped in words: the core would take another one, and the test would say nothing.
#ifndef KERAS_SPARSE_RNN_TESTS_SKIP_H_
#define KERAS_SPARSE_RNN_TESTS_SKIP_H_

#include <cstdio>
#include <cstdlib>

#include "../core/cpu.h"
#include "../core/ksr.h"

constexpr int kSkipped = 77;  // SKIP_RETURN_CODE in CMakeLists.txt

// Whether the machine lacks the instruction set that KERAS_SPARSE_RNN_CPU names.
inline bool cpu_is_missing() {
  const char* name = std::getenv("KERAS_SPARSE_RNN_CPU");
  if (ksr::choose_cpu(name)) return false;
  std::printf("skipped: %s is not on this machine\n", name);
  return true;
}

// The same for the instruction sets of prepared cells.
inline bool processor_is_missing() {
  const float bias = 0.0f;
  ksr_description d = {};
  d.version = KSR_VERSION;
  d.cell = KSR_DENSE;
  d.kernel = {KSR_FLOAT32, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr};
  d.bias = &bias;
  d.processor = std::getenv("KERAS_SPARSE_RNN_CPU");
  size_t size;
  ksr_error error;
  if (ksr_cell_size(&d, &size, &error) != KSR_NO_PROCESSOR) return false;
  std::printf("skipped: %s\n", error.text);
  return true;
}

#endif  // KERAS_SPARSE_RNN_TESTS_SKIP_H_
