// What a step does: the input's product, the recurrent one, and the cell's functions.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_STEPPER_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_STEPPER_H_

#include <cstring>

#include "cells.h"
#include "dispatch.h"
#include "needs.h"

namespace ksr {
namespace prepared {

template <typename T>
T* at(State* state, int64_t place) {
  return reinterpret_cast<T*>(reinterpret_cast<char*>(state) + place);
}

template <typename T>
const T* at(const Cell* cell, int64_t place) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(cell) + place);
}

// Adds the product of one step, or of as many as the kernels take together, `count` in all, to the
// sums of each. `factors`: what an integer of each step is worth.
inline void multiply(const Cell& cell, const Kernels& kernels, const Product& product,
                     const void* const* in, const float* factors, float* const* sums, int count) {
  Multiply m = {at<Strip>(&cell, product.table),
                product.strips,
                at<int32_t>(&cell, product.numbers),
                at<char>(&cell, product.values),
                at<float>(&cell, product.scales),
                at<int32_t>(&cell, product.starts),
                {},
                factors,
                {}};
  for (int t = 0; t < count; ++t) m.in[t] = in[t], m.out[t] = sums[t];
  kernels.multiply[product.arithmetic][product.tile][count > 1](&m);
}

// The same, for steps at equal distances: in bytes of `in`, and in floats of `sums`.
inline void multiply(const Cell& cell, const Kernels& kernels, const Product& product,
                     const void* in, int64_t in_stride, const float* factors, float* sums,
                     int64_t sum_stride, int count) {
  const void* ins[kMostTogether];
  float* outs[kMostTogether];
  for (int t = 0; t < count; ++t) {
    ins[t] = static_cast<const char*>(in) + t * in_stride;
    outs[t] = sums + t * sum_stride;
  }
  multiply(cell, kernels, product, ins, factors, outs, count);
}

// A cell and the state that it works on.
class Stepper {
 public:
  Stepper(const Cell* cell, State* state)
      : cell_(*cell),
        places_(cell->state),
        kernels_(*kernels_of(cell->processor)),
        state_(state) {}

  // How many steps share each weight; 1 if none do.
  int together() const { return kSeveralStepsNeeded ? kernels_.steps_together : 1; }

  // x [steps, inputs] and y [steps, units], from row to row of y `y_stride` floats. The input's
  // products of a few steps are made together.
  void run(const float* x, int64_t steps, float* y, int64_t y_stride) const {
    while (steps > 0) {
      const int count = steps < together() ? 1 : together();
      const void* in[kMostTogether];
      float* all[kMostTogether];
      float factors[kMostTogether] = {};
      for (int t = 0; t < count; ++t) {
        in[t] = inputs(t), all[t] = sums(t);
        factors[t] = take(x + t * int64_t{cell_.inputs}, t);
      }
      multiply(cell_, kernels_, cell_.kernel, in, factors, all, count);
      for (int t = 0; t < count; ++t) {
        const float* result = cell_.kind == KSR_DENSE ? activate(all[t]) : recur(&all[t]);
        std::memcpy(y, result, cell_.units * sizeof(float));
        y += y_stride;
      }
      x += count * int64_t{cell_.inputs};
      steps -= count;
    }
  }

  // A step of each of `together` states of one cell: x[i] [inputs] and y[i] [units]. Results are
  // those of `run` to the bit.
  static void step(const Stepper* all, const float* const* x, float* const* y) {
    const int count = all->together();
    const Cell& cell = all->cell_;
    const void* in[kMostTogether];
    float* sums[kMostTogether];
    float factors[kMostTogether] = {};
    for (int i = 0; i < count; ++i) {
      in[i] = all[i].inputs(0), sums[i] = all[i].sums(0);
      factors[i] = all[i].take(x[i], 0);
    }
    prepared::multiply(cell, all->kernels_, cell.kernel, in, factors, sums, count);
    if (cell.kind != KSR_DENSE) recur(all, sums, count);
    for (int i = 0; i < count; ++i) {
      const float* result = cell.kind == KSR_DENSE ? all[i].activate(sums[i])
                                                   : at<float>(all[i].state_, cell.state.h);
      std::memcpy(y[i], result, cell.units * sizeof(float));
    }
  }

