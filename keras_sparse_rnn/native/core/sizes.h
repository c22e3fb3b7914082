// Which sizes can be computed with, and how large memory may be.
#ifndef KERAS_SPARSE_RNN_CORE_SIZES_H_
#define KERAS_SPARSE_RNN_CORE_SIZES_H_

#include <cstdint>
#include <initializer_list>

#include "recurrent.h"

namespace ksr {

// Throws std::invalid_argument, in words, unless a kernel `name` of these sizes, cut into these
// blocks, can be computed with: all sizes, their sums and the number of blocks fit ints, with what
// partial blocks are padded by. The numbers may be anything.
void check_sizes(const char* name, int64_t inputs, int64_t units, int64_t gates, int64_t height,
                 int64_t width);

// The same for a packed kernel, whose live blocks are at most as many as it has.
void check_sizes(const char* name, const Packed& packed);

// The same for all of a problem, whose sizes fit one another. Throws std::bad_alloc where its
// arrays have more bytes than an int64 holds.
void check_sizes(const Recurrent& problem);

// The product of factors that are not negative; std::bad_alloc where an int64 does not hold it: no
// memory is so large.
int64_t checked_product(std::initializer_list<int64_t> factors);

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_SIZES_H_
