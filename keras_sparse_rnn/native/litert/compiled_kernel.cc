// The operator as LiteRT's CompiledModel calls it: a kernel that sees the sizes of its tensors
// first, then their memory, and one user data for all operators of its name. So cells are kept
// there, and found again by where they lie and by their checksums.
#include <dlfcn.h>
#include <pthread.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cell_operator.h"
#include "ksr_litert.h"
#include "litert_c.h"

namespace ksr {
namespace {

// The runtime's functions.
struct Runtime {
  decltype(&LiteRtLockTensorBuffer) lock;
  decltype(&LiteRtUnlockTensorBuffer) unlock;
  decltype(&LiteRtGetTensorBufferTensorType) type;
  decltype(&LiteRtGetTensorBufferPackedSize) size;
};

// The one that the program is linked with, if it is, or that all libraries of the process see, or
// that of the runtime's library, which is in the process when it calls us.
template <typename Function>
bool find(Function* linked, const char* name, Function** function) {
  *function = linked;
  if (linked) return true;
  void* symbol = dlsym(RTLD_DEFAULT, name);
  void* library = symbol ? nullptr : dlopen("libLiteRt.so", RTLD_LAZY | RTLD_NOLOAD);
  if (library) symbol = dlsym(library, name);
  std::memcpy(function, &symbol, sizeof symbol);
  return symbol;
}

bool find(Runtime* runtime) {
  return find(&LiteRtLockTensorBuffer, "LiteRtLockTensorBuffer", &runtime->lock) &&
         find(&LiteRtUnlockTensorBuffer, "LiteRtUnlockTensorBuffer", &runtime->unlock) &&
         find(&LiteRtGetTensorBufferTensorType, "LiteRtGetTensorBufferTensorType",
              &runtime->type) &&
         find(&LiteRtGetTensorBufferPackedSize, "LiteRtGetTensorBufferPackedSize", &runtime->size);
}

struct Prepared {
  CellOperator cell_operator;
  Prepared* next;
};

struct Operators {
  pthread_mutex_t lock;
  Runtime runtime;
  bool has_runtime;
  Prepared* first;
  char error[320];
};

int32_t fail(Operators* operators, const char* text) {
  std::snprintf(operators->error, sizeof operators->error, "%s: %s", kOperatorName, text);
  std::fprintf(stderr, "%s\n", operators->error);
  return kLiteRtStatusErrorInvalidArgument;
}

OperatorTensor view(const LiteRtLayout& layout) {
  OperatorTensor tensor;
  tensor.axes = layout.rank;
  tensor.sizes = layout.dimensions;
  return tensor;
}

// Buffers of a call, locked for as long as it lasts.
class Buffers {
 public:
  explicit Buffers(const Runtime& runtime) : runtime_(runtime) {}
  ~Buffers() {
    for (int i = 0; i < count_; ++i) runtime_.unlock(locked_[i]);
  }

  // The tensor stays empty where this fails.
  bool lock(LiteRtTensorBuffer buffer, int32_t mode, OperatorTensor* tensor) {
    LiteRtRankedTensorType& type = types_[count_];
    size_t bytes;
    void* data;
    if (runtime_.type(buffer, &type) != kLiteRtStatusOk || type.layout.has_strides ||
        runtime_.size(buffer, &bytes) != kLiteRtStatusOk ||
        runtime_.lock(buffer, &data, mode) != kLiteRtStatusOk)
      return false;
    locked_[count_++] = buffer;
    tensor->bytes = bytes;
    tensor->data = data;
    tensor->axes = type.layout.rank;
    tensor->sizes = type.layout.dimensions;
    tensor->numbers = type.element_type == kLiteRtElementTypeFloat32 ? Numbers::kFloat32
                      : type.element_type == kLiteRtElementTypeUInt8 ? Numbers::kUint8
                      : type.element_type == kLiteRtElementTypeBool  ? Numbers::kBool
                                                                     : Numbers::kOther;
    return true;
  }

