// The forward pass in row layout, for fewer samples than make a panel worth while: the recurrent product streams the live weights, whose columns
// lie side by side in vectors. The input of many steps still is projected in panels, sixteen steps in the place of sixteen samples.

#include <algorithm>

#include "cpu.h"
#include "layout.h"
#include "pool.h"
#include "scratch.h"

namespace ksr {
namespace {

constexpr int64_t kFewRows = 8;    // fewer rows than this are projected as rows
constexpr int64_t kChunkRows = 64;

int gcd(int a, int b) { return b ? gcd(b, a % b) : a; }

}  // namespace

void forward_rows(const Recurrent& problem, const RecurrentOut& out) {
  const int64_t batch = problem.batch, time = problem.time;
  if (batch == 0) return;
  const Layout layout(problem);
  const Plans plans(problem, layout, false);
  const Kernels& k = kernels();
  const bool lstm = problem.cell == Cell::kLstm;
  const std::vector<float> bias = slot_bias(problem, layout);
  const std::vector<int64_t> first = first_steps(problem);
  const int64_t units = layout.units, features = layout.features, gates = layout.slots * features;
  const int64_t chunk = std::max<int64_t>(1, std::min(time, kChunkRows / batch)), panels = (batch * chunk + kLanes - 1) / kLanes;
  const int64_t weights = plans.recurrent.weights() + (plans.candidate ? plans.candidate->weights() : 0);
  // Worth it from some 3 microseconds a step and 100 in all.
  const bool worth = weights * batch >= 64 * 1024 && (weights + plans.kernel.weights()) * batch * time >= 4 * 1024 * 1024;

  const int64_t x_floats = layout.in_features * kLanes, y_floats = gates * kLanes;
  Scratch scratch(panels * (x_floats + y_floats) + batch * chunk * gates + 3 * batch * features);
  float* x = scratch.take(panels * x_floats);
  float* y = scratch.take(panels * y_floats);
  float* g = scratch.take(batch * chunk * gates);  // [batch, chunk, slots, features]
  float* c = scratch.take(batch * features);
  float* states[2] = {scratch.take(batch * features), scratch.take(batch * features)};  // h before and after, in turn
  zero(c, batch * features);
  zero(states[0], batch * features);
  zero(states[1], batch * features);
  for (int64_t b = 0; b < batch; ++b) {
    copy(problem.h0 + b * units, units, states[0] + b * features);
    if (lstm) copy(problem.c0 + b * units, units, c + b * features);
  }

  parallel(worth ? num_threads() : 1, true, [&](int id, Team& team) {
    // Columns of one thread begin at multiples of a vector, so that no two threads write into one.
    const int width = plans.recurrent.width(), step = 16 / gcd(16, width);
    const std::vector<int> cuts = plans.recurrent.cut_columns(team.size(), step), kernel_cuts = plans.kernel.cut_columns(team.size(), 1);
    const int begin = cuts[id], end = cuts[id + 1], kernel_begin = kernel_cuts[id], kernel_end = kernel_cuts[id + 1];
    const int64_t from = std::min<int64_t>(int64_t{begin} * width, units), to = std::min<int64_t>(int64_t{end} * width, units);
    const int64_t padded = round_up(to - from, 16);
    const bool last = to == units && from < to;  // the thread that also clears what lies beyond the last unit
    const auto apply = [&](void (*cell)(const CellForward*), int64_t b, int64_t t, const float* before, float* now) {
      if (from == to) return;
      float *states_c = c + b * features + from, *gates_of = g + (b * chunk + t % chunk) * gates + from;
      const CellForward arguments = {gates_of, features, before + b * features + from, states_c, now + b * features + from, states_c, nullptr, padded};
      cell(&arguments);
    };

    for (int64_t t0 = 0; t0 < time; t0 += chunk) {
      const int64_t steps = std::min(chunk, time - t0), rows = batch * steps;
      const auto source = [&](int64_t row) {  // row: a step of a sample, time fastest
        return problem.x + (row / steps * time + source_step(problem, t0 + row % steps)) * layout.inputs;
      };
      const auto gates_of = [&](int64_t row) { return g + (row / steps * chunk + row % steps) * gates; };
      if (rows < kFewRows) {
        const auto mine = share(rows, id, team.size());
        for (int64_t row = mine.first; row < mine.second; ++row) {
          float* padded_x = x + row * layout.in_features;
          copy(source(row), layout.inputs, padded_x);
          zero(padded_x + layout.inputs, layout.in_features - layout.inputs);
          copy(bias.data(), gates, gates_of(row));
        }
        team.barrier();
        // A single step is one product for all samples.
        const int64_t products = steps == 1 ? 1 : batch, samples = steps == 1 ? batch : steps;
        for (int64_t b = 0; b < products; ++b)
          plans.kernel.multiply_rows(kernel_begin, kernel_end, static_cast<int>(samples), x + b * steps * layout.in_features,
                                     layout.in_features, g + b * chunk * gates, steps == 1 ? chunk * gates : gates);
      } else {
        const int64_t used = (rows + kLanes - 1) / kLanes;
        const auto mine = share(used, id, team.size());
        for (int64_t p = mine.first; p < mine.second; ++p) {
          const float* lanes[kLanes];
          for (int64_t i = 0; i < kLanes; ++i) lanes[i] = p * kLanes + i < rows ? source(p * kLanes + i) : nullptr;
          k.rows_to_panel(lanes, layout.inputs, x + p * x_floats);
          zero(x + p * x_floats + layout.inputs * kLanes, (layout.in_features - layout.inputs) * kLanes);
          k.fill_panel(bias.data(), gates, y + p * y_floats);
        }
        team.barrier();
        const int group = 4;
        for (int column = kernel_begin; column < kernel_end; column += group)
          for (int64_t p = 0; p < used; ++p)
            plans.kernel.multiply(column, std::min(column + group, kernel_end), x + p * x_floats, y + p * y_floats);
        team.barrier();
        const auto transposed = share(gates / 16, id, team.size());
        for (int64_t p = 0; p < used; ++p) {
          float* lanes[kLanes];
          for (int64_t i = 0; i < kLanes; ++i) lanes[i] = p * kLanes + i < rows ? gates_of(p * kLanes + i) + transposed.first * 16 : nullptr;
          k.panel_to_rows(y + p * y_floats + transposed.first * 16 * kLanes, (transposed.second - transposed.first) * 16, lanes);
        }
      }
      team.barrier();

      for (int64_t t = t0; t < t0 + steps; ++t) {
        const float* before = states[t % 2];
        float* now = states[(t + 1) % 2];
        const auto counts = [&](int64_t b) { return !problem.mask || problem.mask[b * time + source_step(problem, t)]; };
        float* gates_now = g + t % chunk * gates;
        plans.recurrent.multiply_rows(begin, end, static_cast<int>(batch), before, features, gates_now, chunk * gates);
        if (plans.candidate) {
          for (int64_t b = 0; b < batch; ++b) apply(k.gru_reset, b, t, before, now);
          if (last)  // r * h beyond the last unit is read by the partial blocks at the edge
            for (int64_t b = 0; b < batch; ++b)
              zero(gates_now + b * chunk * gates + 3 * features + units, features - units);
          team.barrier();
          plans.candidate->multiply_rows(begin, end, static_cast<int>(batch), gates_now + 3 * features, chunk * gates, gates_now, chunk * gates);
        }
        for (int64_t b = 0; b < batch; ++b) {
          const int64_t row = (b * time + t) * units;
          float* h = now + b * features;
          if (counts(b)) {
            switch (problem.cell) {
              case Cell::kSimpleRnnTanh: apply(k.simple_rnn_tanh, b, t, before, now); break;
              case Cell::kSimpleRnnRelu: apply(k.simple_rnn_relu, b, t, before, now); break;
              case Cell::kLstm: apply(k.lstm, b, t, before, now); break;
              case Cell::kGruResetAfter: apply(k.gru, b, t, before, now); break;
              case Cell::kGruResetBefore: apply(k.gru_update, b, t, before, now); break;
            }
            if (last) zero(h + units, features - units);
          } else {
            copy(before + b * features + from, to - from, h + from);
          }
          if (first.empty() || t >= first[b]) copy(h + from, to - from, out.outputs + row + from);
          else zero(out.outputs + row + from, to - from);
        }
        team.barrier();
      }
    }
  });

  for (int64_t b = 0; b < batch; ++b) {
    copy(states[time % 2] + b * features, units, out.h + b * units);
    if (lstm) copy(c + b * features, units, out.c + b * units);
  }
}

}  // namespace ksr
