// The operator in a faked CompiledModel, whose functions for tensor buffers this program has: the
// bits of ksr_run, each cell prepared once; damage is refused in words, and outputs are NaN then.
#include "../../litert/ksr_litert.h"
#include "../../litert/litert_c.h"
#include "../damage.h"

struct LiteRtTensorBufferT {
  int32_t type;
  std::vector<int> sizes;
  Saved memory;
  bool locked = false, refused = false;
};

extern "C" {
int32_t LiteRtLockTensorBuffer(LiteRtTensorBuffer buffer, void** memory, int32_t) {
  if (buffer->locked || buffer->refused) return kLiteRtStatusErrorRuntimeFailure;
  buffer->locked = true;
  *memory = buffer->memory.data();
  return kLiteRtStatusOk;
}
int32_t LiteRtUnlockTensorBuffer(LiteRtTensorBuffer buffer) {
  buffer->locked = false;
  return kLiteRtStatusOk;
}
int32_t LiteRtGetTensorBufferTensorType(LiteRtTensorBuffer buffer,
                                                 LiteRtRankedTensorType* type) {
  *type = {};
  type->element_type = buffer->type;
  type->layout.rank = static_cast<unsigned>(buffer->sizes.size());
  std::copy(buffer->sizes.begin(), buffer->sizes.end(), type->layout.dimensions);
  return kLiteRtStatusOk;
}
int32_t LiteRtGetTensorBufferPackedSize(LiteRtTensorBuffer buffer, size_t* size) {
  *size = buffer->memory.size();
  return kLiteRtStatusOk;
}
}

namespace {

const LiteRtCustomOpKernel& kernel() {
  return *static_cast<const LiteRtCustomOpKernel*>(ksr_compiled_kernel());
}

LiteRtTensorBufferT buffer(int32_t type, const std::vector<int>& sizes,
                           const void* data = nullptr) {
  size_t bytes = type == kLiteRtElementTypeFloat32 ? 4 : 1;
  for (const int size : sizes) bytes *= size;
  LiteRtTensorBufferT made = {type, sizes, Saved(data, bytes)};
  if (!data) std::memset(made.memory.data(), 0, bytes);
  return made;
}

// A node: its buffers, those of the outputs by the sizes that the kernel answers.
struct Node {
  Node(void* operators, const Saved& file, int inputs, int units, int states, int steps) {
    const int rows = static_cast<int>((file.size() + units - 1) / units);
    std::vector<char> bytes(rows * units);
    std::memcpy(bytes.data(), file.data(), file.size());
    in.push_back(buffer(kLiteRtElementTypeFloat32, {1, steps, inputs}));
    for (int i = 0; i < steps * inputs; ++i)
      reinterpret_cast<float*>(in[0].memory.data())[i] = static_cast<float>(i % 7) / 7.0f;
    in.push_back(buffer(kLiteRtElementTypeUInt8, {rows, units}, bytes.data()));
    for (int i = 0; i < states; ++i) in.push_back(buffer(kLiteRtElementTypeFloat32, {1, units}));
    std::vector<LiteRtLayout> sizes, answers(1 + states);
    for (LiteRtTensorBufferT& one : in) {
      LiteRtRankedTensorType type;
      LiteRtGetTensorBufferTensorType(&one, &type);
      sizes.push_back(type.layout);
    }
    status = kernel().GetOutputLayouts(operators, sizes.size(), sizes.data(), answers.size(),
                                       answers.data());
    for (const LiteRtLayout& answer : answers)
      out.push_back(buffer(
          kLiteRtElementTypeFloat32,
          std::vector<int>(answer.dimensions, answer.dimensions + answer.rank)));
  }

  int32_t run(void* operators) {
    std::vector<LiteRtTensorBuffer> ins, outs;
    for (LiteRtTensorBufferT& one : in) ins.push_back(&one);
    for (LiteRtTensorBufferT& one : out) outs.push_back(&one);
    const int32_t result =
        kernel().Run(operators, ins.size(), ins.data(), outs.size(), outs.data());
    for (const LiteRtTensorBufferT& one : in) expect(!one.locked, "unlocked", 0, 1);
    for (const LiteRtTensorBufferT& one : out) expect(!one.locked, "unlocked", 0, 1);
    return result;
  }

