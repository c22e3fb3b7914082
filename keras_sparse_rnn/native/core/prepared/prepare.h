// What marks a cell and a state in memory, and what says by whose rules a cell was laid out; and
// preparing a cell in parts, for several threads.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_

#include <cstdint>

#include "cells.h"

namespace ksr {
namespace prepared {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "cells and files are little-endian");

constexpr uint64_t kCellMagic = 0x6C6C65632D72736B;    // "ksr-cell"
constexpr uint64_t kStateMagic = 0x74617473'2D72736B;  // "ksr-stat"
constexpr uint32_t kByteOrder = 0x01020304;
constexpr int64_t kTagged = 2 * sizeof(uint64_t);  // where the bytes of a cell's tag begin

// The rules that a cell is laid out by. They change by themselves with the tiles and with the size
// of Cell; raise the number with any other change of what a prepared cell's bytes mean.
constexpr char kLayoutRules[] =
    "2"
#define KSR_TILE(height, width) " " #height "x" #width
#include "tiles.inc"
#undef KSR_TILE
    ;
constexpr uint32_t layout_number() {
  uint32_t sum = 2166136261u ^ sizeof(Cell);
  for (const char c : kLayoutRules) sum = (sum ^ static_cast<uint32_t>(c)) * 16777619u;
  return sum;
}
constexpr uint32_t kLayout = layout_number();

// Units or inputs with zeros at their end, so that vectors come out even.
int64_t padded(int64_t n);

// How the states of a cell are laid out whose numbers up to `slots` are there.
StatePlaces state_places(const Cell& cell, const CellRule& rule, int64_t steps_together);

// Which units of a description a cell is of. A part begins at a multiple of kMostLanes. It reads
// the state of all units and steps its own; what it sums does not depend on where parts end.
struct Units {
  int64_t begin, end;
};

// As ksr_cell_size and ksr_cell_prepare, of a description that `check` has passed and of memory
// that is aligned.
ksr_status part_size(const ksr_description& description, Units own, size_t* size,
                     ksr_error* error);
ksr_status prepare_part(const ksr_description& description, Units own, void* memory, size_t size,
                        const ksr_cell** cell, ksr_error* error);

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_
