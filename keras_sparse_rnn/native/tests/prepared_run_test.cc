// Whole sequences of several samples through a prepared cell: the bits that ksr_run gives, stream by
// stream, whatever the parts, threads and samples.
#include "../core/pool.h"
#include "../core/prepared_cell.h"
#include "prepared.h"

namespace {

struct Ran {
  Floats outputs, h, c;
};

// What ksr_run gives, one stream a sample. A step that does not count is left out, and repeats the
// output before it.
Ran streams(const ksr_description& d, const ksr::Sequences& s) {
  const int64_t inputs = d.kernel.inputs, units = d.kernel.units;
  Ran ran = {Floats(s.batch * s.time * units), Floats(s.batch * units), {}};
  if (s.c0) ran.c.resize(s.batch * units);
  for (int64_t b = 0; b < s.batch; ++b) {
    Stream stream(d, s.h0 + b * units, s.c0 ? s.c0 + b * units : nullptr);
    Floats y(units);
    for (int64_t t = 0; t < s.time; ++t) {
      const int64_t from = b * s.time + (s.go_backwards ? s.time - 1 - t : t);
      if (!s.mask || s.mask[from])
        y = stream.run(Floats(s.x + from * inputs, s.x + (from + 1) * inputs));
      std::copy(y.begin(), y.end(), ran.outputs.begin() + (b * s.time + t) * units);
    }
    const Floats h = stream.read(false);
    std::copy(h.begin(), h.end(), ran.h.begin() + b * units);
    if (!s.c0) continue;
    const Floats c = stream.read(true);
    std::copy(c.begin(), c.end(), ran.c.begin() + b * units);
  }
  return ran;
}

void same(const Floats& got, const Floats& wanted, const char* what) {
  for (size_t i = 0; i < got.size(); ++i)
    if (got[i] != wanted[i]) return expect(false, what, got[i], wanted[i]);
}

void try_sequences() {
  const ksr::Cell cell = kRecurrentCells[pick(0, 4)];
  const int64_t batch = pick(1, 9), time = pick(0, 11);
  const int inputs = static_cast<int>(pick(1, 90)), units = static_cast<int>(pick(1, 150));
  const int *shape = kShapes[pick(0, kShapeCount - 1)], *other = kShapes[pick(0, kShapeCount - 1)];
  const int32_t types[] = {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8};
  Described d(cell, 1, inputs, units, shape, other, pick(0, 10) / 10.0, pick(0, 1), types[pick(0, 2)]);
  d.description.activations = pick(0, 1) ? KSR_INT8 : KSR_FLOAT32;
  d.description.input_range = d.description.activations == KSR_INT8 && pick(0, 1) ? 0.7f : 0.0f;
  const Floats x = random_floats(batch * time * inputs), h0 = random_floats(batch * units),
               c0 = random_floats(batch * units);
  std::vector<uint8_t> mask(batch * time);
  for (uint8_t& one : mask) one = pick(0, 2) > 0;
  ksr::Sequences s = {batch,    time,      pick(0, 1) == 1, x.data(),
                      h0.data(), nullptr,  nullptr,         nullptr, nullptr, nullptr};
  if (cell == ksr::Cell::kLstm) s.c0 = c0.data();
  if (pick(0, 1)) s.mask = mask.data();
  const Ran wanted = streams(d.description, s);
  for (int parts = 1; parts <= 4; ++parts) {
    ksr_error error = {};
    const auto prepared = ksr::PreparedCell::make(d.description, parts, &error);
    if (!prepared) return expect(false, error.text, error.status, KSR_OK);
    const int most = (units + 15) / 16;
    expect(prepared->parts() <= std::min(parts, most), "parts", prepared->parts(), parts);
    for (const bool team : {false, true}) {
      char line[200];
      std::snprintf(line, sizeof line, "[cell %d, %lld x %lld, %d -> %d, %dx%d, %dx%d, int8 %d, parts %d, team %d]",
                    static_cast<int>(cell), static_cast<long long>(batch), static_cast<long long>(time),
                    inputs, units, shape[0], shape[1], other[0], other[1], d.description.activations,
                    prepared->parts(), team);
      about = line;
      Ran got = {Floats(wanted.outputs.size(), NAN), Floats(wanted.h.size(), NAN),
                 Floats(wanted.c.size(), NAN)};
      s.outputs = got.outputs.data();
      s.h = got.h.data();
      s.c = s.c0 ? got.c.data() : nullptr;
      prepared->run(s, team ? static_cast<int>(pick(2, 4)) : 1);
      same(got.outputs, wanted.outputs, "outputs");
      same(got.h, wanted.h, "h");
      same(got.c, wanted.c, "c");
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (processor_is_missing()) return kSkipped;
  ksr::set_num_threads(4);
  const int problems = count > 1 ? std::atoi(arguments[1]) : 200;
  for (int i = 0; i < problems; ++i) try_sequences();
  return failures != 0;
}
