// The forward pass in row layout, for fewer samples than make a panel worth while: the recurrent product streams the live weights, whose columns
// lie side by side in vectors. The input of many steps still is projected in panels, sixteen steps in the place of sixteen samples.
//
// Each thread has some units, and all that it computes with in memory of its own: the input's panels, the gates of its units, a copy of h. After a
// step it publishes its part of h and fetches the others'. Where two processors share no cache, anything else costs half the time of a call: not
// only to read what another one has just written, but also to write near it, because processors fetch the lines behind those that they stream
// through, up to the end of a page, and take them away from their owner.

#include <algorithm>

#include "cpu.h"
#include "layout.h"
#include "pool.h"
#include "scratch.h"

namespace ksr {
namespace {

constexpr int64_t kChunkRows = 64;
constexpr int64_t kGroup = 64;     // features that are projected in one go
constexpr int kOwnInputs = 4;      // threads of a team in which each transposes the input for itself
constexpr int64_t kPage = 1024;    // floats of a page of memory, so far apart are the memories of two threads

// One thread's share of a problem.
struct Part {
  int begin, end;                // columns of the recurrent kernel
  int64_t from, to;              // units
  int kernel_begin, kernel_end;  // columns of the input's kernel that have these units: one that two threads share is computed by both
  int64_t first, width;          // the features that its gates have in memory: those of all these columns
  int64_t memory;                // where its memory begins

  int64_t units() const { return to - from; }
};

// What all threads know.
struct Call {
  Call(const Recurrent& problem, const Layout& layout, const RecurrentOut& out)
      : problem(problem),
        out(out),
        layout(layout),
        plans(problem, layout, false),
        bias(slot_bias(problem, layout)),
        first(first_steps(problem)),
        chunk(std::max<int64_t>(1, std::min(problem.time, kChunkRows / problem.batch))),
        panels((problem.batch * chunk + kLanes - 1) / kLanes),
        group(static_cast<int>(std::max<int64_t>(1, kGroup / plans.kernel.width()))) {}

  // How far the memory of a part may reach beyond its units, on both sides together.
  int64_t margin() const { return 2 * round_up(std::max(plans.kernel.width(), plans.recurrent.width()), 16) + 64; }
  int64_t x_floats() const { return panels * layout.in_features * kLanes; }
  int64_t sums_floats() const { return layout.slots * (int64_t{group} * plans.kernel.width() + margin()) * kLanes; }
  int64_t state_floats() const { return round_up(problem.batch * layout.features, 16); }
  int64_t gate_rows() const { return problem.batch * chunk * layout.slots; }
  int64_t published_floats(int64_t units) const { return round_up(problem.batch * units, 16); }

  // Floats of a part's own memory, then those that other threads read, each with a page behind it.
  int64_t own_floats(int64_t width) const {
    return round_up(x_floats() + sums_floats() + 2 * state_floats() + (gate_rows() + problem.batch) * width, 16) + kPage;
  }
  int64_t memory_floats(int64_t width, int64_t units) const { return own_floats(width) + 2 * published_floats(units) + kPage; }

  std::vector<Part> parts(int count) const {
    const int width = plans.recurrent.width(), kernel_width = plans.kernel.width(), kernel_columns = plans.kernel.columns();
    const std::vector<int> cuts = plans.recurrent.cut_columns(count, 16);  // at multiples of a vector
    std::vector<Part> parts;
    int64_t memory = 0;
    for (int i = 0; i < count; ++i) {
      Part part = {cuts[i], cuts[i + 1], 0, 0, 0, 0, 0, 0, memory};
      part.from = std::min<int64_t>(int64_t{part.begin} * width, layout.units);
      part.to = std::min<int64_t>(int64_t{part.end} * width, layout.units);
      if (part.from < part.to) {
        part.kernel_begin = static_cast<int>(part.from / kernel_width);
        part.kernel_end = static_cast<int>(std::min<int64_t>((part.to + kernel_width - 1) / kernel_width, kernel_columns));
        part.first = std::min(part.from, int64_t{part.kernel_begin} * kernel_width) / 16 * 16;
        part.width = round_up(std::max(int64_t{part.end} * width, int64_t{part.kernel_end} * kernel_width), 16) - part.first;
      }
      memory += memory_floats(part.width, part.units());
      parts.push_back(part);
    }
    return parts;
  }

