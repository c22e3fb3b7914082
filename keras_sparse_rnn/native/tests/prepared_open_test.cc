// Cells that were prepared before: they run where they lie, those of other machines are the same
// bytes wherever they are prepared, and whatever is wrong with one is said in words.
#include "../core/prepared/prepare.h"
#include "saved.h"
#include "small.h"

namespace {

using ksr::prepared::Cell;

constexpr const char* kProcessors[] = {"avx512vnni", "avx512",  "avxvnni", "avx2",
                                       "neondot",    "neon",    "plain"};

const ksr_cell* open(const Saved& saved) {
  const ksr_cell* cell = nullptr;
  ksr_error error = {};
  expect_status(ksr_cell_open(saved.data(), saved.size(), &cell, &error), KSR_OK, &error);
  return cell;
}

void test_opened() {
  for_every_kind(5, [](Described& d, int) {
    Stream stream(d.description, d.one.h0.data(), d.c0());
    const Saved saved(stream.cell(), stream.facts().size);
    expect(Stream(open(saved), d.one.h0.data(), d.c0()).run(d.one.x) == stream.run(d.one.x),
           "outputs", 0, 0);
    // A saved cell is the cell: states of one are states of the other.
    Floats y(43);
    expect_status(ksr_step(open(saved), stream.state(), d.one.x.data(), y.data()), KSR_OK);
  });
  const Floats bias = random_floats(21);
  for (int32_t activation = KSR_LINEAR; activation <= KSR_SOFTMAX; ++activation) {
    about = "activation " + std::to_string(activation);
    Stream stream(bias_only(activation, KSR_FLOAT32, bias));
    const Saved saved(stream.cell(), stream.facts().size);
    expect(Stream(open(saved)).run({1.0f}) == stream.run({1.0f}), "outputs", 0, 0);
  }
}

// For every processor, on every machine, the bytes that all machines have given so far. Where they
// change on purpose, cells that were saved before can no longer be opened, and the rules' number in
// prepare.h changes too.
void test_every_processor() {
  const uint64_t kWanted[] = {0x7CF3EC46CFD72735, 0x7836F9708AA2BC00, 0xC7F57A982DB022EA,
                              0xE11FB91DE63E9E7C, 0xFA40F4C0C63FEBFE, 0x76A820044F22CC99,
                              0x1279542DF5D4FDA8};
  for (size_t p = 0; p < sizeof kProcessors / sizeof *kProcessors; ++p) {
    about = kProcessors[p];
    generator.seed(3);
    uint64_t sum = 0;
    for (const ksr::Cell cell : kRecurrentCells)
      for (const int32_t type : {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8})
        for (int i = 0; i < kShapeCount; ++i) {
          Described d(cell, 1, 1 + 5 * i, 39, kShapes[i], kShapes[(i + 1) % kShapeCount], 0.4, true,
                      type);
          d.description.processor = kProcessors[p];
          d.description.activations = i % 2 ? KSR_INT8 : KSR_FLOAT32;
          const Saved saved = cell_of(d.description);
          sum = sum * 31 + saved.sum(0, saved.size());
        }
    std::printf("%s: 0x%016llX\n", kProcessors[p], static_cast<unsigned long long>(sum));
    expect(sum == kWanted[p], "checksum", static_cast<double>(sum),
           static_cast<double>(kWanted[p]));
  }
}

// What this machine lacks can be prepared for, and does not run.
void test_other_processors() {
  Small small;
  for (const char* processor : kProcessors) {
    about = std::string("other processor ") + processor;
    small.d.processor = processor;
    const Saved saved = cell_of(small.d);
    const ksr_cell* cell = reinterpret_cast<const ksr_cell*>(saved.data());
    ksr_cell_facts facts;
    expect_status(ksr_cell_describe(cell, &facts), KSR_OK);
    expect(!std::strcmp(facts.processor, processor), facts.processor, 0, 0);
    const Memory memory = aligned(ksr_state_size(cell));
    ksr_state* state = nullptr;
    const ksr_status status =
        ksr_state_init(cell, memory.get(), ksr_state_size(cell), nullptr, nullptr, &state);
    ksr_error error = {};
    const ksr_cell* opened = nullptr;
    if (status == KSR_OK) {
      open(saved);
      continue;
    }
    expect_status(status, KSR_NO_PROCESSOR);
    float x[3] = {}, y[5];
    expect_status(ksr_step(cell, state, x, y), KSR_BAD_STATE);
    expect_status(ksr_cell_open(saved.data(), saved.size(), &opened, &error), KSR_NO_PROCESSOR);
    const std::string text =
        std::string("the cell was prepared for \"") + processor + "\": this machine has ";
    expect(!opened && !std::strncmp(error.text, text.c_str(), text.size()), error.text, 0, 0);
  }
}

void expect_refused(const Saved& saved, ksr_status status, const std::string& text) {
  about = "(" + text + ")";
  ksr_error error = {};
  const ksr_cell* cell = reinterpret_cast<const ksr_cell*>(saved.data());
  expect_status(ksr_cell_open(saved.data(), saved.size(), &cell, &error), status, &error);
  expect(error.status == status && text == error.text, error.text, error.status, status);
  expect(!cell, "the cell was given", 1, 0);
  expect_status(ksr_cell_open(saved.data(), saved.size(), &cell, nullptr), status);
}

ksr_description plain_cell(Small* small) {
  small->d.processor = "plain";
  small->d.activations = KSR_INT8;
  return small->d;
}

// A number of a cell for plain C++, which every machine runs, is another, and the checksum is
// right. SIZE in the text is that of the cell, TABLE the place of the kernel's table.
template <typename Change>
void refused(ksr_status status, std::string text, Change change) {
  Small small;
  const Saved saved = cell_of(plain_cell(&small));
  Cell& cell = *reinterpret_cast<Cell*>(saved.data());
  const auto fill_in = [&](const std::string& name, int64_t number) {
    const size_t place = text.find(name);
    if (place != std::string::npos) text.replace(place, name.size(), std::to_string(number));
  };
  fill_in("SIZE", cell.size);
  fill_in("TABLE", cell.kernel.table);
  change(cell, [&](int64_t place) { return reinterpret_cast<int32_t*>(saved.data() + place); });
  saved.sum_cell();
  expect_refused(saved, status, text);
}

#define KSR_CHANGE(...) [](Cell& c, auto at) { (void)at, (void)c, __VA_ARGS__; }

void test_damage() {
  char rules[100];
  std::snprintf(rules, sizeof rules,
                "the cell is laid out by rules 0x%08x: this library has 0x%08x",
                ksr::prepared::kLayout + 1, ksr::prepared::kLayout);
  refused(KSR_BAD_CELL, "the cell begins with 0x6c6c65632d727300: it must begin with "
                        "0x6c6c65632d72736b", KSR_CHANGE(c.magic -= 0x6b));
  refused(KSR_BAD_VERSION,
          "byte_order is 0x04030201: it must be 0x01020304, that of little-endian numbers",
          KSR_CHANGE(c.magic = 0x6B73722D63656C6C, c.byte_order = 0x04030201));
  refused(KSR_BAD_VERSION, rules, KSR_CHANGE(++c.layout));
  refused(KSR_BAD_CELL, "size is 64: it must be a multiple of 64, and " +
                            std::to_string(sizeof(Cell)) + " or more", KSR_CHANGE(c.size = 64));
  refused(KSR_NO_PROCESSOR,
          "the cell was prepared for \"plein\": this library has avx512vnni, avx512, avxvnni, "
          "avx2, neondot, neon, plain",
          KSR_CHANGE(c.processor[2] = 'e'));
  refused(KSR_BAD_CELL, "processor is \"plain\": there must be zeros behind it",
          KSR_CHANGE(c.processor[15] = 'x'));
  refused(KSR_BAD_CELL, "kind is 6: it must be from 0 to 5", KSR_CHANGE(c.kind = 6));
  refused(KSR_BAD_CELL, "activation is 1: it must be from 0 to 0", KSR_CHANGE(c.activation = 1));
  refused(KSR_BAD_CELL, "integers is 2: it must be from 0 to 1", KSR_CHANGE(c.integers = 2));
  refused(KSR_BAD_CELL, "inputs is 65537: it must be from 1 to 65536",
          KSR_CHANGE(c.inputs = 65537));
  refused(KSR_BAD_CELL, "units is -5: it must be from 1 to 16777216", KSR_CHANGE(c.units = -5));
  refused(KSR_BAD_CELL, "padded_inputs is 32: it must be 16", KSR_CHANGE(c.padded_inputs = 32));
  refused(KSR_BAD_CELL, "padded_units is 0: it must be 16", KSR_CHANGE(c.padded_units = 0));
  refused(KSR_BAD_CELL, "slots is 3: it must be 4", KSR_CHANGE(c.slots = 3));
  refused(KSR_BAD_VALUE, "input_range is -1: it must be the largest input in absolute value, or 0",
          KSR_CHANGE(c.input_range = -1.0f));
  refused(KSR_BAD_CELL, "the state is of 1472 bytes: it must be of 1408",
          KSR_CHANGE(c.state.size += 64));
  refused(KSR_BAD_CELL, "bias has 64 times 4 bytes from byte 8 on: the cell has SIZE bytes",
          KSR_CHANGE(c.bias = 8));
  refused(KSR_BAD_CELL, "kernel.tile[0] is 7: it must be from 0 to 6",
          KSR_CHANGE(c.kernel.tile = 7));
  refused(KSR_BAD_CELL, "recurrent.arithmetic[0] is 0: it must be from 3 to 3",
          KSR_CHANGE(c.recurrent.arithmetic = 0));
  refused(KSR_BAD_CELL, "kernel.strips[0] is -1: it must be from 0 to 2147483647",
          KSR_CHANGE(c.kernel.strips = -1));
  refused(KSR_BAD_CELL,
          "kernel.table has 2147483647 times 20 bytes from byte TABLE on: the cell has SIZE bytes",
          KSR_CHANGE(c.kernel.strips = INT32_MAX));
  refused(KSR_BAD_CELL, "kernel.steps[0] is 5: it must be from 1 to 4",
          KSR_CHANGE(*at(c.kernel.table) = 5));
  refused(KSR_BAD_CELL, "recurrent.place[0] is 61: it must be from 0 to 60",
          KSR_CHANGE(at(c.recurrent.table)[1] = 61));
  refused(KSR_BAD_CELL, "kernel.numbers[0] is 17: it must be from 0 to 16",
          KSR_CHANGE(*at(c.kernel.numbers) = 17));
  refused(KSR_BAD_CELL, "recurrent.numbers[1] is -1: it must be from 0 to 16",
          KSR_CHANGE(at(c.recurrent.numbers)[1] = -1));
  refused(KSR_BAD_CELL,
          "recurrent.values has 48 times 1 bytes from byte 9223372036854775807 on: the cell has "
          "SIZE bytes",
          KSR_CHANGE(c.recurrent.values = INT64_MAX));
  refused(KSR_BAD_CELL,
          "recurrent.scales has 12 times 4 bytes from byte -64 on: the cell has SIZE bytes",
          KSR_CHANGE(c.recurrent.scales = -64));
  refused(KSR_BAD_CELL, "recurrent.starts[3] is 1: it must be from 0 to 0",
          KSR_CHANGE(at(c.recurrent.starts)[3] = 1));
  refused(KSR_BAD_CELL, "stored is 0: it must be 96", KSR_CHANGE(c.stored = 0));
  refused(KSR_BAD_CELL, "candidate has numbers where there must be zeros",
          KSR_CHANGE(c.candidate.strips = 1));
  const Floats bias = random_floats(21);
  const Saved dense = cell_of(bias_only(KSR_LINEAR, KSR_FLOAT32, bias));
  reinterpret_cast<Cell*>(dense.data())->recurrent.arithmetic = 0x10000000;
  dense.sum_cell();
  expect_refused(dense, KSR_BAD_CELL, "recurrent has numbers where there must be zeros");
}

void test_frame() {
  Small small;
  const Saved saved = cell_of(plain_cell(&small));
  const std::string all = std::to_string(saved.size());
  for (size_t size = 0; size < saved.size(); ++size)
    expect_refused(saved.copy(size), KSR_BAD_CELL,
                   "memory has " + std::to_string(size) + " bytes" +
                       (size < sizeof(Cell) ? ": the cell's numbers alone take " +
                                                  std::to_string(sizeof(Cell))
                                            : " of the cell's " + all + ": it was cut short"));
  const uint64_t before = saved.get<uint64_t>(8);
  saved.put<char>(saved.size() - 1, 1);
  char text[100];
  std::snprintf(text, sizeof text, "checksum is 0x%016llx: the bytes give 0x%016llx",
                static_cast<unsigned long long>(before),
                static_cast<unsigned long long>(saved.sum(16, saved.size())));
  expect_refused(saved, KSR_BAD_CHECKSUM, text);
  ksr_error error = {};
  const ksr_cell* cell;
  expect_status(ksr_cell_open(nullptr, saved.size(), &cell, &error), KSR_NULL);
  expect_status(ksr_cell_open(saved.data(), saved.size(), nullptr, &error), KSR_NULL);
  expect_status(ksr_cell_open(saved.data() + 8, saved.size() - 8, &cell, &error), KSR_BAD_MEMORY);
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  test_opened();
  test_every_processor();
  test_other_processors();
  test_damage();
  test_frame();
  return failures != 0;
}
