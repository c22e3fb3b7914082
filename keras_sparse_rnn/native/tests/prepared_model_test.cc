// Models: every kind of step against its cells and plain loops; streams, chunks, saving, refusals.
#include <memory>

#include "models.h"

namespace {

constexpr int kUnits = 20, kFrames = 11;

struct Problem {
  Problem() : lstm(ksr::Cell::kLstm, kFrames, 21, kUnits, kShapes[0], kShapes[1], 0.4, true,
                   KSR_FLOAT32),
              gru(ksr::Cell::kGruResetAfter, kFrames, 21, kUnits, kShapes[1], kShapes[0], 0.4,
                  true, KSR_INT8) {
    for (int t = 0; t < kFrames; ++t) {
      tokens.push_back(static_cast<float>(pick(0, 4)));
      for (int i = 0; i < 3; ++i) x.push_back(static_cast<float>(pick(-100, 100)) / 64.0f);
    }
  }
  Saved file(int32_t type = KSR_FLOAT32) const {
    return every_step(lstm.description, gru.description, type);
  }
  Described lstm, gru;
  Floats tokens, x;
};

constexpr int kOutputs = 5;  // squared, soft, normal, twice, clipped

struct Outputs {
  explicit Outputs(int frames = kFrames) {
    for (Floats& each : of) each.resize(frames * kUnits);
  }
  Floats of[kOutputs];
  // From frame `t` on.
  std::vector<float*> at(int t) {
    std::vector<float*> places;
    for (Floats& each : of) places.push_back(each.data() + t * kUnits);
    return places;
  }
  bool operator==(const Outputs& o) const {
    for (int k = 0; k < kOutputs; ++k)
      if (std::memcmp(of[k].data(), o.of[k].data(), of[k].size() * 4)) return false;
    return true;
  }
};

// In chunks of so many frames.
Outputs run(const ModelStream& s, const Problem& p, int chunk) {
  Outputs out;
  for (int t = 0; t < kFrames; t += chunk) {
    const float* inputs[] = {p.tokens.data() + t, p.x.data() + 3 * t};
    expect_status(ksr_stream_run(s.model, s.stream, inputs, std::min(chunk, kFrames - t),
                                 out.at(t).data()),
                  KSR_OK);
  }
  return out;
}

// `numbers`, normalized by float64.
std::vector<double> normalized(const std::vector<double>& numbers, bool centred, double offset,
                               double epsilon) {
  double mean = 0, square = 0;
  for (const double each : numbers) mean += centred ? each / kUnits : 0;
  for (const double each : numbers) square += (each - mean) * (each - mean) / kUnits;
  std::vector<double> out;
  for (int i = 0; i < kUnits; ++i)
    out.push_back((numbers[i] - mean) / std::sqrt(square + epsilon) * (1 + i % 3) + offset);
  return out;
}

// What the model of every_step is.
void against_its_parts(const Problem& p, const Outputs& got) {
  Floats both(kFrames * 7), window(kFrames * 21);
  for (int t = 0; t < kFrames; ++t) {
    for (int i = 0; i < 4; ++i)
      both[7 * t + i] =
          static_cast<float>((static_cast<int>(p.tokens[t]) * 4 + i) % 7) - 3.0f;
    const float scale[] = {2, 3, 4}, offset[] = {0.5f, -0.5f, 0};
    for (int i = 0; i < 3; ++i) both[7 * t + 4 + i] = p.x[3 * t + i] * scale[i] + offset[i];
  }
  for (int t = 0; t < kFrames; ++t)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 7; ++i) {
        const int frame = t - 2 * (2 - j);
        window[21 * t + 7 * j + i] = frame < 0 ? 0.0f : both[7 * frame + i];
      }
  const Floats h = Stream(p.lstm.description).run(window);
  const Floats g = Stream(p.gru.description).run(window);
  for (int t = 0; t < kFrames; ++t) {
    double sum = 0;
    for (int i = 0; i < kUnits; ++i) sum += std::exp(double{h[t * kUnits + i] + g[t * kUnits + i]});
    for (int i = t * kUnits; i < (t + 1) * kUnits; ++i) {
      expect(got.of[0][i] == h[i] * h[i], "product", got.of[0][i], h[i] * h[i]);
      const double soft = std::exp(double{h[i] + g[i]}) / sum;
      expect(std::fabs(got.of[1][i] - soft) < 1e-6, "softmax", got.of[1][i], soft);
    }
    std::vector<double> numbers;
    for (int i = t * kUnits; i < (t + 1) * kUnits; ++i) numbers.push_back(h[i] + g[i]);
    const std::vector<double> normal = normalized(numbers, true, 0.75, 0.75);
    const std::vector<double> twice = normalized(normal, false, 0, 0.5);
    for (int i = 0; i < kUnits; ++i) {
      const float *one = &got.of[2][t * kUnits], *two = &got.of[3][t * kUnits];
      expect(std::fabs(one[i] - normal[i]) < 1e-6, "layer norm", one[i], normal[i]);
      expect(std::fabs(two[i] - twice[i]) < 2e-6, "root mean square norm", two[i], twice[i]);
      const float clipped = std::min(std::max(two[i], -0.5f), 1.5f);
      expect(got.of[4][t * kUnits + i] == clipped, "clip", got.of[4][t * kUnits + i], clipped);
    }
  }
}

