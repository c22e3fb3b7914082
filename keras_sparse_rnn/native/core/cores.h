// How many cores this process may use.
#ifndef KERAS_SPARSE_RNN_CORE_CORES_H_
#define KERAS_SPARSE_RNN_CORE_CORES_H_

#include <string>

namespace ksr {

// Cores that the process may run on, of which the processors (SMT siblings) of one count once, for
// they share its caches and its arithmetic; and no more than its cgroups give it time for
// (`cpu.max`, of a container). At least 1. `root`: where /proc and /sys are, for tests.
int usable_cores(const std::string& root = "");

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_CORES_H_
