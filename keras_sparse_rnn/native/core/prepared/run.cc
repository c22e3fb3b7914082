// States and steps: nothing here allocates, locks or checks more than whose memory it is.
#include <algorithm>
#include <cstring>

#include "cells.h"
#include "dispatch.h"
#include "float_mode.h"
#include "prepare.h"

namespace ksr {
namespace prepared {
namespace {

const Cell* cell_of(const ksr_cell* handle) {
  const Cell* cell = reinterpret_cast<const Cell*>(handle);
  return cell && cell->magic == kCellMagic ? cell : nullptr;
}

template <typename T>
T* at(State* state, int64_t place) {
  return reinterpret_cast<T*>(reinterpret_cast<char*>(state) + place);
}

template <typename T>
const T* at(const Cell* cell, int64_t place) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(cell) + place);
}

// A cell and the state that it works on.
class Stepper {
 public:
  Stepper(const Cell* cell, State* state)
      : cell_(*cell),
        kernels_(*kernels_of(cell->instruction_set)),
        state_(state),
        sums_(at<float>(state, cell->state.sums)) {}

  void step(const float* x, float* y) const {
    std::memcpy(sums_, at<float>(&cell_, cell_.bias),
                cell_.slots * int64_t{cell_.padded_units} * sizeof(float));
    if (cell_.integers) {
      uint8_t* bytes = at<uint8_t>(state_, cell_.state.x_bytes);
      multiply(cell_.kernel, bytes, kernels_.quantize(x, cell_.inputs, cell_.input_range, bytes));
    } else {
      float* copy = at<float>(state_, cell_.state.x);
      std::memcpy(copy, x, cell_.inputs * sizeof(float));
      multiply(cell_.kernel, copy, 1.0f);
    }
    const float* result = cell_.kind == KSR_DENSE ? activate() : recur();
    std::memcpy(y, result, cell_.units * sizeof(float));
  }

  // The state as integers, where it is needed as such; after h was written from without.
  void round_state() const {
    if (cell_.integers && kCells[cell_.kind].states) h_factor();
  }

 private:
  const float* activate() const {
    const Activate a = {sums_, cell_.padded_units, cell_.units};
    kernels_.activate[cell_.activation][cell_.integers](&a);
    return sums_;
  }

  const float* recur() const {
    const StatePlaces& places = cell_.state;
    const Elements e = {sums_,
                        cell_.padded_units,
                        at<float>(state_, places.h),
                        at<float>(state_, places.c),
                        at<float>(state_, places.reset),
                        at<uint8_t>(state_, places.h_bytes),
                        at<uint8_t>(state_, places.reset_bytes)};
    constexpr float kUnit = 1.0f / 127.0f;
    if (!cell_.integers)
      multiply(cell_.recurrent, e.h, 1.0f);
    else
      multiply(cell_.recurrent, e.h_bytes, kCells[cell_.kind].bounded ? kUnit : h_factor());
    if (cell_.kind == KSR_GRU_RESET_BEFORE) {
      kernels_.reset[cell_.integers](&e);
      if (cell_.integers)
        multiply(cell_.candidate, e.reset_bytes, kUnit);
      else
        multiply(cell_.candidate, e.reset, 1.0f);
    }
    kernels_.elements[cell_.kind][cell_.integers](&e);
    return e.h;
  }

  float h_factor() const {
    return kernels_.quantize(at<float>(state_, cell_.state.h), cell_.padded_units,
                             kCells[cell_.kind].bounded ? 1.0f : 0.0f,
                             at<uint8_t>(state_, cell_.state.h_bytes));
  }

  void multiply(const Product& product, const void* in, float factor) const {
    const Multiply m = {at<Strip>(&cell_, product.table),
                        product.strips,
                        at<int32_t>(&cell_, product.numbers),
                        at<char>(&cell_, product.values),
                        at<float>(&cell_, product.scales),
                        at<int32_t>(&cell_, product.starts),
                        in,
                        factor,
                        sums_};
    kernels_.multiply[product.arithmetic][product.tile](&m);
  }

  const Cell& cell_;
  const Kernels& kernels_;
  State* const state_;
  float* const sums_;
};

ksr_status check_stream(const Cell* cell, const ksr_state* handle) {
  const State* state = reinterpret_cast<const State*>(handle);
  if (!cell) return KSR_BAD_CELL;
  return state && state->magic == kStateMagic && state->tag == cell->tag ? KSR_OK : KSR_BAD_STATE;
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
  const int states = kCells[cell->kind].states;
  if ((h && states < 1) || (c && states < 2)) return KSR_BAD_CHOICE;
  std::memset(memory, 0, cell->state.size);
  State* state = static_cast<State*>(memory);
  *state = {kStateMagic, cell->tag};
  const int64_t bytes = cell->units * int64_t{sizeof(float)};
  if (h) std::memcpy(at<float>(state, cell->state.h), h, bytes);
  if (c) std::memcpy(at<float>(state, cell->state.c), c, bytes);
  const FloatMode mode;
  Stepper(cell, state).round_state();
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
  const FloatMode mode;
  const Stepper stepper(cell, reinterpret_cast<State*>(state));
  for (int64_t t = 0; t < steps; ++t)
    stepper.step(x + t * cell->inputs, y + t * int64_t{cell->units});
  return KSR_OK;
}

}  // extern "C"