void every_kind_of_step() {
  for (const int32_t type : {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8}) {
    about = "table of type " + std::to_string(type);
    const Problem p;
    const Saved model = prepared(p.file(type));
    const ModelStream s(model);
    const Outputs whole = run(s, p, kFrames);
    against_its_parts(p, whole);
    for (const int chunk : {1, 2, 4, 5}) {
      expect_status(ksr_stream_reset(s.model, s.stream), KSR_OK);
      expect(run(s, p, chunk) == whole, "chunks give the same bits", chunk, kFrames);
    }
    // A prepared model may be prepared again, and lie anywhere.
    const Saved again = prepared(model);
    expect(again.size() == model.size() && !std::memcmp(again.data(), model.data(), again.size()),
           "prepared again", again.size(), model.size());
    expect(run(ModelStream(again), p, 3) == whole, "opened elsewhere", 0, 0);
  }
}

void what_it_says_of_itself() {
  about = "facts";
  const Problem p;
  const Saved saved = prepared(p.file());
  const ModelStream s(saved);
  ksr_model_facts facts;
  expect_status(ksr_model_describe(s.model, &facts), KSR_OK);
  expect(facts.size == static_cast<int64_t>(saved.size()), "size", facts.size, saved.size());
  expect(std::string(facts.notes, facts.notes_size) == "{\"name\": \"test\"}", "notes", 0, 0);
  expect(facts.needs.cells[0] == (1u << KSR_LSTM | 1u << KSR_GRU), "cells", facts.needs.cells[0],
         0);
  expect(facts.needs.activations[0] == 1u << KSR_SOFTMAX, "activations",
         facts.needs.activations[0], 0);
  expect(facts.needs.tiles[0] && facts.needs.tiles[2] && !facts.needs.tiles[1], "tiles", 0, 0);
  ksr_port port;
  expect_status(ksr_model_input(s.model, 0, &port), KSR_OK);
  expect(!std::strcmp(port.name, "tokens") && port.width == 1 && port.tokens == 5, "tokens",
         port.tokens, 5);
  expect_status(ksr_model_output(s.model, 1, &port), KSR_OK);
  expect(!std::strcmp(port.name, "soft") && port.width == kUnits && port.last, "soft", port.last,
         1);
  expect_status(ksr_model_output(s.model, kOutputs, &port), KSR_BAD_CHOICE);
}

void many_streams() {
  about = "streams";
  const Problem p;
  const Saved saved = prepared(p.file());
  const ModelStream one(saved), two(saved);
  const Outputs whole = run(one, p, kFrames);
  expect_status(ksr_stream_reset(one.model, one.stream), KSR_OK);
  ksr_stream* streams[] = {one.stream, two.stream};
  Floats tokens, x;
  Outputs both(2);
  for (int t = 0; t < kFrames; ++t) {
    tokens = {p.tokens[t], p.tokens[t]};
    x.assign(&p.x[3 * t], &p.x[3 * t] + 3);
    x.insert(x.end(), &p.x[3 * t], &p.x[3 * t] + 3);
    const float* inputs[] = {tokens.data(), x.data()};
    expect_status(ksr_streams_run(one.model, streams, 2, inputs, 1, both.at(0).data()), KSR_OK);
    for (int i = 0; i < 2; ++i)
      for (int k = 0; k < kOutputs; ++k)
        expect(!std::memcmp(&both.of[k][i * kUnits], &whole.of[k][t * kUnits], 4 * kUnits),
               "each stream goes its own way", i, t);
  }
}

// Some of them share each weight, and what is left over goes alone: the bits are the same.
void streams_that_come_together() {
  constexpr int kStreams = 7, kFirst = 5;
  for (const int32_t activations : {KSR_FLOAT32, KSR_INT8}) {
    about = "together, activations " + std::to_string(activations);
    Problem model;
    model.lstm.description.activations = model.gru.description.activations = activations;
    const Saved saved = prepared(model.file());
    const Problem problems[kStreams];
    std::vector<std::unique_ptr<ModelStream>> own;
    std::vector<ksr_stream*> streams;
    std::vector<Outputs> alone, together(kStreams);
    for (const Problem& p : problems) {
      alone.push_back(run(ModelStream(saved), p, kFrames));
      own.emplace_back(new ModelStream(saved));
      streams.push_back(own.back()->stream);
    }
    for (int begin = 0, frames = kFirst; begin < kFrames; begin += frames) {
      frames = std::min(frames, kFrames - begin);
      Floats tokens, x;
      Outputs all(kStreams * frames);
      for (const Problem& p : problems) {
        tokens.insert(tokens.end(), &p.tokens[begin], &p.tokens[begin] + frames);
        x.insert(x.end(), &p.x[3 * begin], &p.x[3 * begin] + 3 * frames);
      }
      const float* inputs[] = {tokens.data(), x.data()};
      expect_status(ksr_streams_run(own[0]->model, streams.data(), kStreams, inputs, frames,
                                    all.at(0).data()),
                    KSR_OK);
      const int64_t count = frames * kUnits;
      for (int i = 0; i < kStreams; ++i)
        for (int k = 0; k < kOutputs; ++k)
          std::memcpy(&together[i].of[k][begin * kUnits], &all.of[k][i * count], 4 * count);
    }
    for (int i = 0; i < kStreams; ++i) expect(together[i] == alone[i], "the bits of each", i, 0);
  }
}

