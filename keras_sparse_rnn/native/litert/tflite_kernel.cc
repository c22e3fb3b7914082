#include "tflite_kernel.h"

#include <cstdlib>
#include <cstring>

#include "cell_operator.h"
#include "ksr_litert.h"

namespace ksr {
namespace {

// The tensors of a node, by their numbers; counts are those of the node, also where they are more
// than the operator has.
struct Edges {
  int input_count, output_count;
  int inputs[kMostInputs], outputs[kMostOutputs];
};

int copy(const TfLiteIntArray* from, int* to, int most) {
  if (!from) return 0;
  for (int i = 0; i < from->size && i < most; ++i) to[i] = from->data[i];
  return from->size;
}

void copy(const TfLiteNode& node, Edges* edges) {
  edges->input_count = copy(node.inputs, edges->inputs, kMostInputs);
  edges->output_count = copy(node.outputs, edges->outputs, kMostOutputs);
}

struct Kernel {
  CellOperator cell_operator;
  Edges edges;
  bool delegated;  // the edges are those of the node that was replaced
  // Outputs of a replaced node that nobody reads: the runtime gives no memory for those. A state is
  // not written then, and y goes into memory of the kernel's own.
  bool unread[kMostOutputs];
  void* y;
  size_t y_bytes;
};

int32_t report(TfLiteContext* context, const char* text) {
  context->ReportError(context, "%s: %s", kOperatorName, text);
  return kTfLiteError;
}

struct Tensors {
  OperatorTensor inputs[kMostInputs], outputs[kMostOutputs];
};

bool view(TfLiteContext* context, int number, OperatorTensor* to, bool* constant) {
  if (number < 0 || static_cast<size_t>(number) >= context->tensors_size) return false;
  const TfLiteTensor& tensor = context->tensors[number];
  if (!tensor.dims || tensor.dims->size < 0 || tensor.dims->size > kMostAxes) return false;
  to->numbers = tensor.type == kTfLiteFloat32 ? Numbers::kFloat32
                : tensor.type == kTfLiteUInt8 ? Numbers::kUint8
                : tensor.type == kTfLiteBool  ? Numbers::kBool
                                              : Numbers::kOther;
  to->axes = tensor.dims->size;
  to->sizes = tensor.dims->data;
  to->data = tensor.data;
  to->bytes = tensor.bytes;
  *constant = tensor.allocation_type == kTfLiteMmapRo;
  return true;
}

// Null, or what is wrong.
const char* view(TfLiteContext* context, const Edges& edges, Tensors* tensors) {
  if (edges.input_count < 2 || edges.input_count > kMostInputs || edges.output_count < 1 ||
      edges.output_count > kMostOutputs)
    return "a node must have 2 to 5 inputs and 1 to 3 outputs";
  if (!context->tensors) return "the runtime lays out its tensors in another way";
  bool constant = false;
  for (int i = 0; i < edges.input_count; ++i) {
    if (!view(context, edges.inputs[i], tensors->inputs + i, &constant))
      return "an input must be a tensor of 0 to 8 axes";
    if (i == 1 && !constant) return "the cell must be a constant of the file";
  }
  for (int i = 0; i < edges.output_count; ++i)
    if (!view(context, edges.outputs[i], tensors->outputs + i, &constant))
      return "an output must be a tensor of 0 to 8 axes";
  return nullptr;
}

// Whether a tensor has memory for as many numbers of 4 bytes (1 of a mask) as its sizes say.
bool is_whole(const OperatorTensor& tensor) {
  uint64_t bytes = tensor.numbers == Numbers::kFloat32 ? 4 : 1;
  for (int axis = 0; axis < tensor.axes; ++axis) bytes *= tensor.sizes[axis];
  return bytes == 0 || (tensor.data && tensor.bytes >= bytes);
}

Edges edges_of(const TfLiteNode& node) {
  const auto* kernel = static_cast<const Kernel*>(node.user_data);
  if (kernel->delegated) return kernel->edges;
  Edges edges = {};
  copy(node, &edges);
  return edges;
}

bool lists(const TfLiteIntArray* numbers, int number) {
  for (int i = 0; numbers && i < numbers->size; ++i)
    if (numbers->data[i] == number) return true;
  return false;
}

// Which outputs are unread, and memory for y where it is. False where there is none.
bool find_unread(const TfLiteNode& node, const Edges& edges, const Sizes& y, Kernel* kernel) {
  for (int i = 0; i < edges.output_count; ++i)
    kernel->unread[i] = kernel->delegated && !lists(node.outputs, edges.outputs[i]);
  size_t bytes = sizeof(float);
  for (int axis = 0; axis < y.axes; ++axis) bytes *= y.sizes[axis];
  if (!kernel->unread[0] || bytes <= kernel->y_bytes) return true;
  std::free(kernel->y);
  kernel->y = std::malloc(bytes);
  kernel->y_bytes = kernel->y ? bytes : 0;
  return kernel->y;
}

void* init_node(TfLiteContext*, const char*, size_t) { return std::calloc(1, sizeof(Kernel)); }

void* init_delegated(TfLiteContext* context, const char* buffer, size_t) {
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  auto* kernel = static_cast<Kernel*>(std::calloc(1, sizeof(Kernel)));
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (!kernel || !params->nodes_to_replace || params->nodes_to_replace->size != 1 ||
      context->GetNodeAndRegistration(context, params->nodes_to_replace->data[0], &node,
                                      &registration) != kTfLiteOk) {
    std::free(kernel);
    return nullptr;
  }
  kernel->delegated = true;
  copy(*node, &kernel->edges);
  return kernel;
}

void destroy(TfLiteContext*, void* buffer) {
  auto* kernel = static_cast<Kernel*>(buffer);
  if (!kernel) return;
  kernel->cell_operator.clear();
  std::free(kernel->y);
  std::free(kernel);
}

int32_t prepare(TfLiteContext* context, TfLiteNode* node) {
  if (!node->user_data) return report(context, "there is no memory, or no node to replace");
  auto& kernel = *static_cast<Kernel*>(node->user_data);
  const Edges edges = edges_of(*node);
  Tensors tensors;
  ksr_error error = {};
  if (const char* wrong = view(context, edges, &tensors)) return report(context, wrong);
  Sizes sizes[kMostOutputs];
  if (!CellOperator::output_sizes(tensors.inputs, edges.input_count, edges.output_count, sizes,
                                  false, &error) ||
      !is_whole(tensors.inputs[1]) ||
      !kernel.cell_operator.prepare(tensors.inputs, edges.output_count, &error))
    return report(context, *error.text ? error.text : "the cell is cut short");
  if (!find_unread(*node, edges, sizes[0], &kernel)) return report(context, "there is no memory");
  for (int i = 0; i < edges.output_count; ++i) {
    if (kernel.unread[i]) continue;
    TfLiteTensor* output = context->tensors + edges.outputs[i];
    if (output->type != kTfLiteFloat32) return report(context, "outputs must be of float32");
    const size_t bytes = sizes[i].axes * sizeof(int32_t);
    auto* array = static_cast<TfLiteIntArray*>(std::malloc(sizeof(TfLiteIntArray) + bytes));
    if (!array) return report(context, "there is no memory");
    array->size = sizes[i].axes;
    std::memcpy(array->data, sizes[i].sizes, bytes);
    const int32_t status = context->ResizeTensor(context, output, array);
    if (status != kTfLiteOk) return status;
  }
  return kTfLiteOk;
}

int32_t invoke(TfLiteContext* context, TfLiteNode* node) {
  const auto& kernel = *static_cast<const Kernel*>(node->user_data);
  const Edges edges = edges_of(*node);
  Tensors tensors;
  ksr_error error = {};
  if (const char* wrong = view(context, edges, &tensors)) return report(context, wrong);
  for (int i = 0; i < edges.input_count; ++i)
    if (!is_whole(tensors.inputs[i])) return report(context, "an input has no memory");
  for (int i = 0; i < edges.output_count; ++i) {
    if (kernel.unread[i]) tensors.outputs[i].data = i ? nullptr : kernel.y;
    else if (!is_whole(tensors.outputs[i])) return report(context, "an output has no memory");
  }
  if (!kernel.cell_operator.is_of(tensors.inputs[1].data))
    return report(context, "the cell was moved after it was prepared");
  if (!kernel.cell_operator.run(tensors.inputs, edges.input_count, tensors.outputs,
                                edges.output_count, &error))
    return report(context, error.text);
  return kTfLiteOk;
}

}  // namespace

TfLiteRegistration node_kernel() {
  TfLiteRegistration kernel = {};
  kernel.init = init_node;
  kernel.free = destroy;
  kernel.prepare = prepare;
  kernel.invoke = invoke;
  kernel.builtin_code = kTfLiteBuiltinCustom;
  kernel.custom_name = kOperatorName;
  kernel.version = kOperatorVersion;
  return kernel;
}

TfLiteRegistration delegate_kernel() {
  TfLiteRegistration kernel = node_kernel();
  kernel.init = init_delegated;
  kernel.builtin_code = kTfLiteBuiltinDelegate;
  kernel.custom_name = "KsrDelegate";
  return kernel;
}

}  // namespace ksr

static TfLiteRegistration registration = ksr::node_kernel();

extern "C" TfLiteRegistration* ksr_register(void) noexcept { return &registration; }
