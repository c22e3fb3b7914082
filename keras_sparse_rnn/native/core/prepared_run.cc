#include "prepared_run.h"

#include <algorithm>

#include "prepared/float_mode.h"
#include "prepared/stepper.h"
#include "scratch.h"

namespace ksr {
namespace {

using prepared::Cell;
using prepared::Elements;
constexpr int64_t kRows = prepared::kMostTogether;  // that are multiplied together
constexpr int64_t kZeros = 16;      // of zeros behind a row, which products may read

}  // namespace

PreparedRun::PreparedRun(const PreparedCell& cell, const Sequences& sequences, int64_t samples,
                         int threads)
    : cell_(cell),
      sequences_(sequences),
      first_(cell.part(0)),
      rule_(prepared::kCells[first_.kind]),
      kernels_(*prepared::kernels_of(first_.processor)),
      threads_(threads),
      x_stride_(round_up(first_.padded_inputs + kZeros, 16)),
      h_stride_(round_up(first_.padded_state + kZeros, 16)) {
  // What one thread takes if it has all parts.
  int64_t units = 0;
  for (int p = 0; p < cell.parts(); ++p) units += cell.part(p).padded_units;
  own_floats_ = round_up(kRows * 2 * x_stride_ + samples * 4 * h_stride_ +
                             units * samples * (kRows * first_.slots + 5) +
                             (cell.parts() + 1) * (16 * 6 + sizeof(Own) / sizeof(float)),
                         16);
  published_floats_ = 2 * samples * units;
}

// One thread's share of some sequences.
class PreparedRun::Thread {
 public:
  Thread(const PreparedRun& run, int64_t sample, int64_t count, int id, Team& team, float* memory)
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
    const bool reset = run.first_.kind == KSR_GRU_RESET_BEFORE;
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

  void go() {
    for (int64_t t = 0; t < s_.time;) {
      const int64_t steps = s_.time - t < steps_together_ ? 1 : steps_together_;
      project(t, steps);
      for (int64_t k = 0; k < steps; ++k, ++t) step(t, k);
    }
    for_states([&](const Own& own, int64_t at, int64_t from) {
      copy(own.h + at, own.cell->units, s_.h + from);
      if (s_.c) copy(own.c + at, own.cell->units, s_.c + from);
    });
  }

 private:
  int64_t units() const { return run_.first_.state_units; }
  // Of what is multiplied.
  int64_t number_bytes() const { return integers_ ? 1 : sizeof(float); }
  // Whether each unit's state is rounded by itself, for the range of all is known.
  bool rounds_units() const { return integers_ && run_.rule_.bounded; }

  // Zeros: what lies behind the true sizes stays so.
  template <typename T>
  T* take(int64_t count) {
    float* piece = next_;
    next_ += round_up(count * static_cast<int64_t>(sizeof(T)), 64) / sizeof(float);
    if (next_ - run_.memory_of(memory_, id_) > run_.own_floats_) std::abort();  // a defect: the sum is wrong
    zero(piece, next_ - piece);
    return reinterpret_cast<T*>(piece);
  }

  // Calls act(own, place in its states, place in the caller's).
  template <typename Act>
  void for_states(Act act) const {
    for (const Own* own = own_; own != own_end_; ++own)
      for (int64_t b = 0; b < count_; ++b)
        act(*own, b * own->units(), (sample_ + b) * units() + own->cell->first_unit);
  }

