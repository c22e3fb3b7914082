// What marks a cell and a state in memory; and preparing a cell in parts, for several threads.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_

#include <cstdint>

#include "../ksr.h"

namespace ksr {
namespace prepared {

constexpr uint64_t kCellMagic = 0x6C6C65632D72736B;    // "ksr-cell"
constexpr uint64_t kStateMagic = 0x74617473'2D72736B;  // "ksr-stat"

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
