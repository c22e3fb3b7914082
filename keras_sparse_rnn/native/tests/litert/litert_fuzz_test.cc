// Random damage to the cell of an operator, and to the tensors around it: refused in words when it
// is prepared, or run, but nothing is read or written past an end, which AddressSanitizer watches.
//   litert_fuzz_test [mutations]
#include "../damage.h"
#include "faked.h"

namespace {

constexpr int kMutations = 10000;

struct Whole {
  Saved file{nullptr, 0};
  int inputs, units, states;
};

Whole random_cell() {
  const int inputs = static_cast<int>(pick(1, 30)), units = static_cast<int>(pick(1, 30));
  const int *shape = kShapes[pick(0, kShapeCount - 1)], *other = kShapes[pick(0, kShapeCount - 1)];
  const int32_t types[] = {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8};
  const double density = static_cast<double>(pick(0, 3)) / 4;
  Described d(kRecurrentCells[pick(0, 4)], 1, inputs, units, shape, other, density, pick(0, 1),
              types[pick(0, 2)]);
  d.description.activations = pick(0, 1) ? KSR_INT8 : KSR_FLOAT32;
  if (d.description.kernel.gates == 1 && !pick(0, 1)) d.description.cell = KSR_DENSE;
  const int states = d.description.cell == KSR_DENSE ? 0 : d.description.cell == KSR_LSTM ? 2 : 1;
  return {file_of(d.description), inputs, units, states};
}

// Now and then a size, a type or a number of tensors that does not fit.
int odd(int64_t value) { return static_cast<int>(pick(0, 60) ? value : pick(-1, 40)); }
int32_t odd_type(int32_t type) { return pick(0, 60) ? type : static_cast<int32_t>(pick(0, 9)); }

struct Counts2 {
  int refused = 0, run = 0;
};

void try_one(const Whole& whole, const Saved& file, Counts2* counts) {
  const CellMatrix cell(file, whole.units);
  const int batch = static_cast<int>(pick(1, 2)), steps = static_cast<int>(pick(0, 3));
  FakedRuntime runtime;
  const int32_t type = odd_type(kTfLiteUInt8);
  std::vector<int> in, out;
  if (whole.states || !pick(0, 1))
    in.push_back(runtime.add(odd_type(kTfLiteFloat32), {batch, steps, odd(whole.inputs)}));
  else in.push_back(runtime.add(odd_type(kTfLiteFloat32), {odd(whole.inputs)}));
  in.push_back(runtime.add(type, {cell.rows, whole.units},
                           type == kTfLiteUInt8 ? cell.bytes.data() : nullptr, pick(0, 60)));
  if (!pick(0, 30)) runtime.tensors[in.back()].bytes = pick(0, 100);
  for (int i = odd(whole.states); i > 0; --i)
    in.push_back(runtime.add(odd_type(kTfLiteFloat32), {odd(batch), odd(whole.units)}));
  if (!pick(0, 3) && whole.states)
    in.push_back(runtime.add(odd_type(kTfLiteBool), {odd(batch), odd(steps)}));
  for (int i = odd(1 + whole.states); i > 0; --i)
    out.push_back(runtime.add(odd_type(kTfLiteFloat32), {1}));
  if (!pick(0, 60)) in.push_back(static_cast<int>(pick(-2, 99)));
  for (TfLiteTensor& tensor : runtime.tensors)
    if (tensor.type != kTfLiteUInt8 && tensor.bytes) std::memset(tensor.data, 0, tensor.bytes);
  runtime.connect(in, out);
  if (pick(0, 1)) runtime.register_operator();
  else if (runtime.apply_delegate() != kTfLiteOk) return;
  if (runtime.prepare() != kTfLiteOk) {
    ++counts->refused;
    expect(runtime.error.rfind("KsrCell: ", 0) == 0 && runtime.error.size() > 9,
           "words of a refusal", 0, 1);
    return;
  }
  expect(runtime.invoke() == kTfLiteOk, runtime.error.c_str(), 0, 1);
  ++counts->run;
}

}  // namespace

int main(int count, char** arguments) {
  if (processor_is_missing()) return kSkipped;
  const int mutations = count > 1 ? std::atoi(arguments[1]) : kMutations;
  Counts2 counts;
  Whole whole = random_cell();
  for (int i = 0; i < mutations; ++i) {
    if (i % 20 == 0) whole = random_cell();
    about = "mutation " + std::to_string(i);
    Saved file = damaged(whole.file, 320, [](const Saved& saved) { saved.sum_file(); });
    if (!pick(0, 3)) file = whole.file.copy(whole.file.size());
    try_one(whole, file, &counts);
  }
  std::printf("%d run, %d refused\n", counts.run, counts.refused);
  expect(counts.run > mutations / 10 && counts.refused > mutations / 10, "mutations of all kinds",
         counts.run, counts.refused);
  return failures != 0;
}