  void begin() {
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

  // The whole state as integers, where its range has to be found first.
  void round_state() {
    if (!integers_ || rounds_units()) return;
    for (int64_t b = 0; b < count_; ++b)
      factors_[b] = run_.kernels_.quantize(h_ + b * run_.h_stride_, run_.first_.padded_state, 0.0f,
                                           h_bytes_ + b * run_.h_stride_);
  }

  // The sums of `steps` steps: bias and the input's product.
  void project(int64_t t, int64_t steps) {
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
  float input(int64_t b, int64_t t, int64_t row) {
    const Cell& cell = run_.first_;
    const float* x = s_.x + ((sample_ + b) * s_.time + s_.source(t)) * cell.inputs;
    const int64_t at = row * run_.x_stride_;
    if (integers_) return run_.kernels_.quantize(x, cell.inputs, cell.input_range, x_bytes_ + at);
    copy(x, cell.inputs, x_ + at);
    return 1.0f;
  }

  // Of `rows` rows of inputs, to the sums of sample `b` and what follows.
  void multiply_inputs(int64_t b, int64_t rows, const float* factors) {
    for (const Own* own = own_; own != own_end_; ++own) {
      const Cell& cell = *own->cell;
      const int64_t stride = own->sum_stride();
      float* sums = own->sums + b * steps_together_ * stride;
      for (int64_t row = 0; row < rows; ++row)
        copy(prepared::at<float>(&cell, cell.bias), stride, sums + row * stride);
      const void* in = integers_ ? static_cast<void*>(x_bytes_) : x_;
      prepared::multiply(cell, run_.kernels_, cell.kernel, in, run_.x_stride_ * number_bytes(),
                         factors, sums, stride, rows > 1);
    }
  }

  // Adds the products of the states `in`, of all samples, to their sums of step `k`.
  void multiply_states(const prepared::Product Cell::* product, const float* floats,
                       const uint8_t* bytes, int64_t k) {
    const char* in =
        integers_ ? reinterpret_cast<const char*>(bytes) : reinterpret_cast<const char*>(floats);
    const int64_t in_stride = run_.h_stride_ * number_bytes();
    for (const Own* own = own_; own != own_end_; ++own) {
      const int64_t stride = own->sum_stride();
      if (all_together_) {
        prepared::multiply(*own->cell, run_.kernels_, own->cell->*product, in, in_stride, factors_,
                           own->sums, stride, true);
        continue;
      }
      for (int64_t b = 0; b < count_; ++b)
        prepared::multiply(*own->cell, run_.kernels_, own->cell->*product, in + b * in_stride, 0,
                           factors_ + b, own->sums + (b * steps_together_ + k) * stride, 0, false);
    }
  }

  void step(int64_t t, int64_t k) {
    const int kind = run_.first_.kind;
    bool counted[kRows];
    for (int64_t b = 0; b < count_; ++b) started_[b] |= counted[b] = s_.counts(sample_ + b, t);
    multiply_states(&Cell::recurrent, h_, h_bytes_, k);
    if (kind == KSR_GRU_RESET_BEFORE) {
      for_elements(k, [&](const Own&, int64_t, const Elements& e) {
        run_.kernels_.reset[integers_](&e);
      });
      if (integers_)
        exchange(&Own::reset_bytes, reset_bytes_, 0);
      else
        exchange(&Own::reset, reset_, 0);
      multiply_states(&Cell::candidate, reset_, reset_bytes_, k);
    }
    for_elements(k, [&](const Own& own, int64_t b, const Elements& e) {
      if (counted[b]) run_.kernels_.elements[kind][integers_](&e);
      float* to = s_.outputs + ((sample_ + b) * s_.time + t) * units() + own.cell->first_unit;
      started_[b] ? copy(e.h, own.cell->units, to) : zero(to, own.cell->units);
    });
    if (t + 1 == s_.time) return;
    const int64_t turn = kind == KSR_GRU_RESET_BEFORE ? 1 : t % 2;
    if (rounds_units())
      exchange(&Own::h_bytes, h_bytes_, turn);
    else
      exchange(&Own::h, h_, turn);
    round_state();
  }

  template <typename Act>
  void for_elements(int64_t k, Act act) {
    for (const Own* own = own_; own != own_end_; ++own)
      for (int64_t b = 0; b < count_; ++b) {
        const int64_t at = b * own->units();
        const Elements e = {own->sums + (b * steps_together_ + k) * own->sum_stride(),
                            own->units(),
                            own->h + at,
                            own->c + at,
                            own->reset + at,
                            own->h_bytes + at,
                            own->reset_bytes + at};
        act(*own, b, e);
      }
  }

  // `whole` [samples, state] gets this thread's units of a state, and the other threads'. What was
  // published with another `turn` may be read meanwhile.
  template <typename T>
  void exchange(T* Own::* state, T* whole, int64_t turn) {
    const auto published = [&](int id) {
      return reinterpret_cast<T*>(run_.memory_of(memory_, id) + run_.own_floats_ +
                                  turn * run_.published_floats_ / 2);
    };
    const auto copied = [](const T* from, int64_t count, T* to) {
      std::memcpy(to, from, count * sizeof(T));
    };
    T* out = published(id_);
    for (const Own* own = own_; own != own_end_; ++own)
      for (int64_t b = 0; b < count_; ++b, out += own->units()) {
        const T* from = own->*state + b * own->units();
        copied(from, own->cell->units, whole + b * run_.h_stride_ + own->cell->first_unit);
        if (team_.size() > 1) copied(from, own->cell->units, out);
      }
    if (team_.size() == 1) return;
    team_.barrier(id_);
    for (int id = 0; id < team_.size(); ++id) {
      if (id == id_) continue;
      const T* from = published(id);
      const auto parts = share(run_.cell_.parts(), id, team_.size());
      for (int64_t p = parts.first; p < parts.second; ++p) {
        const Cell& cell = run_.cell_.part(static_cast<int>(p));
        for (int64_t b = 0; b < count_; ++b, from += cell.padded_units)
          copied(from, cell.units, whole + b * run_.h_stride_ + cell.first_unit);
      }
    }
  }

  const PreparedRun& run_;
  const Sequences& s_;
  const int64_t sample_, count_;
  const int id_;
  Team& team_;
  float* const memory_;
  const bool integers_;
  const bool all_together_;       // samples are multiplied together, not steps
  const int64_t steps_together_;  // whose inputs are
  Own *own_, *own_end_;
  float *next_, *x_, *h_, *reset_;
  uint8_t *x_bytes_, *h_bytes_, *reset_bytes_;
  float factors_[kRows];  // what an integer of each sample's state is worth
  bool started_[kRows];   // whether a step has counted: outputs before are zero
};

void PreparedRun::work(int64_t sample, int64_t count, int id, Team& team, float* memory) const {
  const prepared::FloatMode mode;
  Thread(*this, sample, count, id, team, memory).go();
}

}  // namespace ksr
