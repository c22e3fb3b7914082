// Files of models, for the tests. Included once by each test.
#ifndef KERAS_SPARSE_RNN_TESTS_MODELS_H_
#define KERAS_SPARSE_RNN_TESTS_MODELS_H_

#include "../core/ksr_model.h"
#include "../core/model/format.h"
#include "saved.h"

namespace {

using ksr::model::Header;
using ksr::model::Port;
using ksr::model::Section;
using ksr::model::Step;

// Writes a file as docs/format.md has it.
class ModelFile {
 public:
  int32_t add_register(int32_t width) {
    widths_.push_back(width);
    return static_cast<int32_t>(widths_.size()) - 1;
  }
  void input(const char* name, int32_t place) { inputs_.push_back(port(name, place, 0)); }
  void output(const char* name, int32_t place, int32_t last = 0) {
    outputs_.push_back(port(name, place, last));
  }
  // Returns the register that it makes, of `width` numbers, or `out` if there is one.
  int32_t step(Step s, int32_t in, int32_t width, std::string data = "", std::string scales = "",
               int32_t out = -1) {
    s.in = in;
    if (s.kind != ksr::model::kAdd && s.kind != ksr::model::kMultiply) s.other = -1;
    s.out = out < 0 ? add_register(width) : out;
    steps_.push_back({s, data, scales});
    return s.out;
  }
  int32_t cell(const ksr_description& d, int32_t in) {
    const Saved file = file_of(d);
    Step s = {};
    s.kind = ksr::model::kCell;
    return step(s, in, static_cast<int32_t>(d.kernel.units),
                std::string(file.data(), file.size()));
  }

  Saved bytes(const std::string& notes = "{}") const {
    Header h = {};
    std::memcpy(h.magic, ksr::model::kMagic, sizeof h.magic);
    h.byte_order = 0x01020304;
    h.version = KSR_MODEL_VERSION;
    h.registers = static_cast<int32_t>(widths_.size());
    h.inputs = static_cast<int32_t>(inputs_.size());
    h.outputs = static_cast<int32_t>(outputs_.size());
    h.steps = static_cast<int32_t>(steps_.size());
    std::string file(128, 0), cells;
    append(&file, widths_.data(), widths_.size() * 4);
    append(&file, inputs_.data(), inputs_.size() * sizeof(Port));
    append(&file, outputs_.data(), outputs_.size() * sizeof(Port));
    std::vector<Step> steps;
    const size_t table = file.size();
    for (const Made& made : steps_) steps.push_back(made.step);
    append(&file, steps.data(), steps.size() * sizeof(Step));
    h.notes = section(&file, notes);
    for (size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].kind == ksr::model::kCell) continue;
      steps[i].data = section(&file, steps_[i].data);
      steps[i].scales = section(&file, steps_[i].scales);
    }
    h.cells = static_cast<int64_t>(file.size());
    for (size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].kind != ksr::model::kCell) continue;
      std::memcpy(&steps[i].sum, steps_[i].data.data() + 16, 8);
      steps[i].data = section(&file, steps_[i].data);
    }
    h.size = static_cast<int64_t>(file.size());
    std::memcpy(&file[0], &h, sizeof h);
    std::memcpy(&file[table], steps.data(), steps.size() * sizeof(Step));
    Saved saved(file.data(), file.size());
    sum_model(saved);
    return saved;
  }

  // What the checksum of a file, or of a prepared model, should be, if its cells begin inside.
  static void sum_model(const Saved& saved) {
    if (saved.size() < 128) return;
    const int64_t cells = saved.get<int64_t>(offsetof(Header, cells));
    if (cells >= 24 && cells <= static_cast<int64_t>(saved.size()))
      saved.put(16, saved.sum(24, cells));
  }

 private:
  struct Made {
    Step step;
    std::string data, scales;
  };
  static Port port(const char* name, int32_t place, int32_t last) {
    Port p = {};
    std::strncpy(p.name, name, sizeof p.name - 1);
    p.place = place;
    p.last = last;
    return p;
  }
  static void append(std::string* file, const void* from, size_t bytes) {
    file->append(static_cast<const char*>(from), bytes);
    file->resize((file->size() + 63) / 64 * 64);
  }
  static Section section(std::string* file, const std::string& data) {
    if (data.empty()) return {};
    const Section s = {static_cast<int64_t>(file->size()), static_cast<int64_t>(data.size())};
    append(file, data.data(), data.size());
    return s;
  }

  std::vector<int32_t> widths_;
  std::vector<Port> inputs_, outputs_;
  std::vector<Made> steps_;
};

