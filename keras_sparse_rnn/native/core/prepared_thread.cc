#include "prepared_thread.h"

#include <algorithm>

namespace ksr {

using prepared::Cell;

PreparedRun::Thread::Thread(const PreparedRun& run, int64_t sample, int64_t count, int id, Team& team, float* memory)
    : run_(run),
      s_(run.sequences_),
      sample_(sample),
      count_(count),
      id_(id),
      team_(team),
      memory_(memory),
      integers_(run.first_.integers),
      all_together_(count == run.kernels_.steps_together && count > 1),
      steps_together_(all_together_ ? 1 : run.kernels_.steps_together) {
  const auto parts = share(run.cell_.parts(), id, team.size());
  const bool reset = run.rule_.has_reset();
  next_ = run.memory_of(memory, id);
  x_ = take<float>(integers_ ? 0 : kRows * run.x_stride_);
  x_bytes_ = take<uint8_t>(integers_ ? kRows * run.x_stride_ : 0);
  h_ = take<float>(rounds_units() ? 0 : count * run.h_stride_);
  h_bytes_ = take<uint8_t>(integers_ ? count * run.h_stride_ : 0);
  reset_ = take<float>(reset && !integers_ ? count * run.h_stride_ : 0);
  reset_bytes_ = take<uint8_t>(reset && integers_ ? count * run.h_stride_ : 0);
  own_ = take<Own>(parts.second - parts.first);
  own_end_ = own_;
  for (int64_t p = parts.first; p < parts.second; ++p) {
    Own& own = *own_end_++;
    own.cell = &run.cell_.part(static_cast<int>(p));
    const int64_t states = count * own.units();
    own.sums = take<float>(count * steps_together_ * own.sum_stride());
    own.h = take<float>(states);
    own.c = take<float>(run.rule_.states == 2 ? states : 0);
    own.reset = take<float>(reset && !integers_ ? states : 0);
    own.h_bytes = take<uint8_t>(integers_ ? states : 0);
    own.reset_bytes = take<uint8_t>(reset && integers_ ? states : 0);
  }
  begin();
}

void PreparedRun::Thread::begin() {
  for_states([&](const Own& own, int64_t at, int64_t from) {
    copy(s_.h0 + from, own.cell->units, own.h + at);
    if (s_.c0) copy(s_.c0 + from, own.cell->units, own.c + at);
  });
  for (int64_t b = 0; b < count_; ++b) {
    started_[b] = false;
    const float* h0 = s_.h0 + (sample_ + b) * units();
    if (!rounds_units()) {
      copy(h0, units(), h_ + b * run_.h_stride_);
      continue;
    }
    uint8_t* bytes = h_bytes_ + b * run_.h_stride_;
    run_.kernels_.quantize(h0, units(), 1.0f, bytes);
    for (const Own* own = own_; own != own_end_; ++own)
      std::memcpy(own->h_bytes + b * own->units(), bytes + own->cell->first_unit,
                  own->cell->units);
  }
  std::fill(factors_, factors_ + kRows, 1.0f / 127.0f);
  round_state();
}

// The whole state as integers.
void PreparedRun::Thread::round_state() {
  if (!integers_ || rounds_units()) return;
  const float range = run_.rule_.bounded ? 1.0f : 0.0f;  // that of all units has to be found first
  for (int64_t b = 0; b < count_; ++b)
    factors_[b] = run_.kernels_.quantize(h_ + b * run_.h_stride_, run_.first_.padded_state, range,
                                         h_bytes_ + b * run_.h_stride_);
}

// The sums of `steps` steps: bias and the input's product.
void PreparedRun::Thread::project(int64_t t, int64_t steps) {
  float factors[kRows];
  if (all_together_) {
    for (int64_t b = 0; b < count_; ++b) factors[b] = input(b, t, b);
    multiply_inputs(0, count_, factors);
    return;
  }
  for (int64_t b = 0; b < count_; ++b) {
    for (int64_t k = 0; k < steps; ++k) factors[k] = input(b, t + k, k);
    multiply_inputs(b, steps, factors);
  }
}

// Writes one input to row `row`; returns what an integer of it is worth.
float PreparedRun::Thread::input(int64_t b, int64_t t, int64_t row) {
  const Cell& cell = run_.first_;
  const float* x = s_.x + ((sample_ + b) * s_.time + s_.source(t)) * cell.inputs;
  const int64_t at = row * run_.x_stride_;
  if (integers_) return run_.kernels_.quantize(x, cell.inputs, cell.input_range, x_bytes_ + at);
  copy(x, cell.inputs, x_ + at);
  return 1.0f;
}

// Of `rows` rows of inputs, to the sums of sample `b` and what follows.
void PreparedRun::Thread::multiply_inputs(int64_t b, int64_t rows, const float* factors) {
  for (const Own* own = own_; own != own_end_; ++own) {
    const Cell& cell = *own->cell;
    const int64_t stride = own->sum_stride();
    float* sums = own->sums + b * steps_together_ * stride;
    for (int64_t row = 0; row < rows; ++row)
      copy(prepared::at<float>(&cell, cell.bias), stride, sums + row * stride);
    const void* in = integers_ ? static_cast<void*>(x_bytes_) : x_;
    prepared::multiply(cell, run_.kernels_, cell.kernel, in, run_.x_stride_ * number_bytes(),
                       factors, sums, stride, static_cast<int>(rows));
  }
}

// Adds the products of the states `in`, of all samples, to their sums of step `k`.
void PreparedRun::Thread::multiply_states(const prepared::Product Cell::* product,
                                          const float* floats,
                     const uint8_t* bytes, int64_t k) {
  const char* in =
      integers_ ? reinterpret_cast<const char*>(bytes) : reinterpret_cast<const char*>(floats);
  const int64_t in_stride = run_.h_stride_ * number_bytes();
  for (const Own* own = own_; own != own_end_; ++own) {
    const int64_t stride = own->sum_stride();
    if (all_together_) {
      prepared::multiply(*own->cell, run_.kernels_, own->cell->*product, in, in_stride, factors_,
                         own->sums, stride, static_cast<int>(count_));
      continue;
    }
    for (int64_t b = 0; b < count_; ++b)
      prepared::multiply(*own->cell, run_.kernels_, own->cell->*product, in + b * in_stride, 0,
                         factors_ + b, own->sums + (b * steps_together_ + k) * stride, 0, 1);
  }
}

}  // namespace ksr
