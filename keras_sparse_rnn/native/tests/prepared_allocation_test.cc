// Stepping, reading a file and opening a cell allocate nothing: the linker hands every call of malloc
// and its kin in the library to the counters below.
#include <atomic>

#include "saved.h"

namespace {
std::atomic<int> allocations{0};
}

extern "C" {
void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void* __real_realloc(void* p, size_t size);
void* __wrap_malloc(size_t size) {
  ++allocations;
  return __real_malloc(size);
}
void* __wrap_calloc(size_t count, size_t size) {
  ++allocations;
  return __real_calloc(count, size);
}
void* __wrap_realloc(void* p, size_t size) {
  ++allocations;
  return __real_realloc(p, size);
}
}

int main() {
  if (processor_is_missing()) return kSkipped;
  const int shape[] = {4, 8};
  for (const ksr::Cell cell : kRecurrentCells) {
    for (const int32_t activations : {KSR_FLOAT32, KSR_INT8}) {
      about = "cell " + std::to_string(static_cast<int>(cell)) + " activations " +
              std::to_string(activations);
      Described d(cell, 8, 50, 60, shape, shape, 0.3, true, KSR_FLOAT32);
      d.description.activations = activations;
      const int before = allocations;
      Stream stream(d.description);
      expect(allocations > before, "the counter counts", allocations, before + 1);
      Floats y(8 * 60);
      const Saved file = file_of(d.description);
      const int prepared = allocations;
      ksr_description read;
      const ksr_cell* opened;
      expect_status(ksr_file_read(file.data(), file.size(), &read, nullptr), KSR_OK);
      expect_status(ksr_cell_open(stream.cell(), stream.facts().size, &opened, nullptr), KSR_OK);
      stream.start();
      for (int i = 0; i < 3; ++i)
        expect_status(ksr_step(stream.cell(), stream.state(), d.one.x.data(), y.data()), KSR_OK);
      expect_status(ksr_run(stream.cell(), stream.state(), d.one.x.data(), 8, y.data()), KSR_OK);
      expect_status(ksr_state_read(stream.cell(), stream.state(), y.data(), nullptr), KSR_OK);
      expect(allocations == prepared, "allocations", allocations, prepared);
    }
  }
  return failures != 0;
}