  // Enough for up to `threads` parts.
  int64_t all_floats(int threads) const {
    return threads * memory_floats(margin(), 16) + (gate_rows() + problem.batch) * layout.features + 2 * published_floats(layout.features);
  }

  const Recurrent& problem;
  const RecurrentOut& out;
  const Layout& layout;
  const Plans plans;
  const std::vector<float> bias;
  const std::vector<int64_t> first;
  const int64_t chunk, panels;  // steps that are projected together, in panels
  const int group;              // columns of the input's kernel
};

class Worker {
 public:
  Worker(const Call& call, int id, Team& team, float* memory)
      : call_(call), id_(id), team_(team), memory_(memory), parts_(call.parts(team.size())), part_(parts_[id]), k_(call.layout.kernels) {
    const Recurrent& problem = call.problem;
    x_ = memory + part_.memory;
    sums_ = x_ + call.x_floats();
    h_ = sums_ + call.sums_floats();
    reset_ = h_ + call.state_floats();
    g_ = reset_ + call.state_floats();
    c_ = g_ + call.gate_rows() * part_.width;
    zero(h_, problem.batch * features());
    zero(reset_, problem.batch * features());
    zero(c_, problem.batch * part_.width);
    for (int64_t b = 0; b < problem.batch; ++b) {
      copy(problem.h0 + b * units(), units(), h_ + b * features());
      if (problem.c0) copy(problem.c0 + b * units() + part_.from, part_.units(), c_ + b * part_.width + part_.from - part_.first);
      keep(0, b, nullptr);
    }
  }

  void run() {
    const Recurrent& problem = call_.problem;
    for (int64_t begin = 0; begin < problem.time; begin += call_.chunk) {
      const int64_t steps = std::min(call_.chunk, problem.time - begin);
      project(begin, steps);
      for (int64_t t = begin; t < begin + steps; ++t) step(t);
    }
    for (int64_t b = 0; call_.out.h && b < problem.batch; ++b) {
      if (id_ == 0) copy(h_ + b * features(), units(), call_.out.h + b * units());
      if (call_.out.c) copy(c_ + b * part_.width + part_.from - part_.first, part_.units(), call_.out.c + b * units() + part_.from);
    }
  }

 private:
  int64_t units() const { return call_.layout.units; }
  int64_t features() const { return call_.layout.features; }
  int64_t slots() const { return call_.layout.slots; }
  int64_t gates() const { return slots() * part_.width; }  // floats of a step of a sample in `g_`, which is [batch, chunk, slots, width]
  Place place() const { return {part_.width, part_.first}; }

