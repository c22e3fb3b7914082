// Random damage to files and to saved cells: refused with a text, or used, but nothing is read or
// written past an end, which AddressSanitizer watches.
//   prepared_file_fuzz_test [mutations of each]
#include "damage.h"

namespace {

constexpr int kMutations = 10000;

// A small cell of any kind, as it is.
Described random_cell() {
  const int inputs = static_cast<int>(pick(1, 40)), units = static_cast<int>(pick(1, 40));
  const ksr::Cell cell = kRecurrentCells[pick(0, 4)];
  const int *shape = kShapes[pick(0, kShapeCount - 1)], *other = kShapes[pick(0, kShapeCount - 1)];
  const int32_t types[] = {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8};
  const double density = static_cast<double>(pick(0, 3)) / 4;
  const int32_t type = types[pick(0, 2)];
  Described d(cell, 1, inputs, units, shape, other, density, pick(0, 1), type);
  d.description.activations = pick(0, 1) ? KSR_INT8 : KSR_FLOAT32;
  d.description.input_range = static_cast<float>(pick(0, 1));
  if (!pick(0, 5)) {
    d.description.cell = KSR_DENSE;
    d.description.activation = static_cast<int32_t>(pick(0, KSR_SOFTMAX));
    d.description.bias = nullptr;
    if (d.description.kernel.gates > 1) d.description.cell = KSR_LSTM;
    if (d.description.kernel.gates == 3) d.description.cell = KSR_GRU_RESET_BEFORE;
  }
  return d;
}

// Some steps of whatever has passed.
void step(const ksr_cell* cell) {
  ksr_cell_facts facts;
  expect_status(ksr_cell_describe(cell, &facts), KSR_OK);
  const Saved memory(nullptr, ksr_state_size(cell));
  ksr_state* state = nullptr;
  expect_status(ksr_state_init(cell, memory.data(), memory.size(), nullptr, nullptr, &state),
                KSR_OK);
  const Floats x(5 * facts.inputs, 0.5f);
  Floats y(5 * facts.units);
  expect_status(ksr_run(cell, state, x.data(), 5, y.data()), KSR_OK);
}

// Sizes that pass may be far larger than what the file holds: those would only take long.
bool is_small(const ksr_matrix& m) { return m.inputs <= 1000 && m.units <= 1000; }

void prepare(const ksr_description& d) {
  size_t size = 0;
  ksr_error error = {};
  const ksr_cell* cell = nullptr;
  if (!is_small(d.kernel) || !is_small(d.recurrent)) return;
  expect_status(ksr_cell_size(&d, &size, &error), KSR_OK, &error);
  const Saved memory(nullptr, size);
  // int8 weights may break the bound that only preparing checks.
  if (ksr_cell_prepare(&d, memory.data(), size, &cell, &error) == KSR_OK) step(cell);
}

void try_files(int mutations) {
  Counts counts;
  for (int i = 0; i < mutations; ++i) {
    static Saved whole = file_of(random_cell().description);
    if (i % 20 == 0) whole = file_of(random_cell().description);
    about = "file, mutation " + std::to_string(i);
    const Saved file = damaged(whole, 320, [](const Saved& saved) { saved.sum_file(); });
    ksr_description d;
    ksr_error error = {};
    const ksr_status status = ksr_file_read(file.data(), file.size(), &d, &error);
    counts.add(status, error);
    if (status == KSR_OK) prepare(d);
  }
  counts.print("files");
}

void try_cells(int mutations) {
  Counts counts;
  for (int i = 0; i < mutations; ++i) {
    static Saved whole = cell_of(random_cell().description);
    if (i % 20 == 0) whole = cell_of(random_cell().description);
    about = "cell, mutation " + std::to_string(i);
    const Saved saved = damaged(whole, 448, [](const Saved& saved) { saved.sum_cell(); });
    const ksr_cell* cell = nullptr;
    ksr_error error = {};
    const ksr_status status = ksr_cell_open(saved.data(), saved.size(), &cell, &error);
    counts.add(status, error);
    if (status == KSR_OK) step(cell);
  }
  counts.print("cells");
}

}  // namespace

int main(int count, char** arguments) {
  if (processor_is_missing()) return kSkipped;
  const int mutations = count > 1 ? std::atoi(arguments[1]) : kMutations;
  try_files(mutations);
  try_cells(mutations);
  return failures != 0;
}
