// What the processor-specific part of the core offers: one table of functions per instruction set.
//
// The sources behind it (*.inc) are compiled once per instruction set, each time into another namespace. This header is included by all of them,
// so it holds plain structs and declarations only: an inline function in it could be emitted with AVX-512 and then be linked for everyone.
//
// Two layouts of activations:
//   row:    one sample after the other, [samples, features];
//   panel:  [features, 16], sixteen samples side by side, so that one weight meets sixteen samples in one instruction whatever the block shape.
#ifndef KERAS_SPARSE_RNN_CORE_KERNELS_H_
#define KERAS_SPARSE_RNN_CORE_KERNELS_H_

#include <cstdint>

namespace ksr {

constexpr int kLanes = 16;  // samples in a panel

// How weights are stored. All arithmetic is float32. Kernels of other weights than float32 have no gradients.
enum class Weights { kFloat32, kBfloat16, kInt8 };
constexpr int kWeightTypes = 3;
typedef uint16_t Bfloat16;  // the upper half of a float32

// The product with a packed kernel: its outputs are the block columns, and the live blocks of each lie one after the other.
// All arrays belong to the caller and are only read.
struct Forward {
  const void* values;       // [live, height, width], of the type of weights that the function called is for
  const float* scales;      // int8 only: [outputs, width], what the sums of each feature are multiplied by
  int height, width;        // block shape
  int rows;                 // block rows of the kernel
  const int32_t* numbers;   // [live], ascending: output o has the blocks number first_number + o * rows + its block row
  int32_t first_number;
  const int32_t* first;     // [outputs + 1], where each output's blocks begin
  const int32_t* feature;   // [outputs], the first feature that each output writes
};

// One live block, seen from the output it adds to.
struct Entry {
  int32_t block;  // its place in `values`
  int32_t in;     // the first feature that it reads
};

// The product with the transpose: its outputs are the block rows.
struct Side {
  const float* values;     // [live, height, width]
  int height, width;       // block shape
  const Entry* entries;    // [live], grouped by output
  const int32_t* first;    // [outputs + 1], where each output's entries begin
  const int32_t* feature;  // [outputs], the first feature that each output writes
};

// The gradient of the values of live blocks: values[i] += sum over n of in[n][row[i] + r] . out[n][column[i] + c], dot products over lanes.
struct Outer {
  int height, width;
  const int32_t* row;     // [live], first input feature of each block
  const int32_t* column;  // [live], first output feature of each block
  int64_t count;          // n
  const float* const* in;   // [count] panels of inputs
  const float* const* out;  // [count] panels of output gradients
  float* values;          // [live, height, width], added to; must not overlap any panel
};

// What one block shape brings. The panels are 64-byte aligned; `in` and `out` never overlap.
struct ShapeKernels {
  int height, width;  // 0, 0: any
  // out panel [.., 16] += kernel^T in panel, for the outputs [begin, end); one function for each type of weights.
  void (*panel_forward[kWeightTypes])(const Forward*, int begin, int end, const float* in, float* out);
  // The same for a few samples in row layout.
  void (*row_forward[kWeightTypes])(const Forward*, int begin, int end, int samples, const float* in, int64_t in_stride, float* out, int64_t out_stride);
  // out panel += kernel in panel (the transposed product).
  void (*panel_backward)(const Side*, int begin, int end, const float* in, float* out);
  // The same for a few samples in row layout.
  void (*row_backward)(const Side*, int begin, int end, int samples, const float* in, int64_t in_stride, float* out, int64_t out_stride);
  void (*outer)(const Outer*, int64_t begin, int64_t end);
};

// What one step of a cell reads and writes, element by element. `n` floats, a multiple of 16; pointers of one struct do not overlap, but
// that states may be written where they were read. `lanes`: null, or 16 ints, -1 where the step counts and 0 where the states are carried over (panel layout only).
struct CellForward {
  float* gates;      // slot s at gates + s * stride; in: sums; out: activated
  int64_t stride;
  const float *h_before, *c_before;
  float *h, *c;
  const int32_t* lanes;
  int64_t n;
};

struct CellBackward {
  const float* gates;  // as CellForward left them
  float* d_gates;      // out: gradients of the sums, same slots
  int64_t stride;      // of both
  const float *h_before, *c_before, *c;
  float* d_h;  // in: gradient of h; out: what reaches h_before without passing the recurrent kernel
  float* d_c;  // in: gradient of c; out: gradient of c_before
  float* d_reset;  // of a cell that multiplies r * h: gradient of r * h_before
  const int32_t* lanes;
  int64_t n;
};

// What a cell computes. One that multiplies r * h takes two calls a step, with that product in between; the others have no `reset`.
struct CellKernels {
  void (*reset)(const CellForward*);            // first half: all gates but the candidate, and r * h in the slot behind the cell's own
  void (*update)(const CellForward*);           // all of it, or second half
  void (*update_backward)(const CellBackward*);
  void (*reset_backward)(const CellBackward*);
};

struct Kernels {
  const char* name;
  int few_samples;  // batches below it run in row layout,
  int few_left;     // and what whole panels leave of larger ones, below this
  const ShapeKernels* shapes;  // the last one is the generic one
  // The blocks of the outputs [begin, end) as float32, [live, height, width]; those of int8 times their scales.
  void (*widen[kWeightTypes])(const Forward*, int begin, int end, float* to);
  // panel[f][lane] = rows[lane][f]; a null row reads as zeros.
  void (*rows_to_panel)(const float* const* rows, int64_t features, float* panel);
  // rows[lane][f] = panel[f][lane]; null rows are skipped.
  void (*panel_to_rows)(const float* panel, int64_t features, float* const* rows);
  void (*fill_panel)(const float* row, int64_t features, float* panel);  // panel[f][lane] = row[f]
  void (*add)(const float* from, int64_t n, float* to);                  // to += from
  const CellKernels* cells;                                              // by ksr_cell_kind
  void (*sigmoid)(const float* x, int64_t n, float* y);  // for tests of the functions
  void (*tanh)(const float* x, int64_t n, float* y);
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_KERNELS_H_