  // The gates of steps [begin, begin + steps): bias and input.
  void project(int64_t begin, int64_t steps) {
    const bool once = team_.size() > kOwnInputs;  // x is transposed, into memory that all read
    if (part_.width == 0 && !once) return;
    const Layout& layout = call_.layout;
    const Plan& kernel = call_.plans.kernel;
    const int64_t rows = call_.problem.batch * steps;  // steps of samples, time fastest
    const auto gates_of = [&](int64_t row) { return g_ + (row / steps * call_.chunk + row % steps) * gates(); };
    const auto source = [&](int64_t row) {
      return call_.problem.x + (row / steps * call_.problem.time + source_step(call_.problem, begin + row % steps)) * layout.inputs;
    };
    const auto padded_row = [&](int64_t row, float* to) {
      copy(source(row), layout.inputs, to);
      zero(to + layout.inputs, layout.in_features - layout.inputs);
    };
    const auto bias = [&](int64_t row, int64_t from, int64_t count) {
      for (int64_t slot = 0; slot < slots(); ++slot)
        copy(call_.bias.data() + slot * features() + from, count, gates_of(row) + slot * part_.width + from - part_.first);
    };
    if (rows < k_.few_samples) {
      for (int64_t row = 0; row < rows; ++row) {
        padded_row(row, x_ + row * layout.in_features);
        bias(row, part_.first, part_.width);
      }
      // A single step is one product for all samples.
      const int64_t products = steps == 1 ? 1 : call_.problem.batch, samples = steps == 1 ? call_.problem.batch : steps;
      for (int64_t b = 0; b < products; ++b)
        kernel.multiply_rows(part_.kernel_begin, part_.kernel_end, static_cast<int>(samples), x_ + b * steps * layout.in_features, layout.in_features,
                             g_ + b * call_.chunk * gates(), steps == 1 ? call_.chunk * gates() : gates(), place());
      return;
    }
    // A last panel that would be half empty or more is left to the row kernels.
    const int64_t left = rows % kLanes, tail = left < k_.few_left && left <= steps ? left : 0;
    const int64_t used = (rows - tail + kLanes - 1) / kLanes, x_floats = layout.in_features * kLanes;
    float* panels_x = once ? memory_ + parts_[0].memory : x_;
    const auto [first, past] = once ? share(used, id_, team_.size()) : std::pair<int64_t, int64_t>(0, used);
    float* tail_x = x_ + used * x_floats;
    for (int64_t i = 0; i < tail; ++i) padded_row(rows - tail + i, tail_x + i * layout.in_features);
    for (int64_t p = first; p < past; ++p) {
      const float* lanes[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) lanes[i] = p * kLanes + i < rows ? source(p * kLanes + i) : nullptr;
      k_.rows_to_panel(lanes, layout.inputs, panels_x + p * x_floats);
      zero(panels_x + p * x_floats + layout.inputs * kLanes, (layout.in_features - layout.inputs) * kLanes);
    }
    if (once) team_.barrier(id_);  // before it is written again, all will have met after a step
    // A few columns at a time go all the way, so that their sums never leave the first cache.
    for (int column = part_.kernel_begin; column < part_.kernel_end; column += call_.group) {
      const int last = std::min(column + call_.group, part_.kernel_end);
      const int64_t from = column == part_.kernel_begin ? part_.first : int64_t{column} * kernel.width();
      const int64_t count = (last == part_.kernel_end ? part_.first + part_.width : int64_t{last} * kernel.width()) - from;
      for (int64_t p = 0; p < used; ++p) {
        for (int64_t slot = 0; slot < slots(); ++slot)
          k_.fill_panel(call_.bias.data() + slot * features() + from, count, sums_ + slot * count * kLanes);
        kernel.multiply(column, last, panels_x + p * x_floats, sums_, {count, from});
        for (int64_t slot = 0; slot < slots(); ++slot) {
          float* lanes[kLanes];
          for (int64_t i = 0; i < kLanes; ++i)
            lanes[i] = p * kLanes + i < rows ? gates_of(p * kLanes + i) + slot * part_.width + from - part_.first : nullptr;
          k_.panel_to_rows(sums_ + slot * count * kLanes, count, lanes);
        }
      }
      for (int64_t i = 0; i < tail; ++i) bias(rows - tail + i, from, count);
      if (tail) kernel.multiply_rows(column, last, static_cast<int>(tail), tail_x, layout.in_features, gates_of(rows - tail), gates(), place());
    }
  }

