// The operator KsrCell, as every front door runs it: a block-sparse LSTM, GRU, SimpleRNN or Dense
// in a LiteRT file. It knows no runtime.
//
// Inputs:
//   x      float32 [batch, steps, inputs]; Dense: any shape that ends in [inputs]
//   cell   uint8 [rows, units], constant: the file that ksr_file_write makes, then zeros. It has
//          `units` columns, so that the sizes of all outputs follow from those of the inputs.
//   h, c   float32 [batch, units] each, the states: two of an LSTM, none of Dense, else one
//   mask   bool [batch, steps], may be left out: where it is false a step leaves the states alone
//          and gives the output of the step before it, and zeros where there is none
// Outputs:
//   y      float32 [batch, steps, units]; Dense: as x, but [units] at its end
//   h, c   float32 [batch, units] each, after the last step
#ifndef KERAS_SPARSE_RNN_LITERT_CELL_OPERATOR_H_
#define KERAS_SPARSE_RNN_LITERT_CELL_OPERATOR_H_

#include <cstddef>
#include <cstdint>

#include "../core/ksr.h"

namespace ksr {

constexpr char kOperatorName[] = "KsrCell";
constexpr int kOperatorVersion = 1;
constexpr int kMostInputs = 5, kMostOutputs = 3, kMostStates = 2, kMostAxes = 8;

enum class Numbers { kFloat32, kUint8, kBool, kOther };

// A tensor as a runtime has it. `data` may be null while only sizes are known.
struct OperatorTensor {
  Numbers numbers = Numbers::kOther;
  int axes = 0;
  const int32_t* sizes = nullptr;
  void* data = nullptr;
  size_t bytes = 0;
};

struct Sizes {
  int axes;
  int32_t sizes[kMostAxes];
};

// A zero-initialised CellOperator holds nothing.
class CellOperator {
 public:
  // Sizes of the outputs. False, and what is wrong in `error`, where the inputs do not fit. Types
  // are looked at unless `sizes_only`.
  static bool output_sizes(const OperatorTensor* inputs, int input_count, int output_count,
                           Sizes* outputs, bool sizes_only, ksr_error* error);

  // Prepares the cell in inputs[1], unless that was done before: only this allocates. False, and
  // what is wrong in `error`. Call output_sizes before.
  bool prepare(const OperatorTensor* inputs, int output_count, ksr_error* error);

  // Whether prepare was called with a cell at this place; with one of this checksum.
  bool is_of(const void* cell) const { return cell == place_; }
  bool has_checksum_of(const OperatorTensor& cell) const;

  // Call output_sizes and prepare before. Arrays hold what their sizes say; states that come out
  // may be null.
  bool run(const OperatorTensor* inputs, int input_count, const OperatorTensor* outputs,
           int output_count, ksr_error* error) const;

  void clear();

  // What a cell must have to fit the other tensors.
  struct Wanted {
    int32_t inputs, units;
    int states;
  };

 private:
  bool read(const void* file, size_t bytes, const Wanted& wanted, ksr_error* error);

  const void* place_;  // of the bytes that the cell was prepared from
  uint64_t checksum_;
  size_t bytes_;
  const ksr_cell* cell_;  // owned
  ksr_state* state_;      // owned, of all samples in turn
  ksr_cell_facts facts_;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_LITERT_CELL_OPERATOR_H_