inline std::string bytes_of(const Floats& numbers) {
  return std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 4);
}

inline Saved prepared(const Saved& file) {
  size_t size = 0;
  ksr_error error = {};
  const ksr_model* model;
  expect_status(ksr_model_size(file.data(), file.size(), nullptr, &size, &error), KSR_OK, &error);
  Saved saved(nullptr, size);
  std::memset(saved.data(), 0xA5, size);
  expect_status(
      ksr_model_prepare(file.data(), file.size(), nullptr, saved.data(), size, &model, &error),
      KSR_OK, &error);
  return saved;
}

// Tokens, numbers and a residual: every kind of step.
//   tokens -> embedding -+-> concatenated -> window -> LSTM -+-> times itself -> out
//   x -> scale, offset --+                    \-> GRU -> + -> softmax -> last
//                                                        \-> layer norm -> root mean square norm -> clip
inline Saved every_step(const ksr_description& lstm, const ksr_description& gru, int32_t type) {
  using namespace ksr::model;
  ModelFile file;
  const int32_t tokens = file.add_register(1), x = file.add_register(3);
  file.input("tokens", tokens);
  file.input("x", x);
  Step s = {};
  s.kind = kEmbedding, s.type = type, s.rows = 5;
  std::string table, scales;
  for (int i = 0; i < 5 * 4; ++i) {
    const float value = static_cast<float>(i % 7) - 3.0f;
    if (type == KSR_FLOAT32) table.append(reinterpret_cast<const char*>(&value), 4);
    if (type == KSR_BFLOAT16) table.append(reinterpret_cast<const char*>(&value) + 2, 2);
    if (type == KSR_INT8) table.push_back(static_cast<char>(i % 7 - 3));
  }
  if (type == KSR_INT8) scales = bytes_of(Floats(5, 1.0f));
  const int32_t embedded = file.step(s, tokens, 4, table, scales);
  s = {}, s.kind = kAffine;
  const int32_t scaled = file.step(s, x, 3, bytes_of({2, 3, 4, 0.5f, -0.5f, 0}));
  s = {}, s.kind = kCopy;
  const int32_t both = file.step(s, embedded, 7);
  s.place = 4;
  file.step(s, scaled, 7, "", "", both);
  s = {}, s.kind = kWindow, s.window = 3, s.dilation = 2;
  const int32_t window = file.step(s, both, 21);
  const int32_t h = file.cell(lstm, window), g = file.cell(gru, window);
  s = {}, s.kind = kMultiply, s.other = h;
  const int32_t squared = file.step(s, h, static_cast<int32_t>(lstm.kernel.units));
  s = {}, s.kind = kAdd, s.other = g;
  const int32_t sum = file.step(s, h, static_cast<int32_t>(lstm.kernel.units));
  s = {}, s.kind = kActivation, s.activation = KSR_SOFTMAX;
  const int32_t soft = file.step(s, sum, static_cast<int32_t>(lstm.kernel.units));
  const int32_t units = static_cast<int32_t>(lstm.kernel.units);
  Floats scale(2 * units + 1, 0.75f);  // and offset, and epsilon
  for (int32_t i = 0; i < units; ++i) scale[i] = 1.0f + static_cast<float>(i % 3);
  s = {}, s.kind = kLayerNorm;
  const int32_t normal = file.step(s, sum, units, bytes_of(scale));
  scale.resize(units), scale.push_back(0.5f);
  s = {}, s.kind = kRmsNorm;
  const int32_t twice = file.step(s, normal, units, bytes_of(scale));
  s = {}, s.kind = kClip;
  const int32_t clipped = file.step(s, twice, units, bytes_of({-0.5f, 1.5f}));
  file.output("squared", squared);
  file.output("soft", soft, 1);
  file.output("normal", normal);
  file.output("twice", twice);
  file.output("clipped", clipped);
  return file.bytes("{\"name\": \"test\"}");
}

// A model and one of its streams.
class ModelStream {
 public:
  explicit ModelStream(const Saved& saved) {
    ksr_error error = {};
    expect_status(ksr_model_open(saved.data(), saved.size(), &model, &error), KSR_OK, &error);
    memory_ = aligned(ksr_stream_size(model));
    expect_status(ksr_stream_init(model, memory_.get(), ksr_stream_size(model), &stream), KSR_OK);
  }
  const ksr_model* model = nullptr;
  ksr_stream* stream = nullptr;

 private:
  Memory memory_;
};

}  // namespace

#endif  // KERAS_SPARSE_RNN_TESTS_MODELS_H_
