// Stepping, reading a file and opening a cell allocate nothing, and where preparing can allocate
// nothing it says so: the linker hands every call of malloc and its kin in the library to the
// functions below.
#include <atomic>

#include "models.h"

namespace {
std::atomic<int> allocations{0}, failing{-1};  // which one gives nothing
bool fails() { return allocations++ == failing; }
}  // namespace

extern "C" {
void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void* __real_realloc(void* p, size_t size);
void* __wrap_malloc(size_t size) {
  return fails() ? nullptr : __real_malloc(size);
}
void* __wrap_calloc(size_t count, size_t size) {
  return fails() ? nullptr : __real_calloc(count, size);
}
void* __wrap_realloc(void* p, size_t size) {
  return fails() ? nullptr : __real_realloc(p, size);
}
}

namespace {

// Calls `act(error)` until it succeeds, each time with the next one of its allocations failing.
template <typename Act>
void run_out_of_memory(Act act) {
  int n = 0;
  for (;; ++n) {
    ksr_error error = {};
    failing = allocations + n;
    const ksr_status status = act(&error);
    const bool failed = failing < allocations;
    failing = -1;
    if (!failed) {
      expect_status(status, KSR_OK, &error);
      break;
    }
    expect_status(status, KSR_NO_MEMORY, &error);
    expect(error.status == KSR_NO_MEMORY, "status of the error", error.status, KSR_NO_MEMORY);
    expect(!std::strcmp(error.text, "no memory to prepare with"), error.text, n, n);
    failing = allocations + n;
    expect_status(act(nullptr), KSR_NO_MEMORY);
    failing = -1;
  }
  expect(n > 0, "allocations that failed", n, 1);
}

void try_to_prepare(const ksr_description& d) {
  size_t size = 0;
  run_out_of_memory([&](ksr_error* error) { return ksr_cell_size(&d, &size, error); });
  const Memory memory = aligned(size);
  const ksr_cell* cell = nullptr;
  run_out_of_memory([&](ksr_error* error) {
    const ksr_status status = ksr_cell_prepare(&d, memory.get(), size, &cell, error);
    expect((cell != nullptr) == (status == KSR_OK), "a cell", cell != nullptr, status == KSR_OK);
    return status;
  });
  const ksr_matrix& m = d.kernel;
  std::vector<int8_t> values(m.live * m.block_rows * m.block_columns);
  Floats scales(m.gates * (m.units + m.block_columns));
  run_out_of_memory(
      [&](ksr_error* error) { return ksr_quantize(&m, values.data(), scales.data(), error); });
}

// Opening and running a model allocates nothing.
void try_a_model() {
  about = "model";
  const int shape[] = {4, 8};
  const Described lstm(ksr::Cell::kLstm, 1, 21, 20, shape, shape, 0.3, true, KSR_FLOAT32),
      gru(ksr::Cell::kGruResetAfter, 1, 21, 20, shape, shape, 0.3, true, KSR_INT8);
  const Saved saved = prepared(every_step(lstm.description, gru.description, KSR_INT8));
  const ModelStream one(saved);
  const Floats tokens(9, 3.0f), x(9 * 3, 0.5f);
  Floats squared(9 * 20), soft(9 * 20);
  const float* inputs[] = {tokens.data(), x.data()};
  float* outputs[5] = {squared.data(), soft.data()};  // the others are left out
  const int before = allocations;
  const ksr_model* model;
  ksr_stream* stream = one.stream;
  expect_status(ksr_model_open(saved.data(), saved.size(), &model, nullptr), KSR_OK);
  expect_status(ksr_stream_reset(model, stream), KSR_OK);
  expect_status(ksr_stream_run(model, stream, inputs, 9, outputs), KSR_OK);
  expect_status(ksr_streams_run(model, &stream, 1, inputs, 1, outputs), KSR_OK);
  expect(allocations == before, "allocations", allocations, before);
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  try_a_model();
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
      try_to_prepare(d.description);
    }
  }
  return failures != 0;
}
