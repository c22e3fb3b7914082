// Which kernels this library has: all. A program that is written for one model (export_c) has
// another file in the place of this one, with the kernels of that model alone.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_NEEDS_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_NEEDS_H_

#include <cstdint>

namespace ksr {
namespace prepared {

// Bits by number, of tiles for each arithmetic, and of cells and activations, exact and fast.
constexpr uint32_t kNeededTiles[4] = {~0u, ~0u, ~0u, ~0u};
constexpr uint32_t kNeededCells[2] = {~0u, ~0u}, kNeededActivations[2] = {~0u, ~0u};
// Whether several steps of a sequence come at once.
constexpr bool kSeveralStepsNeeded = true;

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_NEEDS_H_
