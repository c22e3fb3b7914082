// A runtime that is none: the structures that the operator sees, over tensors of the test's own.
// Included once by each test.
#ifndef KERAS_SPARSE_RNN_TESTS_LITERT_FAKED_H_
#define KERAS_SPARSE_RNN_TESTS_LITERT_FAKED_H_

#include <cstdarg>

#include "../../litert/ksr_litert.h"
#include "../../litert/tflite_c.h"
#include "../saved.h"

extern "C" {
TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                              size_t options, void (*report)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);
}

namespace {

struct FreedArray {
  void operator()(TfLiteIntArray* p) const { std::free(p); }
};
using IntArray = std::unique_ptr<TfLiteIntArray, FreedArray>;

inline IntArray int_array(const std::vector<int>& values) {
  void* memory = std::malloc(sizeof(TfLiteIntArray) + values.size() * sizeof(int));
  IntArray array(static_cast<TfLiteIntArray*>(memory));
  array->size = static_cast<int>(values.size());
  std::copy(values.begin(), values.end(), array->data);
  return array;
}

// One node of the operator, and the tensors that it reads and writes.
class FakedRuntime {
 public:
  FakedRuntime() {
    context.GetExecutionPlan = get_plan;
    context.GetNodeAndRegistration = get_node;
    context.ReplaceNodeSubsetsWithDelegateKernels = replace;
    context.ResizeTensor = resize;
    context.ReportError = report;
    context.impl = this;
    node_registration = *ksr_register();
  }
  ~FakedRuntime() {
    if (kernel.free && node.user_data) kernel.free(&context, node.user_data);
    for (TfLiteTensor& tensor : tensors) std::free(tensor.dims);
  }
  FakedRuntime(const FakedRuntime&) = delete;

  // Adds a tensor whose memory ends where its numbers end; returns its number.
  int add(int32_t type, const std::vector<int>& sizes, const void* data = nullptr,
          bool constant = false) {
    TfLiteTensor tensor = {};
    tensor.type = type;
    tensor.allocation_type = constant ? kTfLiteMmapRo : 2;
    tensors.push_back(tensor);
    memories.emplace_back(nullptr, 0);
    set_sizes(&tensors.back(), int_array(sizes).release());
    if (data && tensors.back().bytes)
      std::memcpy(memories.back().data(), data, tensors.back().bytes);
    context.tensors = tensors.data();
    context.tensors_size = tensors.size();
    return static_cast<int>(tensors.size()) - 1;
  }

  void connect(const std::vector<int>& in, const std::vector<int>& out) {
    inputs = int_array(in);
    outputs = int_array(out);
    node.inputs = inputs.get();
    node.outputs = outputs.get();
  }

  // As a program that registers the operator; then prepare and invoke.
  int32_t register_operator() {
    kernel = *ksr_register();
    node.user_data = kernel.init(&context, nullptr, 0);
    return kTfLiteOk;
  }
  // As a runtime that is given the delegate. `unread`: outputs that nobody reads.
  int32_t apply_delegate(const std::vector<int>& unread = {}) {
    this->unread = unread;
    delegate.reset(tflite_plugin_create_delegate(nullptr, nullptr, 0, nullptr));
    return delegate->Prepare(&context, delegate.get());
  }
  int32_t prepare() { return kernel.prepare(&context, &node); }
  int32_t invoke() { return kernel.invoke(&context, &node); }

  float* floats(int tensor) { return static_cast<float*>(tensors[tensor].data); }

  TfLiteContext context = {};
  std::vector<TfLiteTensor> tensors;
  std::vector<Saved> memories;
  TfLiteNode node = {};
  IntArray inputs, outputs, plan = int_array({0}), one = int_array({0}), read;
  TfLiteRegistration kernel = {}, node_registration = {};
  std::vector<int> unread;
  std::string error;

 private:
  struct Destroyed {
    void operator()(TfLiteDelegate* p) const { tflite_plugin_destroy_delegate(p); }
  };
  std::unique_ptr<TfLiteDelegate, Destroyed> delegate;

  static FakedRuntime& of(TfLiteContext* context) {
    return *static_cast<FakedRuntime*>(context->impl);
  }
  void set_sizes(TfLiteTensor* tensor, TfLiteIntArray* sizes) {
    std::free(tensor->dims);
    tensor->dims = sizes;
    size_t bytes = tensor->type == kTfLiteFloat32 ? 4 : 1;
    for (int i = 0; i < sizes->size; ++i) bytes *= std::max(sizes->data[i], 0);
    Saved& memory = memories[tensor - tensors.data()];
    memory = Saved(nullptr, bytes);
    tensor->bytes = bytes;
    tensor->data = memory.data();
  }

  static int32_t get_plan(TfLiteContext* context, TfLiteIntArray** plan) {
    *plan = of(context).plan.get();
    return kTfLiteOk;
  }
  static int32_t get_node(TfLiteContext* context, int, TfLiteNode** node,
                          TfLiteRegistration** registration) {
    *node = &of(context).node;
    *registration = &of(context).node_registration;
    return kTfLiteOk;
  }
  static int32_t replace(TfLiteContext* context, TfLiteRegistration registration,
                         const TfLiteIntArray* nodes, TfLiteDelegate* delegate) {
    FakedRuntime& self = of(context);
    expect(nodes->size == 1, "nodes at a time", nodes->size, 1);
    TfLiteDelegateParams params = {delegate, const_cast<TfLiteIntArray*>(nodes), nullptr, nullptr};
    self.kernel = registration;
    self.node.user_data =
        registration.init(context, reinterpret_cast<const char*>(&params), sizeof params);
    std::vector<int> read;
    for (int i = 0; i < self.outputs->size; ++i) {
      const int number = self.outputs->data[i];
      const auto& unread = self.unread;
      if (std::find(unread.begin(), unread.end(), number) == unread.end()) read.push_back(number);
      else self.tensors[number].data = nullptr;
    }
    self.read = int_array(read);
    self.node.outputs = self.read.get();
    return kTfLiteOk;
  }
  static int32_t resize(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* sizes) {
    of(context).set_sizes(tensor, sizes);
    return kTfLiteOk;
  }
  static void report(TfLiteContext* context, const char* text, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, text);
    std::vsnprintf(line, sizeof line, text, arguments);
    va_end(arguments);
    of(context).error += line;
  }
};

// A cell as the operator takes it: the bytes of a file in a matrix of `units` columns.
struct CellMatrix {
  CellMatrix(const Saved& file, int64_t units)
      : rows(static_cast<int>((file.size() + units - 1) / units)), bytes(rows * units) {
    std::memcpy(bytes.data(), file.data(), file.size());
  }
  int rows;
  std::vector<char> bytes;
};

}  // namespace

#endif  // KERAS_SPARSE_RNN_TESTS_LITERT_FAKED_H_
