// What marks a cell and a state in memory.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_

#include <cstdint>

namespace ksr {
namespace prepared {

constexpr uint64_t kCellMagic = 0x6C6C65632D72736B;    // "ksr-cell"
constexpr uint64_t kStateMagic = 0x74617473'2D72736B;  // "ksr-stat"

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_PREPARE_H_
