// Which instruction sets there are, and which of them this processor has.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_DISPATCH_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_DISPATCH_H_

#include "image.h"

namespace ksr {
namespace prepared {

// The instruction set of this name, whether this processor has it or not; null where there is none.
const Processor* find_processor(const char* name);

// The one of this name that this processor has; else, and with null, the best that it has.
const Processor* choose_processor(const char* name);

// Whether this processor can run what was prepared for the one of this name.
bool has_processor(const char* name);

// The kernels of a name as a cell has it, filled up with zeros; null where the library has none.
// Whether this processor can run them, it does not ask.
const Kernels* kernels_of(const char (&name)[kNameBytes]);

// The names of those that this processor has, or of all, with commas between.
void list_processors(bool all, char* text, int size);

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_DISPATCH_H_
