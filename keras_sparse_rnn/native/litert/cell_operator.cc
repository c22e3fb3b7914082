#include "cell_operator.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ksr {
namespace {

constexpr size_t kChecksumAt = 16, kHeader = 24;  // docs/format.md

[[gnu::format(printf, 3, 4)]] bool refuse(ksr_error* error, int32_t status, const char* text, ...) {
  error->status = status;
  va_list arguments;
  va_start(arguments, text);
  std::vsnprintf(error->text, sizeof error->text, text, arguments);
  va_end(arguments);
  return false;
}

void* aligned(size_t size) {
  void* memory = nullptr;
  return posix_memalign(&memory, KSR_ALIGNMENT, size) ? nullptr : memory;
}

// Memory that is read in each step. Small pages lie anywhere in physical memory, where some push
// others out of a cache that has room for all: in an LSTM of 660 KB, a step took 3.2 microseconds
// or 4.1, as it came. A huge page does not, so large cells get some where the system gives any.
void* read_often(size_t size) {
#ifdef __linux__
  constexpr size_t kHuge = 2 << 20, kLarge = kHuge / 4;
  if (size >= kLarge) {
    const size_t whole = (size + kHuge - 1) / kHuge * kHuge;
    void* memory = nullptr;
    if (!posix_memalign(&memory, kHuge, whole)) {
      madvise(memory, whole, MADV_HUGEPAGE);
      return memory;
    }
  }
#endif
  return aligned(size);
}

const char* name_of(int input, int states) {
  static const char* const kNames[] = {"x", "the cell", "h", "c"};
  return input < 2 + states ? kNames[input] : "the mask";
}

bool check_input(const OperatorTensor& tensor, const char* name, Numbers numbers, int32_t rows,
                 int32_t columns, bool sizes_only, ksr_error* error) {
  if (!sizes_only && tensor.numbers != numbers)
    return refuse(error, KSR_BAD_CHOICE, "%s must be of %s", name,
                  numbers == Numbers::kBool    ? "bool"
                  : numbers == Numbers::kUint8 ? "uint8"
                                               : "float32");
  if (tensor.axes != 2 || tensor.sizes[0] != rows || tensor.sizes[1] != columns)
    return refuse(error, KSR_BAD_SIZE,
                  "%s must have the sizes %d x %d, by x and the cell; it has %d axes, %d x %d",
                  name, rows, columns, tensor.axes, tensor.axes > 0 ? tensor.sizes[0] : 0,
                  tensor.axes > 1 ? tensor.sizes[1] : 0);
  return true;
}

// Whether the bytes of x, and of an output of so many units, can be counted.
bool can_be(const OperatorTensor& x, int32_t units) {
  const int last = x.axes - 1;
  int64_t most = PTRDIFF_MAX / 4 / (x.sizes[last] > units ? x.sizes[last] : units);
  for (int axis = 0; axis < last; ++axis)
    if (x.sizes[axis]) most /= x.sizes[axis];
  return most > 0;
}

bool fits(const CellOperator::Wanted& wanted, int64_t inputs, int64_t units, int64_t states,
          ksr_error* error) {
  if (states != wanted.states)
    return refuse(error, KSR_BAD_SIZE, "the cell has %d states; there are %d",
                  static_cast<int>(states), wanted.states);
  if (inputs != wanted.inputs || units != wanted.units)
    return refuse(error, KSR_BAD_SIZE,
                  "the cell has %lld inputs and %lld units; x has %d inputs, and the matrix that "
                  "the cell lies in has %d columns",
                  static_cast<long long>(inputs), static_cast<long long>(units), wanted.inputs,
                  wanted.units);
  return true;
}

}  // namespace

bool CellOperator::output_sizes(const OperatorTensor* inputs, int input_count, int output_count,
                                Sizes* outputs, bool sizes_only, ksr_error* error) {
  const int states = output_count - 1;
  const bool masked = states > 0 && input_count == 3 + states;
  if (states < 0 || states > kMostStates || (input_count != 2 + states && !masked))
    return refuse(error, KSR_BAD_SIZE,
                  "1 to %d outputs and as many inputs, one more, and a mask or none are wanted; "
                  "there are %d outputs and %d inputs",
                  kMostOutputs, output_count, input_count);
  const OperatorTensor &x = inputs[0], &cell = inputs[1];
  if (!sizes_only && x.numbers != Numbers::kFloat32)
    return refuse(error, KSR_BAD_CHOICE, "x must be of float32");
  if (states ? x.axes != 3 : x.axes < 1 || x.axes > kMostAxes)
    return refuse(error, KSR_BAD_SIZE, "x must have %s axes; it has %d", states ? "3" : "1 to 8",
                  x.axes);
  for (int axis = 0; axis < x.axes; ++axis)
    if (x.sizes[axis] < 0)
      return refuse(error, KSR_BAD_SIZE, "axis %d of x has the size %d", axis, x.sizes[axis]);
  if (cell.axes != 2 || cell.sizes[0] < 1 || cell.sizes[1] < 1)
    return refuse(error, KSR_BAD_SIZE, "the cell must be a matrix of bytes; it has %d axes",
                  cell.axes);
  const int32_t units = cell.sizes[1];
  if (!can_be(x, units))
    return refuse(error, KSR_BAD_SIZE, "x has more numbers than memory can have");
  if (!check_input(cell, "the cell", Numbers::kUint8, cell.sizes[0], units, sizes_only, error))
    return false;
  for (int i = 2; i < input_count; ++i) {
    const bool mask = i == 2 + states;
    if (!check_input(inputs[i], name_of(i, states), mask ? Numbers::kBool : Numbers::kFloat32,
                     x.sizes[0], mask ? x.sizes[1] : units, sizes_only, error))
      return false;
  }
  outputs[0].axes = x.axes;
  std::memcpy(outputs[0].sizes, x.sizes, x.axes * sizeof *x.sizes);
  outputs[0].sizes[x.axes - 1] = units;
  for (int i = 1; i < output_count; ++i) outputs[i] = {2, {x.sizes[0], units}};
  return true;
}

