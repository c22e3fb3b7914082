// The external delegate: the two functions that a runtime looks for in the library. It takes over
// the nodes of our operator, one by one, and nothing else.
#include <cstdlib>
#include <cstring>

#include "cell_operator.h"
#include "tflite_kernel.h"

#ifdef KSR_SOURCES
// By which a source tree knows a library that was built from it.
extern "C" KSR_API const char* ksr_delegate_sources() {
  return "keras_sparse_rnn sources " KSR_SOURCES;
}
#endif

namespace {

using namespace ksr;

constexpr int kMostNodes = 1 << 20;

// Node numbers, of malloc; null where there is no memory.
TfLiteIntArray* numbers(int count) {
  void* memory = std::malloc(sizeof(TfLiteIntArray) + count * sizeof(int32_t));
  if (memory) static_cast<TfLiteIntArray*>(memory)->size = count;
  return static_cast<TfLiteIntArray*>(memory);
}

int32_t refuse(TfLiteContext* context, const char* what) {
  if (context->ReportError)
    context->ReportError(context,
                         "The delegate of keras_sparse_rnn cannot run in this runtime: %s. Use a "
                         "version of the runtime that docs/litert.md names",
                         what);
  return kTfLiteError;
}

// 1: it is ours, 0: it is not, -1: it is ours, and refused.
int is_ours(TfLiteContext* context, const TfLiteRegistration& registration) {
  if (registration.builtin_code != kTfLiteBuiltinCustom || !registration.custom_name ||
      std::strcmp(registration.custom_name, kOperatorName))
    return 0;
  if (registration.version == kOperatorVersion) return 1;
  context->ReportError(context,
                       "The file has the operator %s of version %d, and this library of "
                       "keras_sparse_rnn has version %d: use the one that wrote the file, or a "
                       "newer one",
                       kOperatorName, static_cast<int>(registration.version), kOperatorVersion);
  return -1;
}

int32_t replace(TfLiteContext* context, TfLiteDelegate* delegate, const TfLiteIntArray& plan,
                TfLiteIntArray* one) {
  for (int i = 0; i < plan.size; ++i) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, plan.data[i], &node, &registration) !=
            kTfLiteOk ||
        !node || !registration)
      return refuse(context, "it does not show the nodes of its graph");
    const int ours = is_ours(context, *registration);
    if (ours < 0) return kTfLiteError;
    if (!ours) continue;
    one->data[0] = plan.data[i];
    const int32_t status = context->ReplaceNodeSubsetsWithDelegateKernels(
        context, delegate_kernel(), one, delegate);
    if (status != kTfLiteOk) return status;
  }
  return kTfLiteOk;
}

int32_t prepare(TfLiteContext* context, TfLiteDelegate* delegate) {
  TfLiteIntArray* plan = nullptr;
  if (!context->GetExecutionPlan || !context->GetNodeAndRegistration ||
      !context->ReplaceNodeSubsetsWithDelegateKernels || !context->ResizeTensor)
    return refuse(context, "it lacks functions that a delegate calls");
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk || !plan || plan->size < 0 ||
      plan->size > kMostNodes)
    return refuse(context, "it does not show the nodes of its graph");
  // The runtime's own list changes with each node that is replaced.
  TfLiteIntArray *copy = numbers(plan->size), *one = numbers(1);
  int32_t status = kTfLiteError;
  if (copy && one) {
    std::memcpy(copy->data, plan->data, plan->size * sizeof(int32_t));
    status = replace(context, delegate, *copy, one);
  }
  std::free(copy);
  std::free(one);
  return status;
}

}  // namespace

// There are no options: those that are given are refused in words.
extern "C" KSR_API TfLiteDelegate* tflite_plugin_create_delegate(
    const char* const*, const char* const*, size_t options, void (*report)(const char*)) {
  if (options) {
    if (report) report("The delegate of keras_sparse_rnn has no options");
    return nullptr;
  }
  auto* delegate = static_cast<TfLiteDelegate*>(std::calloc(1, sizeof(TfLiteDelegate)));
  if (!delegate) return nullptr;
  delegate->Prepare = prepare;
  delegate->flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return delegate;
}

extern "C" KSR_API void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  std::free(delegate);
}
