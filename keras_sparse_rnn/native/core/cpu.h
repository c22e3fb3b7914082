// Which instruction sets the processor has, and the one in use.
#ifndef KERAS_SPARSE_RNN_CORE_CPU_H_
#define KERAS_SPARSE_RNN_CORE_CPU_H_

#include "kernels.h"

namespace ksr {

// The kernels in use: the best that the processor has, or the lower one that the environment variable KERAS_SPARSE_RNN_CPU (avx512, avx2, neon or
// plain) or `choose_cpu` asks for. Asking for one that the processor lacks gives the best it has.
const Kernels& kernels();

// Chooses by name from now on; null or "" for the best. Returns false, changing nothing, where the processor lacks it or the name is unknown.
bool choose_cpu(const char* name);

// The name that was chosen so; null while it is the best, or what the environment variable says.
const char* chosen_cpu();

// The kernels for blocks of this shape, the generic ones if it has none of its own.
const ShapeKernels& shape_kernels(const Kernels& kernels, int height, int width);

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_CPU_H_
