// How a prepared cell runs some sequences at once. Private to prepared_cell.cc.
//
// Each thread of a team has some parts of the cell, and all that it computes with in memory of its
// own: inputs, sums, the states of its units, and a copy of the whole h. After a step it publishes
// its part of h and fetches those of the others; see forward_rows.cc for why nothing else is
// shared.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_RUN_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_RUN_H_

#include "pool.h"
#include "prepared/cells.h"
#include "prepared/dispatch.h"
#include "prepared_cell.h"

namespace ksr {

class PreparedRun {
 public:
  // For at most `samples` sequences at once and a team of at most `threads`.
  PreparedRun(const PreparedCell& cell, const Sequences& sequences, int64_t samples, int threads);

  // The memory of all threads together.
  int64_t floats() const { return threads_ * (own_floats_ + published_floats_ + kPage); }

  // Thread `id` of a team, for the sequences [sample, sample + count). All threads of the team call
  // it with the same memory.
  void work(int64_t sample, int64_t count, int id, Team& team, float* memory) const;

 private:
  // A part of the cell, and what belongs to its units; samples one after another.
  struct Own {
    const prepared::Cell* cell;
    float *sums, *h, *c, *reset;     // sums: [samples, steps together, slots, units]
    uint8_t *h_bytes, *reset_bytes;  // h and r * h, rounded

    int64_t units() const { return cell->padded_units; }
    int64_t sum_stride() const { return int64_t{cell->slots} * cell->padded_units; }
  };
  class Thread;
  float* memory_of(float* memory, int id) const {
    return memory + id * (own_floats_ + published_floats_ + kPage);
  }
  static constexpr int64_t kPage = 1024;  // floats of a page of memory, which parts two threads

  const PreparedCell& cell_;
  const Sequences& sequences_;
  const prepared::Cell& first_;  // its first part
  const prepared::CellRule& rule_;
  const prepared::Kernels& kernels_;
  const int threads_;
  // From row to row, in floats or in bytes: of inputs, of whole states.
  int64_t x_stride_, h_stride_;
  int64_t own_floats_, published_floats_;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_RUN_H_
