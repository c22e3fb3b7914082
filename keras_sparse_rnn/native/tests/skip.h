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
  alignas(KSR_ALIGNMENT) char cell_memory[4096], state_memory[4096];
  const ksr_cell* cell;
  ksr_state* state;
  ksr_error error;
  if (ksr_cell_prepare(&d, cell_memory, sizeof cell_memory, &cell, &error) == KSR_OK &&
      ksr_state_init(cell, state_memory, sizeof state_memory, nullptr, nullptr, &state) == KSR_OK)
    return false;
  std::printf("skipped: this machine lacks %s\n", d.processor);
  return true;
}

#endif  // KERAS_SPARSE_RNN_TESTS_SKIP_H_