 private:
  const Runtime& runtime_;
  LiteRtTensorBuffer locked_[kMostInputs + kMostOutputs] = {};
  LiteRtRankedTensorType types_[kMostInputs + kMostOutputs] = {};
  int count_ = 0;
};

uint64_t bytes_of(int axes, const int32_t* sizes, Numbers numbers) {
  uint64_t bytes = numbers == Numbers::kFloat32 ? 4 : 1;
  for (int axis = 0; axis < axes; ++axis) bytes *= sizes[axis];
  return bytes;
}

// The operator whose cell this is, prepared; null, and what is wrong. Checked by its place and its
// checksum, not by all of its bytes again: those of a constant stay what they were.
CellOperator* find_cell(Operators* operators, const OperatorTensor* inputs, int output_count,
                        ksr_error* error) {
  Prepared* found = operators->first;
  while (found && !(found->cell_operator.is_of(inputs[1].data) &&
                    found->cell_operator.has_checksum_of(inputs[1])))
    found = found->next;
  if (!found) {
    found = static_cast<Prepared*>(std::calloc(1, sizeof(Prepared)));
    if (!found)
      return std::snprintf(error->text, sizeof error->text, "no memory for a cell"), nullptr;
    if (!found->cell_operator.prepare(inputs, output_count, error)) {
      found->cell_operator.clear();
      std::free(found);
      return nullptr;
    }
    found->next = operators->first;
    operators->first = found;
  }
  return found->cell_operator.prepare(inputs, output_count, error) ? &found->cell_operator
                                                                   : nullptr;
}

// False, and what is wrong.
bool run(Operators* operators, const OperatorTensor* inputs, int input_count,
         const OperatorTensor* outputs, int output_count, ksr_error* error) {
  Sizes sizes[kMostOutputs];
  if (!CellOperator::output_sizes(inputs, input_count, output_count, sizes, false, error))
    return false;
  for (int i = 0; i < input_count; ++i)
    if (bytes_of(inputs[i].axes, inputs[i].sizes, inputs[i].numbers) > inputs[i].bytes)
      return std::snprintf(error->text, sizeof error->text, "input %d is cut short", i), false;
  for (int i = 0; i < output_count; ++i)
    if (outputs[i].numbers != Numbers::kFloat32 ||
        bytes_of(sizes[i].axes, sizes[i].sizes, Numbers::kFloat32) > outputs[i].bytes)
      return std::snprintf(error->text, sizeof error->text, "output %d is no float32, or small", i),
             false;
  const CellOperator* cell = find_cell(operators, inputs, output_count, error);
  return cell && cell->run(inputs, input_count, outputs, output_count, error);
}

int32_t init(void*, const void*, size_t) { return kLiteRtStatusOk; }

int32_t output_layouts(void* user_data, size_t input_count, const LiteRtLayout* inputs,
                       size_t output_count, LiteRtLayout* outputs) {
  auto* operators = static_cast<Operators*>(user_data);
  if (input_count > kMostInputs || output_count > kMostOutputs)
    return fail(operators, "a node must have 2 to 5 inputs and 1 to 3 outputs");
  OperatorTensor tensors[kMostInputs];
  Sizes sizes[kMostOutputs];
  ksr_error error = {};
  for (size_t i = 0; i < input_count; ++i) tensors[i] = view(inputs[i]);
  if (!CellOperator::output_sizes(tensors, static_cast<int>(input_count),
                                  static_cast<int>(output_count), sizes, true, &error))
    return fail(operators, error.text);
  for (size_t i = 0; i < output_count; ++i) {
    outputs[i] = {};
    outputs[i].rank = sizes[i].axes;
    std::memcpy(outputs[i].dimensions, sizes[i].sizes, sizes[i].axes * sizeof(int32_t));
  }
  return kLiteRtStatusOk;
}

int32_t run(void* user_data, size_t input_count, const LiteRtTensorBuffer* inputs,
            size_t output_count, LiteRtTensorBuffer* outputs) {
  auto* operators = static_cast<Operators*>(user_data);
  if (input_count < 2 || input_count > kMostInputs || !output_count || output_count > kMostOutputs)
    return fail(operators, "a node must have 2 to 5 inputs and 1 to 3 outputs");
  pthread_mutex_lock(&operators->lock);
  int32_t status = kLiteRtStatusOk;
  if (!operators->has_runtime) operators->has_runtime = find(&operators->runtime);
  if (!operators->has_runtime) {
    status = fail(operators, "the program shows none of LiteRT's functions for tensor buffers");
  } else {
    Buffers buffers(operators->runtime);
    OperatorTensor in[kMostInputs], out[kMostOutputs];
    bool locked = true;
    for (size_t i = 0; i < input_count; ++i)
      locked &= buffers.lock(inputs[i], kLiteRtLockRead, in + i);
    for (size_t i = 0; i < output_count; ++i)
      locked &= buffers.lock(outputs[i], kLiteRtLockWrite, out + i);
    ksr_error error = {};
    if (!locked)
      status = fail(operators, "the runtime does not give the memory of a tensor");
    else if (!run(operators, in, static_cast<int>(input_count), out,
                  static_cast<int>(output_count), &error))
      status = fail(operators, error.text);
    if (status != kLiteRtStatusOk) {
      for (size_t i = 0; i < output_count; ++i)
        for (size_t k = 0; k < out[i].bytes / sizeof(float); ++k)
          static_cast<float*>(out[i].data)[k] = NAN;
    }
  }
  pthread_mutex_unlock(&operators->lock);
  return status;
}

// Called for each node; the user data is the program's.
int32_t destroy(void*) { return kLiteRtStatusOk; }

}  // namespace
}  // namespace ksr

using ksr::Operators;

extern "C" const void* ksr_compiled_kernel(void) noexcept {
  static const LiteRtCustomOpKernel kernel = {ksr::init, ksr::output_layouts, ksr::run,
                                              ksr::destroy};
  return &kernel;
}

extern "C" void* ksr_compiled_create(void) noexcept {
  auto* operators = static_cast<Operators*>(std::calloc(1, sizeof(Operators)));
  if (operators) pthread_mutex_init(&operators->lock, nullptr);
  return operators;
}

extern "C" const char* ksr_compiled_error(const void* operators) noexcept {
  return static_cast<const Operators*>(operators)->error;
}

extern "C" void ksr_compiled_destroy(void* user_data) noexcept {
  auto* operators = static_cast<Operators*>(user_data);
  if (!operators) return;
  while (ksr::Prepared* prepared = operators->first) {
    operators->first = prepared->next;
    prepared->cell_operator.clear();
    std::free(prepared);
  }
  pthread_mutex_destroy(&operators->lock);
  std::free(operators);
}
