// Random cells against the reference, and random damage to descriptions: refused with a text or
// prepared, but never read or written past an end, which AddressSanitizer watches.
//   prepared_fuzz_test [problems]
#include "prepared.h"

namespace {

const int32_t kTypes[] = {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8};

struct Shape {
  int sizes[2];
};
Shape random_shape() {
  const bool known = pick(0, 1);
  const int64_t number = pick(0, kShapeCount - 1), height = pick(1, 40), width = pick(1, 40);
  if (known) return {{kShapes[number][0], kShapes[number][1]}};
  return {{static_cast<int>(height), static_cast<int>(width)}};
}

Described random_cell(std::string* text) {
  const ksr::Cell cell = kRecurrentCells[pick(0, 4)];
  const int64_t steps = pick(1, 9);
  const int inputs = static_cast<int>(pick(1, 100)), units = static_cast<int>(pick(1, 100));
  const Shape shape = random_shape(), recurrent = random_shape();
  const double density = static_cast<double>(pick(0, 10)) / 10;
  const int32_t type = kTypes[pick(0, 2)];
  char line[200];
  std::snprintf(line, sizeof line, "[cell %d, %d -> %d, %dx%d, %dx%d, density %.1f, type %d]",
                static_cast<int>(cell), inputs, units, shape.sizes[0], shape.sizes[1],
                recurrent.sizes[0], recurrent.sizes[1], density, type);
  *text = line;
  return Described(cell, steps, inputs, units, shape.sizes, recurrent.sizes, density, pick(0, 1),
                   type);
}

void try_cell() {
  Described d = random_cell(&about);
  const reference::Outputs wanted = reference::run(d.one.problem, inputs_of(d.one));
  Stream stream(d.description, d.one.h0.data(), d.c0());
  compare(stream.run(d.one.x), wanted.outputs, "outputs");
  // Rounded to integers, results stay near; how near depends on the weights, of which relu bounds
  // none.
  if (d.description.cell == KSR_SIMPLE_RNN_RELU) return;
  for (float& h : d.one.h0) h = std::min(1.0f, std::max(-1.0f, h));
  const reference::Outputs near = reference::run(d.one.problem, inputs_of(d.one));
  d.description.activations = KSR_INT8;
  d.description.input_range = pick(0, 1) ? 1.0f : 0.0f;
  Stream integers(d.description, d.one.h0.data(), d.c0());
  const Floats y = integers.run(d.one.x);
  double most = 0;
  for (size_t i = 0; i < y.size(); ++i) most = std::max(most, std::fabs(y[i] - near.outputs[i]));
  expect(most < 0.25, "int8 outputs", most, 0.25);
}

// One number of a description is another, which makes no array longer: how long arrays are, only
// the caller knows.
void damage(ksr_description* d, std::vector<int32_t>* blocks) {
  ksr_matrix& m = pick(0, 1) ? d->kernel : d->recurrent;
  const int64_t sizes[] = {0, -1, 1, (1 << 24) + 1, INT64_MAX, INT64_MIN};
  const int64_t size = sizes[pick(0, 5)];
  switch (pick(0, 11)) {
    case 0:
      m.inputs = size;
      break;
    case 1:
      m.units = size;
      break;
    case 2:
      m.gates = size;
      break;
    case 3:
      m.live = std::min<int64_t>(size, m.live);
      break;
    case 4:
      m.values = nullptr;
      break;
    case 5:
      m.blocks = nullptr;
      break;
    case 6:
      d->input_range = static_cast<float>(size);
      break;
    case 7:
      d->activations = static_cast<int32_t>(pick(-1, 3));
      break;
    case 8:
      d->version = static_cast<uint32_t>(pick(0, 2));
      break;
    case 9:
      d->cell = static_cast<int32_t>(pick(-1, 7));
      d->bias = nullptr;
      break;
    case 10:
      m.type = static_cast<int32_t>(pick(3, 9));
      break;
    default:
      if (!blocks->empty()) (*blocks)[pick(0, blocks->size() - 1)] = static_cast<int32_t>(size);
  }
}

void try_damage() {
  Described d = random_cell(&about);
  damage(&d.description, pick(0, 1) ? &d.one.kernel.blocks : &d.one.recurrent.blocks);
  ksr_error error = {};
  size_t size = 0;
  const ksr_status status = ksr_cell_size(&d.description, &size, &error);
  if (status != KSR_OK) {
    expect(error.status == status && *error.text, "text of a refusal", error.status, status);
    return;
  }
  // Sizes that hold are those of the arrays, or fewer; the cell is prepared and stepped with.
  const Memory memory = aligned(size);
  const ksr_cell* cell = nullptr;
  if (ksr_cell_prepare(&d.description, memory.get(), size, &cell, &error) != KSR_OK) return;
  const Memory more = aligned(ksr_state_size(cell));
  ksr_state* state = nullptr;
  expect_status(ksr_state_init(cell, more.get(), ksr_state_size(cell), nullptr, nullptr, &state),
                KSR_OK);
  const Floats x(d.description.kernel.inputs, 0.5f);
  Floats y(d.description.kernel.units);
  expect_status(ksr_step(cell, state, x.data(), y.data()), KSR_OK);
}

}  // namespace

int main(int count, char** arguments) {
  if (processor_is_missing()) return kSkipped;
  const int problems = count > 1 ? std::atoi(arguments[1]) : 300;
  for (int i = 0; i < problems; ++i) try_cell();
  for (int i = 0; i < 10 * problems; ++i) try_damage();
  return failures != 0;
}
