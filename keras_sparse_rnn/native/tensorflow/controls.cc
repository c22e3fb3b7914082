// What Python calls directly, by ctypes: the number of threads and the instruction set; what tests ask for, how many cells were prepared; and what a
// benchmark sets, where batches go from rows to panels.

#include "../core/cpu.h"
#include "../core/pool.h"
#include "../core/recurrent.h"
#include "prepared_cache.h"

#define KSR_EXPORT extern "C" __attribute__((visibility("default")))

KSR_EXPORT int keras_sparse_rnn_num_threads() { return ksr::num_threads(); }
KSR_EXPORT void keras_sparse_rnn_set_num_threads(int threads) { ksr::set_num_threads(threads); }
KSR_EXPORT int64_t keras_sparse_rnn_prepared_so_far() { return ksr::prepared_so_far(); }
KSR_EXPORT int64_t keras_sparse_rnn_prepared_now() { return ksr::prepared_now(); }
KSR_EXPORT void keras_sparse_rnn_set_few_samples(int samples) { ksr::set_few_samples(samples); }
KSR_EXPORT const char* keras_sparse_rnn_cpu() { return ksr::kernels().name; }
KSR_EXPORT int keras_sparse_rnn_choose_cpu(const char* name) { return ksr::choose_cpu(name); }

// The hash of the sources that this was built from, after a mark by which it is found in the file:
// see ksr_runtime/stamp.py.
#ifdef KSR_SOURCES
KSR_EXPORT const char* keras_sparse_rnn_sources() { return "keras_sparse_rnn sources " KSR_SOURCES; }
#endif