  std::vector<LiteRtTensorBufferT> in, out;
  int32_t status;
};

void try_cells(void* operators) {
  for_every_kind(3, [&](Described& d, int) {
    const int states = d.description.cell == KSR_LSTM ? 2 : 1;
    const int inputs = static_cast<int>(d.description.kernel.inputs);
    Node node(operators, file_of(d.description), inputs, 43, states, 3);
    expect(node.status == kLiteRtStatusOk, "layouts", node.status, 0);
    const float* x = reinterpret_cast<const float*>(node.in[0].memory.data());
    Stream stream(d.description);
    const Floats wanted = stream.run(Floats(x, x + 3 * d.description.kernel.inputs));
    for (int i = 0; i < 2; ++i) {
      expect(node.run(operators) == kLiteRtStatusOk, ksr_compiled_error(operators), 0, 1);
      expect(!std::memcmp(node.out[0].memory.data(), wanted.data(), wanted.size() * 4), "y", 0, 1);
    }
    const Floats h = stream.read(false);
    expect(!std::memcmp(node.out[1].memory.data(), h.data(), h.size() * 4), "h", 0, 1);
  });
}

void try_damage(void* operators, int mutations) {
  const int shape[] = {4, 8};
  Described d(ksr::Cell::kLstm, 1, 21, 17, shape, shape, 0.5, true, KSR_INT8);
  const Saved whole = file_of(d.description);
  int refused = 0;
  for (int i = 0; i < mutations; ++i) {
    about = "mutation " + std::to_string(i);
    const Saved file = damaged(whole, 320, [](const Saved& saved) { saved.sum_file(); });
    Node node(operators, file, 21, 17, 2, 2);
    if (node.status != kLiteRtStatusOk || node.run(operators) == kLiteRtStatusOk) continue;
    ++refused;
    const std::string text = ksr_compiled_error(operators);
    expect(text.rfind("KsrCell: ", 0) == 0 && text.size() > 9, text.c_str(), 0, 1);
    const float* y = reinterpret_cast<const float*>(node.out[0].memory.data());
    expect(y[0] != y[0], "NaN", y[0], 0);
  }
  expect(refused > mutations / 2, "mutations that are refused", refused, mutations);
}

// Memory that the runtime does not give: the outputs that it gives are NaN.
void try_refused_buffers(void* operators) {
  const int shape[] = {4, 8};
  Described d(ksr::Cell::kLstm, 1, 21, 17, shape, shape, 0.5, true, KSR_FLOAT32);
  for (int refused = 0; refused < 7; ++refused) {
    about = "refused buffer " + std::to_string(refused);
    Node node(operators, file_of(d.description), 21, 17, 2, 2);
    (refused < 4 ? node.in[refused] : node.out[refused - 4]).refused = true;
    expect(node.run(operators) != kLiteRtStatusOk, "run", 0, 1);
    expect(!std::strcmp(ksr_compiled_error(operators),
                        "KsrCell: the runtime does not give the memory of a tensor"),
           ksr_compiled_error(operators), 0, 1);
    for (int i = 0; i < 3; ++i) {
      const float* y = reinterpret_cast<const float*>(node.out[i].memory.data());
      for (size_t k = 0; k < node.out[i].memory.size() / 4; ++k)
        expect((y[k] != y[k]) == (refused != 4 + i), "NaN", y[k], 0);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (processor_is_missing()) return kSkipped;
  void* operators = ksr_compiled_create();
  if (!freopen("/dev/null", "w", stderr)) return 1;
  try_cells(operators);
  expect(!*ksr_compiled_error(operators), ksr_compiled_error(operators), 0, 0);
  try_refused_buffers(operators);
  try_damage(operators, count > 1 ? std::atoi(arguments[1]) : 1000);
  kernel().Destroy(operators);
  ksr_compiled_destroy(operators);
  ksr_compiled_destroy(nullptr);
  return failures != 0;
}