void refusals() {
  about = "refusals";
  const Problem p;
  const Saved file = p.file(), saved = prepared(file), other = prepared(Problem().file());
  const ModelStream s(saved), foreign(other);
  const Outputs whole = run(s, p, kFrames);
  expect_status(ksr_stream_reset(s.model, s.stream), KSR_OK);
  Floats squared(kUnits);
  float* outputs[kOutputs] = {squared.data()};
  for (const float token : {-1.0f, 5.0f, 0.5f, std::nanf(""), INFINITY}) {
    const float* inputs[] = {&token, p.x.data()};
    expect_status(ksr_stream_run(s.model, s.stream, inputs, 1, outputs), KSR_BAD_VALUE);
  }
  expect(run(s, p, 1) == whole, "a refused token leaves the stream as it was", 0, 0);
  const float* inputs[] = {p.tokens.data(), p.x.data()};
  expect_status(ksr_stream_run(s.model, foreign.stream, inputs, 1, outputs), KSR_BAD_STATE);
  expect_status(ksr_stream_run(s.model, nullptr, inputs, 1, outputs), KSR_BAD_STATE);
  expect_status(ksr_stream_run(s.model, s.stream, inputs, -1, outputs), KSR_BAD_SIZE);
  expect_status(ksr_stream_run(s.model, s.stream, nullptr, 1, outputs), KSR_NULL);
  expect_status(ksr_stream_run(nullptr, s.stream, inputs, 1, outputs), KSR_BAD_FILE);
  const float* without[] = {p.tokens.data(), nullptr};
  expect_status(ksr_stream_run(s.model, s.stream, without, 1, outputs), KSR_NULL);

  ksr_error error = {};
  const ksr_model* model;
  size_t size;
  const auto says = [&](ksr_status got, ksr_status wanted, const char* text) {
    expect_status(got, wanted, &error);
    expect(!std::strcmp(error.text, text), error.text, 0, 0);
  };
  says(ksr_model_open(file.data(), file.size(), &model, &error), KSR_BAD_FILE,
       "this is a model's file, not a prepared model: use ksr_model_prepare");
  says(ksr_model_size(file.data(), 200, nullptr, &size, &error), KSR_BAD_FILE,
       ("memory has 200 bytes of the model's " + std::to_string(file.size()) +
        ": it was cut short").c_str());
  says(ksr_model_size(file.data(), 20, nullptr, &size, &error), KSR_BAD_FILE,
       "memory has 20 bytes: the header alone takes 128");
  Saved changed = file.copy(file.size());
  changed.put(8, 0x04030201);
  says(ksr_model_size(changed.data(), changed.size(), nullptr, &size, &error), KSR_BAD_VERSION,
       "byte_order is 0x04030201: it must be 0x01020304, that of little-endian numbers");
  changed = file.copy(file.size());
  changed.put(12, 2);
  says(ksr_model_size(changed.data(), changed.size(), nullptr, &size, &error), KSR_BAD_VERSION,
       "the model's file is of version 2: this library reads version 1");
  const auto with_tail = [](const Saved& model) {
    Saved tailed = model.copy(model.size());
    tailed.put(64 + 15, 'x');
    tailed.put(16, tailed.sum(24, tailed.get<int64_t>(32)));
    return tailed;
  };
  changed = with_tail(saved);
  const std::string name = saved.data() + 64;
  says(ksr_model_open(changed.data(), changed.size(), &model, &error), KSR_BAD_FILE,
       ("processor is \"" + name + "\": there must be zeros behind it").c_str());
  changed = with_tail(file);
  says(ksr_model_size(changed.data(), changed.size(), nullptr, &size, &error), KSR_BAD_FILE,
       "processor is \"\": a file is for no one processor");
  changed.put(0, 'K');
  says(ksr_model_size(changed.data(), changed.size(), nullptr, &size, &error), KSR_BAD_FILE,
       "this is no model's file: it must begin with \"ksr-mode\"");
  says(ksr_model_size(file.data(), file.size(), "pdp11", &size, &error), KSR_NO_PROCESSOR,
       "processor is \"pdp11\": it must be one of avx512vnni, avx512, avxvnni, avx2, neondot, "
       "neon, plain");
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  every_kind_of_step();
  what_it_says_of_itself();
  many_streams();
  streams_that_come_together();
  refusals();
  return failures != 0;
}
