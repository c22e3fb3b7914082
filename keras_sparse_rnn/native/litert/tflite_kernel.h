// The operator as a runtime of Interpreters calls it.
#ifndef KERAS_SPARSE_RNN_LITERT_TFLITE_KERNEL_H_
#define KERAS_SPARSE_RNN_LITERT_TFLITE_KERNEL_H_

#include "tflite_c.h"

namespace ksr {

// For nodes of the operator itself, as a program registers it.
TfLiteRegistration node_kernel();
// For nodes that a delegate puts in the place of one node of the operator each.
TfLiteRegistration delegate_kernel();

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_LITERT_TFLITE_KERNEL_H_
