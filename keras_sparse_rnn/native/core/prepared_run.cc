#include "prepared_run.h"

#include <algorithm>

#include "prepared_thread.h"

namespace ksr {
namespace {

using prepared::Cell;
using prepared::Elements;
constexpr int64_t kZeros = 16;  // of zeros behind a row, which products may read

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

void PreparedRun::Thread::go() {
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

void PreparedRun::Thread::step(int64_t t, int64_t k) {
  const int kind = run_.first_.kind;
  const prepared::CellRule& rule = run_.rule_;
  bool counted[kRows];
  for (int64_t b = 0; b < count_; ++b) started_[b] |= counted[b] = s_.counts(sample_ + b, t);
  multiply_states(&Cell::recurrent, h_, h_bytes_, k);
  if (rule.has_reset()) {
    for_elements(k, [&](const Own&, int64_t, const Elements& e) {
      run_.kernels_.reset[integers_](&e);
    });
    if (integers_)
      exchange(&Own::reset_bytes, reset_bytes_, 0);
    else
      exchange(&Own::reset, reset_, 0);
    multiply_states(&Cell::candidate, reset_, reset_bytes_, k);
  }
  for_elements(k, [&](const Own&, int64_t b, const Elements& e) {
    if (counted[b]) run_.kernels_.elements[kind][integers_](&e);
  });
  if (team_.size() == 1) write_own_outputs(t);
  if (team_.size() == 1 && t + 1 == s_.time) return;
  const int64_t turn = rule.has_reset() ? 1 : t % 2;
  if (rounds_units())
    exchange(&Own::h_bytes, h_bytes_, turn);
  else
    exchange(&Own::h, h_, turn);
  if (team_.size() > 1) write_whole_outputs(t);
  round_state();
}

void PreparedRun::Thread::write_own_outputs(int64_t t) const {
  for (const Own* own = own_; own != own_end_; ++own)
    for (int64_t b = 0; b < count_; ++b) {
      float* to = s_.outputs + ((sample_ + b) * s_.time + t) * units() + own->cell->first_unit;
      started_[b] ? copy(own->h + b * own->units(), own->cell->units, to)
                  : zero(to, own->cell->units);
    }
}

// In turns: two threads that write side by side take the lines from each other.
void PreparedRun::Thread::write_whole_outputs(int64_t t) const {
  for (int64_t b = 0; b < count_; ++b) {
    if ((t + b) % team_.size() != id_) continue;
    float* to = s_.outputs + ((sample_ + b) * s_.time + t) * units();
    started_[b] ? copy(h_ + b * run_.h_stride_, units(), to) : zero(to, units());
  }
}

void PreparedRun::work(int64_t sample, int64_t count, int id, Team& team, float* memory) const {
  Thread(*this, sample, count, id, team, memory).go();
}

}  // namespace ksr
