// Random damage to models' files and to prepared models: refused with a text, or used, but nothing
// is read or written past an end, which AddressSanitizer watches.
//   prepared_model_fuzz_test [mutations of each]
#include "damage.h"
#include "models.h"

namespace {

constexpr int kMutations = 10000;

Saved random_file() {
  const int units = static_cast<int>(pick(1, 24));
  const int *shape = kShapes[pick(0, kShapeCount - 1)], *other = kShapes[pick(0, kShapeCount - 1)];
  const int32_t types[] = {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8};
  Described one(kRecurrentCells[pick(0, 4)], 1, 21, units, shape, other, 0.4, true,
                types[pick(0, 2)]);
  Described two(kRecurrentCells[pick(0, 4)], 1, 21, units, other, shape, 0.4, false,
                types[pick(0, 2)]);
  two.description.activations = pick(0, 1) ? KSR_INT8 : KSR_FLOAT32;
  return every_step(one.description, two.description, types[pick(0, 2)]);
}

// Sizes that pass may be far larger than what the file holds: those would only take long.
bool is_small(const Saved& saved) {
  const ksr::model::View model(saved.data());
  int64_t numbers = 0;
  for (int32_t r = 0; r < model.header.registers; ++r) numbers += model.widths[r];
  for (int32_t i = 0; i < model.header.steps; ++i)
    if (model.steps[i].kind == ksr::model::kWindow)
      numbers += ksr::model::frames_kept(model.steps[i]) * model.widths[model.steps[i].in];
  return numbers < 1 << 20;
}

void run(const ksr_model* model) {
  const Saved memory(nullptr, ksr_stream_size(model));
  ksr_stream* stream = nullptr;
  expect_status(ksr_stream_init(model, memory.data(), memory.size(), &stream), KSR_OK);
  ksr_model_facts facts;
  expect_status(ksr_model_describe(model, &facts), KSR_OK);
  std::vector<Floats> in, out;
  std::vector<const float*> inputs;
  std::vector<float*> outputs;
  ksr_port port;
  for (int32_t i = 0; i < facts.inputs; ++i) {
    expect_status(ksr_model_input(model, i, &port), KSR_OK);
    in.emplace_back(5 * port.width, port.tokens ? static_cast<float>(port.tokens - 1) : 0.5f);
  }
  for (int32_t i = 0; i < facts.outputs; ++i) {
    expect_status(ksr_model_output(model, i, &port), KSR_OK);
    out.emplace_back(5 * port.width);
  }
  for (const Floats& each : in) inputs.push_back(each.data());
  for (Floats& each : out) outputs.push_back(each.data());
  expect_status(ksr_stream_run(model, stream, inputs.data(), 5, outputs.data()), KSR_OK);
}

void prepare(const Saved& file) {
  size_t size = 0;
  ksr_error error = {};
  const ksr_model* model;
  // int8 weights may break the bound that only preparing checks.
  if (ksr_model_size(file.data(), file.size(), nullptr, &size, &error) != KSR_OK) return;
  const Saved memory(nullptr, size);
  if (ksr_model_prepare(file.data(), file.size(), nullptr, memory.data(), size, &model, &error) ==
      KSR_OK)
    run(model);
}

// A right checksum of the cell that a change may have met, too.
void sum_all(const Saved& saved) {
  const ksr::model::View model(saved.data());
  if (!pick(0, 1) || saved.size() < 1000) return ModelFile::sum_model(saved);
  const Header& h = model.header;
  if (h.steps < 1 || h.steps > 20 || h.registers < 1 || h.registers > 20 || h.inputs < 1 ||
      h.inputs > 3 || h.outputs < 1 || h.outputs > 5)
    return;
  for (int32_t i = 0; i < h.steps; ++i) {
    const Step& s = model.steps[i];
    const int64_t place = s.data.place, size = static_cast<int64_t>(saved.size());
    if (s.kind != ksr::model::kCell || place < 128 || s.data.bytes < 64 || s.data.bytes > size ||
        place > size - s.data.bytes)
      continue;
    const int at = h.prepared ? 8 : 16;
    const uint64_t sum = saved.sum(place + at + 8, place + s.data.bytes);
    saved.put(place + at, sum);
    saved.put(reinterpret_cast<const char*>(&s.sum) - saved.data(), sum);
  }
  ModelFile::sum_model(saved);
}

void try_all(const char* what, int mutations, bool whole_models) {
  Counts counts;
  Saved whole = random_file();
  for (int i = 0; i < mutations; ++i) {
    if (i % 20 == 0) whole = whole_models ? prepared(random_file()) : random_file();
    about = std::string(what) + ", mutation " + std::to_string(i);
    const Saved saved = damaged(whole, 1800, sum_all);
    ksr_error error = {};
    size_t size;
    const ksr_model* model = nullptr;
    const ksr_status status =
        whole_models ? ksr_model_open(saved.data(), saved.size(), &model, &error)
                     : ksr_model_size(saved.data(), saved.size(), nullptr, &size, &error);
    counts.add(status, error);
    if (status != KSR_OK || !is_small(saved)) continue;
    if (model)
      run(model);
    else
      prepare(saved);
  }
  counts.print(what);
}

}  // namespace

int main(int count, char** arguments) {
  if (processor_is_missing()) return kSkipped;
  const int mutations = count > 1 ? std::atoi(arguments[1]) : kMutations;
  try_all("files", mutations, false);
  try_all("prepared models", mutations, true);
  return failures != 0;
}