bool CellOperator::has_checksum_of(const OperatorTensor& cell) const {
  uint64_t sum = 0;
  if (!cell_ || cell.bytes != bytes_) return false;
  std::memcpy(&sum, static_cast<const char*>(cell.data) + kChecksumAt, sizeof sum);
  return sum == checksum_;
}

bool CellOperator::prepare(const OperatorTensor* inputs, int output_count, ksr_error* error) {
  const OperatorTensor &x = inputs[0], &cell = inputs[1];
  const Wanted wanted = {x.sizes[x.axes - 1], cell.sizes[1], output_count - 1};
  if (cell_ && is_of(cell.data) && has_checksum_of(cell))
    return fits(wanted, facts_.inputs, facts_.units, facts_.states, error);
  clear();
  if (!cell.data || cell.bytes < kHeader)
    return refuse(error, KSR_BAD_FILE, "the cell has %zu bytes, too few for one", cell.bytes);
  const void* file = cell.data;
  void* copy = nullptr;
  if (reinterpret_cast<uintptr_t>(file) % KSR_ALIGNMENT) {
    copy = aligned(cell.bytes);
    if (!copy) return refuse(error, KSR_NO_MEMORY, "no memory for %zu bytes", cell.bytes);
    file = std::memcpy(copy, cell.data, cell.bytes);
  }
  const bool done = read(file, cell.bytes, wanted, error);
  std::free(copy);
  if (!done) {
    clear();
    return false;
  }
  place_ = cell.data;
  bytes_ = cell.bytes;
  std::memcpy(&checksum_, static_cast<const char*>(cell.data) + kChecksumAt, sizeof checksum_);
  return true;
}

bool CellOperator::read(const void* file, size_t bytes, const Wanted& wanted, ksr_error* error) {
  ksr_description description;
  size_t size = 0;
  if (ksr_file_read(file, bytes, &description, error) != KSR_OK) return false;
  // Before anything is allocated: a cell without live blocks may say that it has any size.
  const int states = description.cell == KSR_DENSE ? 0 : description.cell == KSR_LSTM ? 2 : 1;
  if (!fits(wanted, description.kernel.inputs, description.kernel.units, states, error) ||
      ksr_cell_size(&description, &size, error) != KSR_OK)
    return false;
  void* memory = read_often(size);
  if (!memory) return refuse(error, KSR_NO_MEMORY, "no memory for a cell of %zu bytes", size);
  if (ksr_cell_prepare(&description, memory, size, &cell_, error) != KSR_OK) {
    cell_ = nullptr;
    std::free(memory);
    return false;
  }
  ksr_cell_describe(cell_, &facts_);
  memory = aligned(facts_.state_size);
  if (!memory) return refuse(error, KSR_NO_MEMORY, "no memory for a state");
  if (ksr_state_init(cell_, memory, facts_.state_size, nullptr, nullptr, &state_) == KSR_OK)
    return true;
  std::free(memory);
  return refuse(error, KSR_NO_PROCESSOR, "%s", ksr_status_text(KSR_NO_PROCESSOR));
}

bool CellOperator::run(const OperatorTensor* inputs, int input_count, const OperatorTensor* outputs,
                       int output_count, ksr_error* error) const {
  const OperatorTensor& tensor = inputs[0];
  const int states = output_count - 1;
  const bool* mask =
      input_count == 3 + states ? static_cast<const bool*>(inputs[2 + states].data) : nullptr;
  int64_t samples = 1, steps = 1;
  for (int axis = 0; axis + 1 < tensor.axes; ++axis)
    (states && axis == 0 ? samples : steps) *= tensor.sizes[axis];
  const int64_t units = facts_.units;
  const float* x = static_cast<const float*>(tensor.data);
  float* y = static_cast<float*>(outputs[0].data);
  ksr_status status = KSR_OK;
  const auto state_of = [&](const OperatorTensor* tensors, int i, int64_t sample) {
    float* data = i < states ? static_cast<float*>(tensors[i].data) : nullptr;
    return data ? data + sample * units : nullptr;
  };
  for (int64_t sample = 0; sample < samples && status == KSR_OK; ++sample) {
    if (states)
      status = ksr_state_write(cell_, state_, state_of(inputs + 2, 0, sample),
                               state_of(inputs + 2, 1, sample));
    for (int64_t t = 0, end = 0; t < steps && status == KSR_OK; t = end) {
      const bool counts = !mask || mask[t];
      for (end = mask ? t + 1 : steps; end < steps && mask[end] == counts;) ++end;
      if (counts) {
        status = ksr_run(cell_, state_, x + t * facts_.inputs, end - t, y + t * units);
        continue;
      }
      for (int64_t step = t; step < end; ++step) {
        if (t) std::memcpy(y + step * units, y + (t - 1) * units, units * sizeof *y);
        else std::memset(y + step * units, 0, units * sizeof *y);
      }
    }
    if (status == KSR_OK && states)
      status = ksr_state_read(cell_, state_, state_of(outputs + 1, 0, sample),
                              state_of(outputs + 1, 1, sample));
    x += steps * facts_.inputs;
    y += steps * units;
    if (mask) mask += steps;
  }
  return status == KSR_OK || refuse(error, status, "%s", ksr_status_text(status));
}

void CellOperator::clear() {
  std::free(const_cast<ksr_cell*>(cell_));
  std::free(state_);
  *this = {};
}

}  // namespace ksr
