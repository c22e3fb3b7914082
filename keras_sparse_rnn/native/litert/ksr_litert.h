/* The operator KsrCell for LiteRT: recurrent and Dense layers of files that
 * keras_sparse_rnn.export_litert(model, path, runtime="ksr") writes. docs/litert.md describes it.
 *
 * Three ways to give it to a runtime, one for each kind of program:
 *
 *   Interpreter, by name, in any language: the external delegate. Its two functions,
 *   tflite_plugin_create_delegate and tflite_plugin_destroy_delegate, are those that every runtime
 *   looks for in a library that it is given as a delegate.
 *
 *   Interpreter, in a C++ program that links this library:
 *     tflite::ops::builtin::BuiltinOpResolver resolver;
 *     resolver.AddCustom(KSR_OPERATOR, ksr_register(), KSR_OPERATOR_VERSION);
 *
 *   CompiledModel:
 *     void* operators = ksr_compiled_create();
 *     LiteRtAddCustomOpKernelOption(options, KSR_OPERATOR, KSR_OPERATOR_VERSION,
 *                                   ksr_compiled_kernel(), operators);
 *     ...
 *     ksr_compiled_destroy(operators);    after the models that were made with these options
 */
#ifndef KSR_LITERT_H_
#define KSR_LITERT_H_

#include "ksr.h"

#define KSR_OPERATOR "KsrCell"
#define KSR_OPERATOR_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

struct TfLiteRegistration;

/* A TfLiteRegistration, the same at each call. */
KSR_API struct TfLiteRegistration* ksr_register(void) KSR_NOEXCEPT;

/* A LiteRtCustomOpKernel, the same at each call. */
KSR_API const void* ksr_compiled_kernel(void) KSR_NOEXCEPT;
/* Its user data: the cells that the operators of one model, or of several, have prepared. A cell is
 * prepared when it first runs. Null where there is no memory. Several threads may run models that
 * share it, one operator at a time. */
KSR_API void* ksr_compiled_create(void) KSR_NOEXCEPT;
/* What was wrong in the last run that failed, "" if none has. Up to LiteRT 2.3.0 the runtime does
 * not hand on that an operator failed; its outputs are NaN then, and this says why. Outputs stay as
 * they were where the runtime does not give their memory, or shows none of its functions. */
KSR_API const char* ksr_compiled_error(const void* operators) KSR_NOEXCEPT;
KSR_API void ksr_compiled_destroy(void* operators) KSR_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif /* KSR_LITERT_H_ */
