// States and steps: nothing here allocates, locks or checks more than whose memory it is.
#include <cstring>

#include "../float_mode.h"
#include "cells.h"
#include "prepare.h"
#include "stepper.h"

namespace ksr {
namespace prepared {
namespace {

const Cell* cell_of(const ksr_cell* handle) {
  const Cell* cell = reinterpret_cast<const Cell*>(handle);
  return cell && cell->magic == kCellMagic ? cell : nullptr;
}

// Whether this library has what the cell runs; one that was built for a model may not.
bool has_kernels(const Cell& cell, const Kernels& kernels) {
  const Product* const products[] = {&cell.kernel, &cell.recurrent, &cell.candidate};
  for (const Product* p : products)
    if (p->strips && !kernels.multiply[p->arithmetic][p->tile][0]) return false;
  return cell.kind == KSR_DENSE ? kernels.activate[cell.activation][cell.integers] != nullptr
                                : kernels.elements[cell.kind][cell.integers] != nullptr;
}

ksr_status check_stream(const Cell* cell, const ksr_state* handle) {
  const State* state = reinterpret_cast<const State*>(handle);
  if (!cell) return KSR_BAD_CELL;
  return state && state->magic == kStateMagic && state->tag == cell->tag ? KSR_OK : KSR_BAD_STATE;
}

void put_in(const Cell* cell, State* state, const float* h, const float* c) {
  const int64_t bytes = cell->units * int64_t{sizeof(float)};
  if (h) std::memcpy(at<float>(state, cell->state.h), h, bytes);
  if (c) std::memcpy(at<float>(state, cell->state.c), c, bytes);
  const FloatMode mode;
  Stepper(cell, state).round_state();
}

}  // namespace
}  // namespace prepared
}  // namespace ksr

using namespace ksr::prepared;

extern "C" {

size_t ksr_state_size(const ksr_cell* handle) noexcept {
  const Cell* cell = cell_of(handle);
  return cell ? static_cast<size_t>(cell->state.size) : 0;
}

ksr_status ksr_state_init(const ksr_cell* handle, void* memory, size_t size, const float* h,
                          const float* c, ksr_state** out) noexcept {
  const Cell* cell = cell_of(handle);
  if (!cell) return KSR_BAD_CELL;
  if (!memory || !out) return KSR_NULL;
  *out = nullptr;
  if (reinterpret_cast<uintptr_t>(memory) % KSR_ALIGNMENT ||
      size < static_cast<size_t>(cell->state.size))
    return KSR_BAD_MEMORY;
  if (!has_processor(cell->processor)) return KSR_NO_PROCESSOR;
  if (!has_kernels(*cell, *kernels_of(cell->processor))) return KSR_NO_KERNEL;
  const int states = kCells[cell->kind].states;
  if ((h && states < 1) || (c && states < 2)) return KSR_BAD_CHOICE;
  std::memset(memory, 0, cell->state.size);
  State* state = static_cast<State*>(memory);
  *state = {kStateMagic, cell->tag};
  put_in(cell, state, h, c);
  *out = static_cast<ksr_state*>(memory);
  return KSR_OK;
}

ksr_status ksr_state_read(const ksr_cell* handle, const ksr_state* state, float* h,
                          float* c) noexcept {
  const Cell* cell = cell_of(handle);
  const ksr_status status = check_stream(cell, state);
  if (status != KSR_OK) return status;
  const int states = kCells[cell->kind].states;
  const int64_t bytes = cell->units * int64_t{sizeof(float)};
  const char* memory = reinterpret_cast<const char*>(state);
  if (h && states >= 1) std::memcpy(h, memory + cell->state.h, bytes);
  if (c && states == 2) std::memcpy(c, memory + cell->state.c, bytes);
  return KSR_OK;
}

ksr_status ksr_state_write(const ksr_cell* handle, ksr_state* state, const float* h,
                           const float* c) noexcept {
  const Cell* cell = cell_of(handle);
  const ksr_status status = check_stream(cell, state);
  if (status != KSR_OK) return status;
  const int states = kCells[cell->kind].states;
  if ((h && states < 1) || (c && states < 2)) return KSR_BAD_CHOICE;
  put_in(cell, reinterpret_cast<State*>(state), h, c);
  return KSR_OK;
}

ksr_status ksr_step(const ksr_cell* handle, ksr_state* state, const float* x, float* y) noexcept {
  return ksr_run(handle, state, x, 1, y);
}

ksr_status ksr_run(const ksr_cell* handle, ksr_state* state, const float* x, int64_t steps,
                   float* y) noexcept {
  const Cell* cell = cell_of(handle);
  const ksr_status status = check_stream(cell, state);
  if (status != KSR_OK) return status;
  if (steps < 0) return KSR_BAD_SIZE;
  if (steps && (!x || !y)) return KSR_NULL;
  const ksr::FloatMode mode;
  Stepper(cell, reinterpret_cast<State*>(state)).run(x, steps, y, cell->units);
  return KSR_OK;
}

}  // extern "C"
