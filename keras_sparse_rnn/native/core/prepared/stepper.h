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

// Adds the product of one step, or with `together` of as many as the kernels take together, to
// `sums`. `in`: floats or bytes; strides from step to step, in bytes and in floats; `factors`: what
// an integer of each step is worth.
inline void multiply(const Cell& cell, const Kernels& kernels, const Product& product,
                     const void* in, int64_t in_stride, const float* factors, float* sums,
                     int64_t sum_stride, bool together) {
  const Multiply m = {at<Strip>(&cell, product.table),
                      product.strips,
                      at<int32_t>(&cell, product.numbers),
                      at<char>(&cell, product.values),
                      at<float>(&cell, product.scales),
                      at<int32_t>(&cell, product.starts),
                      in,
                      in_stride,
                      factors,
                      sums,
                      sum_stride};
  kernels.multiply[product.arithmetic][product.tile][together](&m);
}

// A cell and the state that it works on.
class Stepper {
 public:
  Stepper(const Cell* cell, State* state)
      : cell_(*cell),
        places_(cell->state),
        kernels_(*kernels_of(cell->processor)),
        state_(state) {}

  // x [steps, inputs] and y [steps, units], from row to row of y `y_stride` floats. The input's
  // products of a few steps are made together.
  void run(const float* x, int64_t steps, float* y, int64_t y_stride) const {
    const int together = kSeveralStepsNeeded ? kernels_.steps_together : 1;
    while (steps > 0) {
      const int count = steps < together ? 1 : together;
      project(x, count);
      for (int t = 0; t < count; ++t) {
        float* sums = at<float>(state_, places_.sums) + t * places_.sum_stride;
        const float* result = cell_.kind == KSR_DENSE ? activate(sums) : recur(sums);
        std::memcpy(y, result, cell_.units * sizeof(float));
        y += y_stride;
      }
      x += count * int64_t{cell_.inputs};
      steps -= count;
    }
  }

  // Zeros behind the inputs, which products may read. A Dense cell asks no more of its state.
  void clear_padding() const {
    const int64_t used = cell_.inputs * (cell_.integers ? 1 : int64_t{sizeof(float)});
    for (int t = 0; t < kernels_.steps_together; ++t)
      std::memset(inputs() + t * places_.x_stride + used, 0, places_.x_stride - used);
  }

  // The state as integers, where it is needed as such; after h was written from without.
  void round_state() const {
    if (cell_.integers && kCells[cell_.kind].states) h_factor();
  }

 private:
  char* inputs() const {
    return at<char>(state_, cell_.integers ? places_.x_bytes : places_.x);
  }

  // The sums of `count` steps: bias and the input's product.
  void project(const float* x, int count) const {
    char* in = inputs();
    float* sums = at<float>(state_, places_.sums);
    float factors[kMostTogether] = {};
    for (int t = 0; t < count; ++t, x += cell_.inputs) {
      char* to = in + t * places_.x_stride;
      if (cell_.integers) {
        uint8_t* bytes = reinterpret_cast<uint8_t*>(to);
        factors[t] = kernels_.quantize(x, cell_.inputs, cell_.input_range, bytes);
      } else {
        std::memcpy(to, x, cell_.inputs * sizeof(float));
      }
      std::memcpy(sums + t * places_.sum_stride, at<float>(&cell_, cell_.bias),
                  places_.sum_stride * sizeof(float));
    }
    multiply(cell_.kernel, in, factors, sums, count);
  }

  const float* activate(float* sums) const {
    const Activate a = {sums, cell_.padded_units, cell_.units};
    kernels_.activate[cell_.activation][cell_.integers](&a);
    return sums;
  }

  const float* recur(float* sums) const {
    const Elements e = {sums,
                        cell_.padded_units,
                        at<float>(state_, places_.h),
                        at<float>(state_, places_.c),
                        at<float>(state_, places_.reset),
                        at<uint8_t>(state_, places_.h_bytes),
                        at<uint8_t>(state_, places_.reset_bytes)};
    constexpr float kUnit = 1.0f / 127.0f;
    const bool integers = cell_.integers;
    const float factor = integers && !kCells[cell_.kind].bounded ? h_factor() : kUnit;
    multiply(cell_.recurrent, integers ? e.h_bytes : static_cast<void*>(e.h), &factor, sums, 1);
    if (kCells[cell_.kind].has_reset()) {
      kernels_.reset[integers](&e);
      multiply(cell_.candidate, integers ? e.reset_bytes : static_cast<void*>(e.reset), &kUnit,
               sums, 1);
    }
    kernels_.elements[cell_.kind][integers](&e);
    return e.h;
  }

  float h_factor() const {
    return kernels_.quantize(at<float>(state_, places_.h), cell_.padded_units,
                             kCells[cell_.kind].bounded ? 1.0f : 0.0f,
                             at<uint8_t>(state_, places_.h_bytes));
  }

  void multiply(const Product& product, const void* in, const float* factors, float* sums,
                int count) const {
    prepared::multiply(cell_, kernels_, product, in, places_.x_stride, factors, sums,
                       places_.sum_stride, count > 1);
  }

  const Cell& cell_;
  const StatePlaces& places_;
  const Kernels& kernels_;
  State* const state_;
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_STEPPER_H_
