// Whether a description can be prepared.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_CHECK_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_CHECK_H_

#include "failure.h"

namespace ksr {
namespace prepared {

constexpr int64_t kMostInputs = int64_t{1} << 24;  // of any kernel, and units
constexpr int64_t kMostIntegerInputs = int64_t{1}
                                       << 16;  // so that sums of products of bytes fit into 32 bits

// What stands in the description itself: reads nothing that it points to.
ksr_status check_itself(const ksr_description* description, ksr_error* error);
ksr_status check_input_range(float range, ksr_error* error);

// Everything but the processor. Whatever passes can be packed with sizes in int64 and indices in
// int32. `finite`: whether weights and biases must be, which with int8 activations they must.
ksr_status check(const ksr_description* description, bool finite, ksr_error* error);

// The same for one matrix, of a cell with so many gates, for float32 or int8 activations.
ksr_status check_matrix(const char* name, const ksr_matrix& matrix, int gates, bool integers,
                        bool finite, ksr_error* error);

inline int64_t block_rows(const ksr_matrix& m) {
  return (m.inputs + m.block_rows - 1) / m.block_rows;
}
inline int64_t block_columns(const ksr_matrix& m) {
  return (m.units + m.block_columns - 1) / m.block_columns;
}

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_CHECK_H_
