// Every kind of bad input is refused with its code and a text with the numbers, and nothing is
// written.
#include "prepared.h"
#include "small.h"

namespace {

template <typename Change>
void refused(ksr_status status, const std::string& text, Change change) {
  Small small;
  change(small);
  ksr_error error = {};
  size_t size = 77;
  about = "(" + text + ")";
  expect_status(ksr_cell_size(&small.d, &size, &error), status);
  expect(error.status == status && text == error.text, error.text, error.status, status);
  expect(size == 77, "the size was written", static_cast<double>(size), 77);
  expect_status(ksr_cell_size(&small.d, &size, nullptr), status);
  const Memory memory = aligned(1 << 16);
  const ksr_cell* cell = reinterpret_cast<const ksr_cell*>(memory.get());
  expect_status(ksr_cell_prepare(&small.d, memory.get(), 1 << 16, &cell, &error), status);
  expect(!cell, "the cell was given", 1, 0);
}

void test_descriptions() {
  const float nan = std::nanf(""), infinite = INFINITY;
  refused(KSR_BAD_VERSION, "version is 2: this library is of version 1",
          [](Small& s) { s.d.version = 2; });
  refused(KSR_BAD_CHOICE, "cell is 6: it must be from 0 to 5", [](Small& s) { s.d.cell = 6; });
  refused(KSR_BAD_CHOICE, "activations is 1: it must be KSR_FLOAT32 or KSR_INT8",
          [](Small& s) { s.d.activations = KSR_BFLOAT16; });
  refused(KSR_BAD_CHOICE, "activation is -1: it must be from 0 to 6",
          [](Small& s) { s.d.cell = KSR_DENSE, s.d.activation = -1; });
  refused(KSR_BAD_CHOICE, "kernel.type is 3: it must be KSR_FLOAT32, KSR_BFLOAT16 or KSR_INT8",
          [](Small& s) { s.d.kernel.type = 3; });
  refused(KSR_BAD_SIZE, "kernel.inputs is 0: it must be from 1 to 16777216",
          [](Small& s) { s.d.kernel.inputs = 0; });
  refused(KSR_BAD_SIZE, "kernel.inputs is 65537: it must be from 1 to 65536",
          [](Small& s) { s.d.kernel.inputs = 65537, s.d.activations = KSR_INT8; });
  refused(KSR_BAD_SIZE, "kernel.units is 9223372036854775807: it must be from 1 to 16777216",
          [](Small& s) { s.d.kernel.units = INT64_MAX; });
  refused(KSR_BAD_SIZE, "recurrent.block_rows is -2: it must be from 1 to 16777216",
          [](Small& s) { s.d.recurrent.block_rows = -2; });
  refused(KSR_BAD_SIZE, "kernel.block_columns is 0: it must be from 1 to 16777216",
          [](Small& s) { s.d.kernel.block_columns = 0; });
  refused(KSR_BAD_SIZE, "kernel.gates is 4: this cell has 3",
          [](Small& s) { s.d.kernel.gates = 4; });
  refused(KSR_BAD_SIZE, "kernel.live is 13: it must be from 0 to 12",
          [](Small& s) { s.d.kernel.live = 13; });
  refused(KSR_BAD_SIZE, "kernel.live is -1: it must be from 0 to 12",
          [](Small& s) { s.d.kernel.live = -1; });
  refused(KSR_BAD_SIZE, "kernel has 211106232532992 blocks: at most 2^31 can be numbered",
          [](Small& s) {
            s.d.kernel.inputs = 1 << 24, s.d.kernel.units = 1 << 24, s.d.kernel.block_rows = 1,
            s.d.kernel.block_columns = 4;
          });
  refused(KSR_BAD_SIZE, "recurrent is [6, 3 * 5]: a cell of 5 units has [units, gates * units]",
          [](Small& s) { s.d.recurrent.inputs = 6; });
  refused(KSR_NULL, "kernel.values is null: there are 3 live blocks",
          [](Small& s) { s.d.kernel.values = nullptr; });
  refused(KSR_NULL, "recurrent.blocks is null: there are 3 live blocks",
          [](Small& s) { s.d.recurrent.blocks = nullptr; });
  refused(KSR_NULL, "recurrent.scales is null: there are 3 live blocks",
          [](Small& s) { s.d.recurrent.scales = nullptr; });
  refused(KSR_BAD_BLOCKS, "kernel.blocks[2] is 12: it must be from 0 to 11",
          [](Small& s) { s.blocks[2] = 12; });
  refused(KSR_BAD_BLOCKS, "kernel.blocks[0] is -1: it must be from 0 to 11",
          [](Small& s) { s.blocks[0] = -1; });
  refused(KSR_BAD_BLOCKS, "kernel.blocks[1] is 0 after 0: numbers must ascend",
          [](Small& s) { s.blocks[1] = 0; });
  refused(KSR_BAD_VALUE, "kernel.values[7] is no finite number",
          [=](Small& s) { s.values[7] = infinite; });
  refused(KSR_BAD_VALUE, "recurrent.scales[1] is nan: it must be a finite number",
          [=](Small& s) { s.scales[1] = nan; });
  refused(KSR_BAD_VALUE, "bias[29] is inf: it must be a finite number",
          [=](Small& s) { s.bias[29] = infinite; });
  refused(KSR_BAD_VALUE, "input_range is nan: it must be the largest input in absolute value, or 0",
          [=](Small& s) { s.d.activations = KSR_INT8, s.d.input_range = nan; });
  refused(KSR_BAD_VALUE, "input_range is -1: it must be the largest input in absolute value, or 0",
          [](Small& s) { s.d.activations = KSR_INT8, s.d.input_range = -1; });
  refused(KSR_BAD_VALUE, "input_range is 1e-31: it must be 1e-30 or more, or 0",
          [](Small& s) { s.d.activations = KSR_INT8, s.d.input_range = 1e-31f; });
}

// The bound is known only once the weights are packed.
void test_wide_pair() {
  Small small;
  about = "a pair";
  small.d.activations = KSR_INT8;
  small.bytes[1] = 127, small.bytes[5] = 3;  // block 0: rows 0 and 1 to unit 1
  size_t size;
  ksr_error error = {};
  expect_status(ksr_cell_size(&small.d, &size, &error), KSR_OK);
  const Memory memory = aligned(size);
  const ksr_cell* cell;
  expect_status(ksr_cell_prepare(&small.d, memory.get(), size, &cell, &error), KSR_BAD_VALUE);
  const std::string text =
      "recurrent: the int8 weights of inputs 0 and 1 to unit 1 of gate 0 are 127 and 3: with int8 "
      "activations their sum must be from "
      "-129 to 129";
  expect(text == error.text, error.text, 0, 0);
  small.bytes[5] = 2;
  expect_status(ksr_cell_prepare(&small.d, memory.get(), size, &cell, &error), KSR_OK);
}

void test_quantize() {
  about = "ksr_quantize";
  Small small;
  int8_t values[24];
  float scales[24];
  ksr_error error = {};
  expect_status(ksr_quantize(nullptr, values, scales, &error), KSR_NULL);
  expect_status(ksr_quantize(&small.d.kernel, nullptr, scales, &error), KSR_NULL);
  expect_status(ksr_quantize(&small.d.kernel, values, nullptr, &error), KSR_NULL);
  expect_status(ksr_quantize(&small.d.recurrent, values, scales, &error), KSR_BAD_CHOICE);
  small.d.kernel.gates = 5;
  expect_status(ksr_quantize(&small.d.kernel, values, scales, &error), KSR_BAD_SIZE);
  expect(std::string("matrix.gates is 5: it must be from 1 to 4") == error.text, error.text, 0, 0);
  small.d.kernel.gates = 3;
  small.values[23] = std::nanf("");
  expect_status(ksr_quantize(&small.d.kernel, values, scales, &error), KSR_BAD_VALUE);
}

void test_memory() {
  Small small;
  ksr_error error = {};
  size_t size = 0;
  const ksr_cell* cell;
  about = "memory";
  expect_status(ksr_cell_size(nullptr, &size, &error), KSR_NULL);
  expect_status(ksr_cell_size(&small.d, nullptr, &error), KSR_NULL);
  expect_status(ksr_cell_size(&small.d, &size, &error), KSR_OK);
  const Memory memory = aligned(size + 64);
  char* bytes = static_cast<char*>(memory.get());
  expect_status(ksr_cell_prepare(&small.d, nullptr, size, &cell, &error), KSR_NULL);
  expect_status(ksr_cell_prepare(&small.d, bytes, size, nullptr, &error), KSR_NULL);
  expect_status(ksr_cell_prepare(&small.d, bytes + 16, size, &cell, &error), KSR_BAD_MEMORY);
  expect_status(ksr_cell_prepare(&small.d, bytes, size - 1, &cell, &error), KSR_BAD_MEMORY);
  char wanted[100];
  std::snprintf(wanted, sizeof wanted, "memory has %zu bytes: the cell takes %zu", size - 1, size);
  expect(std::string(wanted) == error.text, error.text, 0, 0);
  small.d.processor = "abacus";
  expect_status(ksr_cell_prepare(&small.d, bytes, size, &cell, &error), KSR_NO_PROCESSOR);
  const std::string text =
      "processor is \"abacus\": it must be one of avx512vnni, avx512, avxvnni, avx2, neondot, "
      "neon, plain";
  expect(text == error.text, error.text, 0, 0);
}

void test_streams() {
  about = "streams";
  Small small, other;
  other.bias[3] = 1.0f;
  Stream stream(small.d), another(other.d);
  const Memory memory = aligned(4096);
  ksr_state* state = nullptr;
  float x[3] = {}, y[5] = {};
  const ksr_cell* none = reinterpret_cast<const ksr_cell*>(memory.get());
  expect(ksr_state_size(none) == 0 && ksr_state_size(nullptr) == 0, "size of no state", 1, 0);
  expect_status(ksr_state_init(none, memory.get(), 4096, nullptr, nullptr, &state), KSR_BAD_CELL);
  expect_status(ksr_state_init(stream.cell(), nullptr, 4096, nullptr, nullptr, &state), KSR_NULL);
  expect_status(ksr_state_init(stream.cell(), memory.get(), 4096, nullptr, nullptr, nullptr),
                KSR_NULL);
  expect_status(ksr_state_init(stream.cell(), memory.get(), ksr_state_size(stream.cell()) - 1,
                               nullptr, nullptr, &state),
                KSR_BAD_MEMORY);
  expect_status(ksr_state_init(stream.cell(), static_cast<char*>(memory.get()) + 4, 4000, nullptr,
                               nullptr, &state),
                KSR_BAD_MEMORY);
  expect_status(ksr_state_init(stream.cell(), memory.get(), 4096, nullptr, y, &state),
                KSR_BAD_CHOICE);
  expect_status(ksr_step(stream.cell(), another.state(), x, y), KSR_BAD_STATE);
  expect_status(ksr_step(stream.cell(), nullptr, x, y), KSR_BAD_STATE);
  expect_status(ksr_step(nullptr, stream.state(), x, y), KSR_BAD_CELL);
  expect_status(ksr_step(none, stream.state(), x, y), KSR_BAD_CELL);
  expect_status(ksr_step(stream.cell(), stream.state(), nullptr, y), KSR_NULL);
  expect_status(ksr_step(stream.cell(), stream.state(), x, nullptr), KSR_NULL);
  expect_status(ksr_run(stream.cell(), stream.state(), x, -1, y), KSR_BAD_SIZE);
  expect_status(ksr_run(stream.cell(), stream.state(), nullptr, 0, nullptr), KSR_OK);
  expect_status(ksr_state_read(stream.cell(), another.state(), y, nullptr), KSR_BAD_STATE);
  expect_status(ksr_state_write(stream.cell(), another.state(), y, nullptr), KSR_BAD_STATE);
  expect_status(ksr_state_write(nullptr, another.state(), y, nullptr), KSR_BAD_CELL);
  expect_status(ksr_state_write(stream.cell(), stream.state(), y, y), KSR_BAD_CHOICE);
  ksr_cell_facts facts;
  expect_status(ksr_cell_describe(none, &facts), KSR_BAD_CELL);
  expect_status(ksr_cell_describe(stream.cell(), nullptr), KSR_NULL);
  // A cell prepared again from the same weights takes the states of the first.
  Stream again(small.d);
  expect_status(ksr_step(again.cell(), stream.state(), x, y), KSR_OK);
}

// A few bytes may describe a matrix with many columns that have no block, or one. It would take
// minutes if each of them took as long as there are inputs.
void test_many_empty_columns() {
  about = "many empty columns";
  constexpr int64_t kMany = int64_t{1} << 22, kBlock = 1024;
  const Floats values(kBlock * kBlock, 1.0f);
  const int32_t block = 5;
  ksr_description d = {};
  d.version = KSR_VERSION;
  d.cell = KSR_DENSE;
  for (int64_t live = 0; live <= 1; ++live) {
    d.kernel = {KSR_FLOAT32, kMany, kMany, 1, kBlock, kBlock, live, values.data(), &block, nullptr};
    size_t size = 0;
    ksr_error error = {};
    expect_status(ksr_cell_size(&d, &size, &error), KSR_OK, &error);
    const int64_t least = 4 * (kMany + live * kBlock * kBlock);
    expect(static_cast<int64_t>(size) > least, "size", static_cast<double>(size), least);
  }
}

void test_texts() {
  for (int status = KSR_OK; status <= KSR_BAD_CHECKSUM; ++status)
    expect(std::strcmp(ksr_status_text(status), "unknown status") != 0, "text of a status", status,
           status);
  expect(!std::strcmp(ksr_status_text(99), "unknown status"), "text of no status", 99, 99);
  expect(ksr_version() == KSR_VERSION, "version", ksr_version(), KSR_VERSION);
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  test_descriptions();
  test_wide_pair();
  test_quantize();
  test_memory();
  test_streams();
  test_many_empty_columns();
  test_texts();
  return failures != 0;
}
