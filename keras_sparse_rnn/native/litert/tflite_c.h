// What the operator and the delegate use of LiteRT's C interface, in our words: the layout of its
// structures since TensorFlow Lite 2.16 and ai-edge-litert 1.2, which is what Google promises to
// programs that register operators.
#ifndef KERAS_SPARSE_RNN_LITERT_TFLITE_C_H_
#define KERAS_SPARSE_RNN_LITERT_TFLITE_C_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { kTfLiteOk = 0, kTfLiteError = 1 };                        // TfLiteStatus
enum { kTfLiteFloat32 = 1, kTfLiteUInt8 = 3, kTfLiteBool = 6 };  // TfLiteType
enum { kTfLiteMmapRo = 1 };                                      // of the file, for reading only
enum { kTfLiteBuiltinCustom = 32, kTfLiteBuiltinDelegate = 51 };
enum { kTfLiteDelegateFlagsAllowDynamicTensors = 1 };

typedef struct TfLiteIntArray {
  int32_t size;
  int32_t data[];
} TfLiteIntArray;

typedef struct TfLiteTensor {
  int32_t type;
  void* data;
  TfLiteIntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int32_t allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  void* delegate;
  int32_t buffer_handle;
  bool data_is_stale, is_variable;
  struct {
    int32_t type;
    void* params;
  } quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
} TfLiteTensor;

typedef struct TfLiteNode {
  TfLiteIntArray *inputs, *outputs, *intermediates, *temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int32_t custom_initial_data_size;
  void* delegate;
  bool might_have_side_effect;
} TfLiteNode;

struct TfLiteContext;
struct TfLiteDelegate;

// By value it goes to runtimes whose structure is longer, or shorter, than this one: those read
// zeros from `later`, or leave it alone.
typedef struct TfLiteRegistration {
  void* (*init)(struct TfLiteContext* context, const char* buffer, size_t length);
  void (*free)(struct TfLiteContext* context, void* buffer);
  int32_t (*prepare)(struct TfLiteContext* context, TfLiteNode* node);
  int32_t (*invoke)(struct TfLiteContext* context, TfLiteNode* node);
  const char* (*profiling_string)(const struct TfLiteContext* context, const TfLiteNode* node);
  int32_t builtin_code;
  const char* custom_name;
  int32_t version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
  void* later[8];
} TfLiteRegistration;

typedef struct TfLiteDelegateParams {
  struct TfLiteDelegate* delegate;
  TfLiteIntArray *nodes_to_replace, *input_tensors, *output_tensors;
} TfLiteDelegateParams;

// Its begin.
typedef struct TfLiteContext {
  size_t tensors_size;
  int32_t (*GetExecutionPlan)(struct TfLiteContext* context, TfLiteIntArray** plan);
  TfLiteTensor* tensors;
  void* impl;
  // Takes over `sizes`, which it frees as malloc's.
  int32_t (*ResizeTensor)(struct TfLiteContext* context, TfLiteTensor* tensor,
                          TfLiteIntArray* sizes);
  void (*ReportError)(struct TfLiteContext* context, const char* text, ...);
  void* AddTensors;
  int32_t (*GetNodeAndRegistration)(struct TfLiteContext* context, int node_number,
                                    TfLiteNode** node, TfLiteRegistration** registration);
  int32_t (*ReplaceNodeSubsetsWithDelegateKernels)(struct TfLiteContext* context,
                                                   TfLiteRegistration registration,
                                                   const TfLiteIntArray* nodes,
                                                   struct TfLiteDelegate* delegate);
} TfLiteContext;

typedef struct TfLiteDelegate {
  void* data;
  int32_t (*Prepare)(TfLiteContext* context, struct TfLiteDelegate* delegate);
  void *CopyFromBufferHandle, *CopyToBufferHandle, *FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
} TfLiteDelegate;

#ifdef __cplusplus
}
#endif

#endif  // KERAS_SPARSE_RNN_LITERT_TFLITE_C_H_
