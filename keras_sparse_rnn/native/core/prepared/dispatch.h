// Which instruction sets there are, and which of them this processor has.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_DISPATCH_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_DISPATCH_H_

#include "image.h"

namespace ksr {
namespace prepared {

// The place in instruction_sets.inc of the one with this name, or with null of the best one; -1
// where the processor lacks it, or nobody knows it.
int find_instruction_set(const char* name);

// The kernels of a place that `find_instruction_set` gave; null for any other number.
const Kernels* kernels_of(int place);

// The names of those that this processor has, with commas between.
void list_instruction_sets(char* text, int size);

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_DISPATCH_H_