  // Zeros behind the inputs, which products may read. A Dense cell asks no more of its state.
  void clear_padding() const {
    const int64_t used = cell_.inputs * (cell_.integers ? 1 : int64_t{sizeof(float)});
    for (int t = 0; t < kernels_.steps_together; ++t)
      std::memset(inputs(t) + used, 0, places_.x_stride - used);
  }

  // The state as integers, where it is needed as such; after h was written from without.
  void round_state() const {
    if (cell_.integers && kCells[cell_.kind].states) h_factor();
  }

 private:
  // Of step `t` of those that are multiplied together.
  char* inputs(int t) const {
    return at<char>(state_, cell_.integers ? places_.x_bytes : places_.x) + t * places_.x_stride;
  }
  float* sums(int t) const { return at<float>(state_, places_.sums) + t * places_.sum_stride; }

  // Takes the input of a step, and begins its sums with the bias. Returns what an integer is worth.
  float take(const float* x, int t) const {
    std::memcpy(sums(t), at<float>(&cell_, cell_.bias), places_.sum_stride * sizeof(float));
    if (cell_.integers)
      return kernels_.quantize(x, cell_.inputs, cell_.input_range,
                               reinterpret_cast<uint8_t*>(inputs(t)));
    std::memcpy(inputs(t), x, cell_.inputs * sizeof(float));
    return 0.0f;
  }

  const float* activate(float* sums) const {
    const Activate a = {sums, cell_.padded_units, cell_.units};
    kernels_.activate[cell_.activation][cell_.integers](&a);
    return sums;
  }

  const float* recur(float* const* sums) const {
    recur(this, sums, 1);
    return at<float>(state_, places_.h);
  }

  // A step of `count` states whose sums have the input's product.
  static void recur(const Stepper* all, float* const* sums, int count) {
    constexpr float kUnit = 1.0f / 127.0f;
    const Cell& cell = all->cell_;
    const Kernels& kernels = all->kernels_;
    const bool integers = cell.integers;
    Elements e[kMostTogether];
    const void* in[kMostTogether];
    float factors[kMostTogether] = {};
    for (int i = 0; i < count; ++i) {
      e[i] = all[i].elements(sums[i]);
      in[i] = integers ? e[i].h_bytes : static_cast<void*>(e[i].h);
      factors[i] = integers && !kCells[cell.kind].bounded ? all[i].h_factor() : kUnit;
    }
    prepared::multiply(cell, kernels, cell.recurrent, in, factors, sums, count);
    if (kCells[cell.kind].has_reset()) {
      for (int i = 0; i < count; ++i) {
        kernels.reset[integers](&e[i]);
        all[i].clear_units(e[i].reset);
        in[i] = integers ? e[i].reset_bytes : static_cast<void*>(e[i].reset);
        factors[i] = kUnit;
      }
      prepared::multiply(cell, kernels, cell.candidate, in, factors, sums, count);
    }
    for (int i = 0; i < count; ++i) {
      kernels.elements[cell.kind][integers](&e[i]);
      all[i].clear_units(e[i].h);
    }
  }

  Elements elements(float* sums) const {
    return {sums,
            cell_.padded_units,
            at<float>(state_, places_.h),
            at<float>(state_, places_.c),
            at<float>(state_, places_.reset),
            at<uint8_t>(state_, places_.h_bytes),
            at<uint8_t>(state_, places_.reset_bytes)};
  }

  // Zeros behind the units, which products may read. An infinite input makes NaN of them, for their
  // weights are 0.
  void clear_units(float* units) const {
    std::memset(units + cell_.units, 0, (cell_.padded_units - cell_.units) * sizeof(float));
  }

  float h_factor() const {
    return kernels_.quantize(at<float>(state_, places_.h), cell_.padded_units,
                             kCells[cell_.kind].bounded ? 1.0f : 0.0f,
                             at<uint8_t>(state_, places_.h_bytes));
  }

  const Cell& cell_;
  const StatePlaces& places_;
  const Kernels& kernels_;
  State* const state_;
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_STEPPER_H_
