// Whole sequences through a recurrent cell with packed kernels, forward and backward.
#ifndef KERAS_SPARSE_RNN_CORE_RECURRENT_H_
#define KERAS_SPARSE_RNN_CORE_RECURRENT_H_

#include "packed.h"
#include "prepared/cells.h"

namespace ksr {

enum class Cell {
  kLstm = KSR_LSTM,
  kGruResetAfter = KSR_GRU,
  kGruResetBefore = KSR_GRU_RESET_BEFORE,
  kSimpleRnnTanh = KSR_SIMPLE_RNN_TANH,
  kSimpleRnnRelu = KSR_SIMPLE_RNN_RELU
};

// What all code knows of a cell.
inline const prepared::CellRule& rule_of(Cell cell) { return prepared::kCells[static_cast<int>(cell)]; }

// What goes in. All arrays are the caller's, row-major and only read. Block numbers must have passed `first_bad_block`; sizes that do not fit are
// refused with std::invalid_argument, in words.
struct Recurrent {
  Cell cell;
  int64_t batch, time;
  bool go_backwards;    // step t then reads x and mask at time - 1 - t; outputs are in the order of the steps
  Packed kernel;        // [inputs, gates * units]
  Packed recurrent;     // [units, gates * units]
  const float* x;       // [batch, time, inputs]
  const float* h0;      // [batch, units]
  const float* c0;      // [batch, units], of a cell with two states, else null
  const float* bias;    // [the cell's rows of bias, gates * units], or null
  const uint8_t* mask;  // [batch, time], zero where a step does not count, or null

  int units() const { return kernel.units; }
};

// What comes out. The arrays are the caller's, are written whole, and overlap nothing.
struct RecurrentOut {
  float* outputs;  // [batch, time, units]
  float* h;        // [batch, units]
  float* c;        // [batch, units], of a cell with two states, else null
  float* reserve;  // [reserve_size], 64-byte aligned, for the backward pass, or null
};

int64_t reserve_size(const Recurrent& problem);  // in floats
void recurrent_forward(const Recurrent& problem, const RecurrentOut& out);

// Batches, and what whole panels leave of them, run in row layout where they are below `samples`; 0: below what was measured to be best on this
// instruction set. For measurements and tests: a reserve must be used as it was made.
void set_few_samples(int samples);

struct RecurrentGradients {
  const float* reserve;    // what the forward pass of the same problem left, or null: then it is computed again
  const float* d_outputs;  // [batch, time, units]
  const float* d_h;        // [batch, units], of the last h
  const float* d_c;        // [batch, units], of a cell with two states
  float* dx;               // [batch, time, inputs], written whole, as all below
  float* d_h0;             // [batch, units]
  float* d_c0;             // [batch, units], of a cell with two states
  float* d_kernel;         // [live, height, width]
  float* d_recurrent;      // [live, height, width]
  float* d_bias;           // as bias, or null
};

void recurrent_backward(const Recurrent& problem, const RecurrentGradients& gradients);

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_RECURRENT_H_