  void step(int64_t t) {
    const Recurrent& problem = call_.problem;
    const int64_t own = part_.from - part_.first, stride = call_.chunk * gates();
    const int batch = static_cast<int>(problem.batch);
    float* now = g_ + t % call_.chunk * gates();
    call_.plans.recurrent.multiply_rows(part_.begin, part_.end, batch, h_, features(), now, stride, place());
    if (call_.plans.candidate) {
      for (int64_t b = 0; b < batch; ++b) apply(call_.layout.cell.reset, b, now + b * stride);
      exchange(now + call_.layout.rule.slots * part_.width + own, stride, reset_, 0);
      call_.plans.candidate->multiply_rows(part_.begin, part_.end, batch, reset_, features(), now, stride, place());
    }
    for (int64_t b = 0; b < batch; ++b)
      if (!problem.mask || problem.mask[b * problem.time + source_step(problem, t)]) apply(call_.layout.cell.update, b, now + b * stride);
    for (int64_t b = 0; b < batch; ++b) keep(t + 1, b, now + b * stride);
    exchange(h_ + part_.from, features(), h_, call_.plans.candidate ? 1 : t % 2);
    for (int64_t b = 0; call_.out.h && b < batch; ++b) {
      if ((t + b) % team_.size() != id_) continue;
      float* to = call_.out.outputs + (b * problem.time + t) * units();
      if (call_.first.empty() || t >= call_.first[b]) copy(h_ + b * features(), units(), to);
      else zero(to, units());
    }
  }

  // Writes this thread's units of slab `t` of the reserve, where one is wanted; `gates` is null for the initial states.
  void keep(int64_t t, int64_t b, const float* gates) {
    if (!call_.out.reserve || part_.units() == 0) return;
    const int64_t own = part_.from - part_.first, count = round_up(part_.units(), 16);
    float* slab = call_.out.reserve + (t * call_.problem.batch + b) * call_.layout.row_slab + part_.from;
    for (int64_t slot = 0; gates && slot < slots(); ++slot) copy(gates + slot * part_.width + own, count, slab + slot * features());
    copy(h_ + b * features() + part_.from, count, slab + slots() * features());
    if (call_.layout.has_c()) copy(c_ + b * part_.width + own, count, slab + (slots() + 1) * features());
  }

  void apply(void (*cell)(const CellForward*), int64_t b, float* gates_of) {
    if (part_.units() == 0) return;
    float *h = h_ + b * features() + part_.from, *c = c_ + b * part_.width + part_.from - part_.first;
    const CellForward arguments = {gates_of + part_.from - part_.first, part_.width, h, c, h, c, nullptr, round_up(part_.units(), 16)};
    cell(&arguments);
    zero(h_ + b * features() + units(), features() - units());
  }

  // `full` [batch, features] gets this thread's units from `own`, and the other threads'. What was published with another `turn` may be read meanwhile.
  void exchange(const float* own, int64_t own_stride, float* full, int64_t turn) {
    const int64_t batch = call_.problem.batch;
    const auto published = [&](const Part& part) {
      return memory_ + part.memory + call_.own_floats(part.width) + turn * call_.published_floats(part.units());
    };
    for (int64_t b = 0; b < batch; ++b) {
      if (full + part_.from != own) copy(own + b * own_stride, part_.units(), full + b * features() + part_.from);
      if (team_.size() > 1) copy(own + b * own_stride, part_.units(), published(part_) + b * part_.units());
    }
    team_.barrier(id_);
    for (int i = 0; i < team_.size(); ++i) {
      const Part& part = parts_[i];
      for (int64_t b = 0; i != id_ && b < batch; ++b) copy(published(part) + b * part.units(), part.units(), full + b * features() + part.from);
    }
  }

  const Call& call_;
  const int id_;
  Team& team_;
  float* const memory_;
  const std::vector<Part> parts_;
  const Part& part_;
  const Kernels& k_;
  float *x_, *sums_, *h_, *reset_, *g_, *c_;
};

}  // namespace

void forward_rows(const Recurrent& problem, const Layout& layout, const RecurrentOut& out) {
  if (problem.batch == 0) return;
  const Call call(problem, layout, out);
  const int threads = row_threads(problem, call.plans);
  Scratch scratch(call.all_floats(threads));
  float* memory = scratch.take(call.all_floats(threads));
  parallel(threads, true, [&](int id, Team& team) { Worker(call, id, team, memory).run(); });
}

}  // namespace ksr
