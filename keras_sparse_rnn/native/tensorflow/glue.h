// What every op needs from TensorFlow, wrapped so that nothing leaks: inputs, outputs, attributes, errors, registration.
#ifndef KERAS_SPARSE_RNN_TENSORFLOW_GLUE_H_
#define KERAS_SPARSE_RNN_TENSORFLOW_GLUE_H_

#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "../core/recurrent.h"
#include "tf_c_api.h"

namespace ksr {

// What an op throws when its inputs do not fit, and the core when sizes do not: becomes a TensorFlow InvalidArgumentError.
using InvalidArgument = std::invalid_argument;

// A tensor of the op, released at the end of its scope. The data are TensorFlow's and live as long as the op runs.
class Tensor {
 public:
  explicit Tensor(TF_Tensor* tensor, std::string name) : tensor_(tensor), name_(std::move(name)) {}
  Tensor(Tensor&& other) : tensor_(other.tensor_), name_(std::move(other.name_)) { other.tensor_ = nullptr; }
  ~Tensor() {
    if (tensor_) TF_DeleteTensor(tensor_);
  }

  TF_DataType type() const { return TF_TensorType(tensor_); }
  int rank() const { return TF_NumDims(tensor_); }
  int64_t dim(int i) const { return TF_Dim(tensor_, i); }
  int64_t elements() const;
  template <typename T>
  T* data() const { return static_cast<T*>(TF_TensorData(tensor_)); }
  // Throws InvalidArgument unless the tensor has this type and shape; -1 stands for any size.
  const Tensor& expect(TF_DataType type, std::initializer_list<int64_t> shape) const;
  // Whether nobody else holds the data by now. Not of an empty tensor.
  bool is_last() const { return TF_TensorMaybeMove(tensor_) != nullptr; }

 private:
  TF_Tensor* tensor_;
  std::string name_;
};

// Throws InvalidArgument unless the block numbers of the kernel `name` ascend and are in range.
void check_blocks(const std::string& name, const Packed& packed);

// Throws InvalidArgument unless the bias is empty or has the rows that such a cell has.
void expect_bias(const Tensor& bias, const prepared::CellRule& rule, int64_t units);

class Context {
 public:
  explicit Context(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
  ~Context() { TF_DeleteStatus(status_); }

  Tensor input(int index, const char* name);
  Tensor output(int index, std::initializer_list<int64_t> shape, TF_DataType type = TF_FLOAT);  // float32 or int32
  // The packed kernel at inputs `index` (values) and `index + 1` (blocks), checked, numbers included. The data stay
  // TensorFlow's, which holds its inputs as long as the op runs. `scales`: the input that holds them if the values are int8; without it values
  // must be float32.
  Packed packed(int index, const char* name, int64_t inputs, int64_t units, int gates, int scales = -1);
  void fail(TF_Code code, const std::string& message);

 private:
  void check();

  TF_OpKernelContext* context_;
  TF_Status* status_;
};

// Attributes of an op under construction.
int32_t int_attribute(TF_OpKernelConstruction* construction, const char* name);
float float_attribute(TF_OpKernelConstruction* construction, const char* name);
bool bool_attribute(TF_OpKernelConstruction* construction, const char* name);

// One dimension of an output's shape: dimension `dim` of input `input`, which has `rank` of them.
struct ShapePart {
  int input, rank, dim;
};

// What kernels of the forward ops are stored as.
inline constexpr char kWeightsAttribute[] = "W: {float, bfloat16, int8}";

struct OpSpec {
  const char* name;
  std::vector<const char*> inputs, outputs, attributes;
  void (*shapes)(TF_ShapeInferenceContext*, TF_Status*);
  void* (*create)(TF_OpKernelConstruction*);
  void (*compute)(void*, TF_OpKernelContext*);
  void (*destroy)(void*);
};

void register_op(const OpSpec& spec);
// Gives output `output` the shape that consists of these parts.
void set_output_shape(TF_ShapeInferenceContext* context, int output,
                      std::initializer_list<ShapePart> parts, TF_Status* status);

// Runs `op`, turning what it throws into the op's status.
template <typename Op>
void guarded(TF_OpKernelContext* tf_context, Op op) {
  Context context(tf_context);
  try {
    op(context);
  } catch (const InvalidArgument& error) {
    context.fail(TF_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    context.fail(TF_RESOURCE_EXHAUSTED, "keras_sparse_rnn: out of memory");
  } catch (const std::length_error&) {  // of a vector
    context.fail(TF_RESOURCE_EXHAUSTED, "keras_sparse_rnn: out of memory");
  }
}

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_TENSORFLOW_GLUE_H_
