// What the operator uses of the C interface of LiteRT's CompiledModel, in our words: the same from
// ai-edge-litert 1.4 to 2.3.
#ifndef KERAS_SPARSE_RNN_LITERT_LITERT_C_H_
#define KERAS_SPARSE_RNN_LITERT_LITERT_C_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {  // LiteRtStatus
  kLiteRtStatusOk = 0,
  kLiteRtStatusErrorInvalidArgument = 1,
  kLiteRtStatusErrorRuntimeFailure = 3
};
enum { kLiteRtElementTypeFloat32 = 1, kLiteRtElementTypeUInt8 = 3, kLiteRtElementTypeBool = 6 };
enum { kLiteRtLockRead = 0, kLiteRtLockWrite = 1 };

typedef struct LiteRtTensorBufferT* LiteRtTensorBuffer;

typedef struct LiteRtLayout {
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
} LiteRtLayout;

typedef struct LiteRtRankedTensorType {
  int32_t element_type;
  LiteRtLayout layout;
} LiteRtRankedTensorType;

typedef struct LiteRtCustomOpKernel {
  int32_t (*Init)(void* user_data, const void* data, size_t size);
  int32_t (*GetOutputLayouts)(void* user_data, size_t input_count, const LiteRtLayout* inputs,
                              size_t output_count, LiteRtLayout* outputs);
  int32_t (*Run)(void* user_data, size_t input_count, const LiteRtTensorBuffer* inputs,
                 size_t output_count, LiteRtTensorBuffer* outputs);
  int32_t (*Destroy)(void* user_data);
} LiteRtCustomOpKernel;

// Weak, for not every program that has the operator is linked with a runtime.
#define KSR_WEAK __attribute__((weak))
KSR_WEAK int32_t LiteRtLockTensorBuffer(LiteRtTensorBuffer buffer, void** memory, int32_t mode);
KSR_WEAK int32_t LiteRtUnlockTensorBuffer(LiteRtTensorBuffer buffer);
KSR_WEAK int32_t LiteRtGetTensorBufferTensorType(LiteRtTensorBuffer buffer,
                                                 LiteRtRankedTensorType* type);
KSR_WEAK int32_t LiteRtGetTensorBufferPackedSize(LiteRtTensorBuffer buffer, size_t* size);

#ifdef __cplusplus
}
#endif

#endif  // KERAS_SPARSE_RNN_LITERT_LITERT_C_H_
