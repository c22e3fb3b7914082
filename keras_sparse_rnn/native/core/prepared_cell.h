// A cell that is prepared once and then runs any number of sequences, or a Dense cell of rows, on
// one thread or on a team.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_CELL_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_CELL_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "ksr.h"

namespace ksr {

namespace prepared {
struct Cell;
}

// Samples, or rows, from which panels are faster than prepared cells of float32 activations.
constexpr int64_t kPanelSamples = 8;

// What goes in and out of one call of a recurrent cell. All arrays are the caller's, row-major;
// what comes out is written whole and overlaps nothing.
struct Sequences {
  int64_t batch, time;
  bool go_backwards;    // step t then reads x and mask at time - 1 - t
  const float* x;       // [batch, time, inputs]
  const float* h0;      // [batch, units]
  const float* c0;      // [batch, units], LSTM only, else null
  const uint8_t* mask;  // [batch, time], zero where a step does not count, or null
  float* outputs;       // [batch, time, units]
  float* h;             // [batch, units]
  float* c;             // [batch, units], LSTM only, else null

  // The place in time that step t reads, and whether it counts.
  int64_t source(int64_t t) const { return go_backwards ? time - 1 - t : t; }
  bool counts(int64_t sample, int64_t t) const { return !mask || mask[sample * time + source(t)]; }
};

// The units are cut into parts, each with its own weights and about the same work, so that each
// thread of a team has those of its part in its own cache. No result depends on how many parts
// there are, or on how many threads run them.
class PreparedCell {
 public:
  // Null, and an error, where the description is not right; weights of float32 activations may be
  // infinite or NaN, as they are when a training has diverged. `parts`: at most so many; 0: as many
  // as threads are worth their while.
  static std::shared_ptr<const PreparedCell> make(const ksr_description& description, int parts,
                                                  ksr_error* error);

  // Of a recurrent cell, on at most `threads` threads; 0: as many as are worth their while.
  void run(const Sequences& sequences, int threads = 0) const;

  // Of a Dense cell: y [rows, units] from x [rows, inputs]. y is the caller's, written whole, and
  // overlaps nothing.
  void multiply(int64_t rows, const float* x, float* y, int threads = 0) const;

  int parts() const { return static_cast<int>(parts_.size()); }
  const prepared::Cell& part(int i) const { return *parts_[i]; }

 private:
  PreparedCell() = default;
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  int threads_for(int64_t steps) const;

  std::vector<std::unique_ptr<char, Free>> memory_;
  std::vector<const prepared::Cell*> parts_;
  int64_t weights_ = 0;  // that a step multiplies
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_CELL_H_
