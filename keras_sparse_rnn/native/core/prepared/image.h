// How a prepared cell and a state lie in memory, and what one instruction set offers. Plain structs
// only: this header is compiled into all of them, and an inline function could be emitted with
// AVX-512 and then be linked for everyone.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_IMAGE_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_IMAGE_H_

#include <cstdint>

#include "../ksr.h"

namespace ksr {
namespace prepared {

constexpr int kMostLanes =
    16;  // floats of the longest vector; units and inputs are padded to a multiple
constexpr int kMostJoined = 4;  // columns of tiles that share a vector
constexpr int kGroup = 4;       // int8 x int8: inputs that one instruction sums up
constexpr int kKinds = 6;       // of cells
constexpr int kActivations = 7;
constexpr int kMostSlots = 4;
constexpr int kMostTogether = 4;  // steps, of one sequence or of several, that share each weight
constexpr int kNameBytes = 16;    // of an instruction set's name, filled up with zeros

// How a product computes: the type of its weights, and int8 x int8.
enum Arithmetic { kFloatWeights, kBfloatWeights, kByteWeights, kIntegers, kArithmetics };

enum Tile {
#define KSR_TILE(height, width) kTile##height##x##width,
#include "tiles.inc"
#undef KSR_TILE
  kTiles
};

// Some columns of tiles that are multiplied together, as many as a vector has room for. Shorter
// ones are filled up with weights of zero.
struct Strip {
  int32_t steps;               // tiles of each column
  int32_t place[kMostJoined];  // the first of the sums that each column adds to
};

// A product with live weights. Offsets are in bytes from the cell.
struct Product {
  int32_t tile, arithmetic;
  int32_t strips;
  int32_t unused;
  int64_t table;    // [strips] Strip, longest first
  int64_t numbers;  // int32, the first input that each tile meets: [strip][step][column], tiles of
                    // one input in int8 x int8: [strip][step][4]
  int64_t values;   // [strip][step][rows / n][vector][lane][n]: n is 4 in int8 x int8, for two rows
                    // or more of bfloat16 2, else 1
  int64_t scales;   // [strip][vector][lane], what sums are multiplied by
  int64_t starts;   // int8 x int8: [strip][vector][lane], what sums begin with: takes back that
                    // bytes have no sign
};

// Where the arrays of a state lie, in bytes from its begin. Inputs of products end with a row of
// zeros, which fills strips up.
struct StatePlaces {
  int64_t h, c;   // [units], as all below padded with zeros
  int64_t reset;  // GRU with the reset gate before the product: r * h
  int64_t x;      // [steps together, inputs]
  int64_t h_bytes, x_bytes, reset_bytes;
  int64_t sums;                  // [steps together, slots, units]
  int64_t x_stride, sum_stride;  // from step to step, in bytes of x or of x_bytes, and in floats
  int64_t size;
};

struct Cell {
  uint64_t magic, tag;  // tag: a checksum of all that follows, which states carry too
  int64_t size;
  uint32_t byte_order, layout;  // kByteOrder and kLayout, of whoever wrote the cell
  char processor[kNameBytes];   // by name: its place in the table is another build's affair
  int32_t kind, activation, integers;
  int32_t inputs, units, padded_inputs, padded_units;
  int32_t first_unit, state_units, padded_state;  // a cell of some units of a larger one: which
                                                  // they begin with; how many the state has
  float input_range;
  int32_t slots;
  int64_t stored;
  Product kernel, recurrent,
      candidate;  // candidate: of a GRU with the reset gate before the product
  int64_t bias;   // [slots, units]
  StatePlaces state;
};

struct State {
  uint64_t magic, tag;
};

// out += kernel^T in, of one step or of kStepsTogether, each with an `in` and an `out`.
struct Multiply {
  const Strip* strips;
  int64_t count;
  const int32_t* numbers;
  const void* values;
  const float* scales;
  const int32_t* starts;
  const void* in[kMostTogether];  // floats, or bytes in int8 x int8
  const float* factors;           // [steps], what an integer of `in` is worth; int8 x int8 only
  float* out[kMostTogether];
};

// One step of a cell, element by element, once its sums are there.
struct Elements {
  float* sums;                     // slot s at sums + s * count; overwritten
  int64_t count;                   // units, padded
  float *h, *c;                    // in: before; out: after
  float* reset;                    // reset before: out of the first half
  uint8_t *h_bytes, *reset_bytes;  // out: as integers, in int8 x int8
};

struct Activate {
  float* values;
  int64_t count;  // padded
  int64_t true_count;
};

// What a cell is laid out by.
struct Processor {
  char name[kNameBytes];
  int32_t lanes;      // floats of a vector
  int32_t byte_zero;  // the byte of the integer 0: 127 where instructions take bytes without a sign
  int32_t steps_together;  // at most kMostTogether
};

namespace table {
#define KSR_INSTRUCTION_SET(name, machine, flags, supported, lanes, byte_zero, together) \
  constexpr Processor name = {#name, lanes, byte_zero, together};
#include "instruction_sets.inc"
#undef KSR_INSTRUCTION_SET
}  // namespace table

// One instruction set. [..][0]: exact to 2 units in the last place; [..][1]: fast, within 1e-4,
// with the same bits everywhere.
struct Kernels : Processor {
  void (*multiply[kArithmetics][kTiles][2])(const Multiply*);  // of one step, of steps_together
  // Rounds n floats to integers; `range`: what 127 stands for, or 0 for the largest of them.
  // Returns what 1 stands for.
  float (*quantize)(const float* x, int64_t n, float range, uint8_t* bytes);
  void (*reset[2])(const Elements*);  // GRU with the reset gate before the product, first half
  void (*elements[kKinds][2])(const Elements*);
  void (*activate[kActivations][2])(const Activate*);
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_IMAGE_H_
