// The forward pass in row layout, for fewer samples than make a panel worth while: the recurrent product streams the live weights, whose columns
// lie side by side in vectors. The input of many steps still is projected in panels, sixteen steps in the place of sixteen samples.

#include <algorithm>
#include <utility>

#include "cpu.h"
#include "layout.h"
#include "pool.h"
#include "scratch.h"

namespace ksr {
namespace {

constexpr int64_t kFewRows = 8;    // fewer rows than this are projected as rows
constexpr int64_t kChunkRows = 64;

void prefetch_to_write(const float* line) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*line));  // the compiler's own is a plain prefetch unless told that all processors have this one
#else
  __builtin_prefetch(line, 1);
#endif
}

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

  const int threads = worth ? num_threads() : 1;
  const int64_t x_floats = layout.in_features * kLanes, y_floats = gates * kLanes;
  Scratch scratch(panels * x_floats + threads * y_floats + batch * chunk * gates + 3 * batch * features);
  float* x = scratch.take(panels * x_floats);
  float* y = scratch.take(threads * y_floats);   // one panel for each thread
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

  parallel(threads, true, [&](int id, Team& team) {
    // Columns of one thread begin at multiples of a vector, so that no two threads write into one.
    const int width = plans.recurrent.width(), step = 16 / gcd(16, width);
    const std::vector<int> cuts = plans.recurrent.cut_columns(team.size(), step);
    const int begin = cuts[id], end = cuts[id + 1];
    const int64_t from = std::min<int64_t>(int64_t{begin} * width, units), to = std::min<int64_t>(int64_t{end} * width, units);
    // The input's share of the sums is computed by the thread that will use it, but for a block column that two threads share.
    const int kernel_width = plans.kernel.width(), kernel_columns = plans.kernel.columns();
    const auto column_at = [&](int64_t unit) { return static_cast<int>(std::min<int64_t>((unit + kernel_width - 1) / kernel_width, kernel_columns)); };
    const int kernel_begin = column_at(from), kernel_end = to == units ? (from < to ? kernel_columns : kernel_begin) : column_at(to);
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
      // The features of the kernel's columns [column, last), with the padding behind the last one.
      const auto features_of = [&](int column, int last) {
        const int64_t first_feature = int64_t{column} * kernel_width;
        return std::make_pair(first_feature, last == kernel_columns ? features : int64_t{last} * kernel_width);
      };
      if (rows < kFewRows) {
        const auto mine = share(rows, id, team.size());
        for (int64_t row = mine.first; row < mine.second; ++row) {
          float* padded_x = x + row * layout.in_features;
          copy(source(row), layout.inputs, padded_x);
          zero(padded_x + layout.inputs, layout.in_features - layout.inputs);
        }
        if (kernel_begin < kernel_end) {
          const auto [first_feature, last_feature] = features_of(kernel_begin, kernel_end);
          for (int64_t row = 0; row < rows; ++row)
            for (int64_t slot = 0; slot < layout.slots; ++slot)
              copy(bias.data() + slot * features + first_feature, last_feature - first_feature, gates_of(row) + slot * features + first_feature);
        }
        team.barrier(id);
        // A single step is one product for all samples.
        const int64_t products = steps == 1 ? 1 : batch, samples = steps == 1 ? batch : steps;
        for (int64_t b = 0; b < products; ++b)
          plans.kernel.multiply_rows(kernel_begin, kernel_end, static_cast<int>(samples), x + b * steps * layout.in_features,
                                     layout.in_features, g + b * chunk * gates, steps == 1 ? chunk * gates : gates);
      } else {
        // A last panel that would be half empty or more is left to the row kernels.
        const int64_t left = rows % kLanes, tail = left <= std::min(kFewRows, steps) ? left : 0;
        const int64_t used = (rows - tail + kLanes - 1) / kLanes;
        float *tail_x = x + used * x_floats, *tail_g = gates_of(rows - tail);
        const auto mine = share(used, id, team.size());
        if (id == team.size() - 1) {
          for (int64_t i = 0; i < tail; ++i) {
            copy(source(rows - tail + i), layout.inputs, tail_x + i * layout.in_features);
            zero(tail_x + i * layout.in_features + layout.inputs, layout.in_features - layout.inputs);
          }
        }
        for (int64_t p = mine.first; p < mine.second; ++p) {
          const float* lanes[kLanes];
          for (int64_t i = 0; i < kLanes; ++i) lanes[i] = p * kLanes + i < rows ? source(p * kLanes + i) : nullptr;
          k.rows_to_panel(lanes, layout.inputs, x + p * x_floats);
          zero(x + p * x_floats + layout.inputs * kLanes, (layout.in_features - layout.inputs) * kLanes);
        }
        team.barrier(id);
        // A few columns at a time go all the way, so that their sums never leave the first cache.
        float* sums = y + id * y_floats;
        const int group = std::max(1, 64 / kernel_width);
        for (int column = kernel_begin; column < kernel_end; column += group) {
          const int last_column = std::min(column + group, kernel_end);
          const auto [first_feature, last_feature] = features_of(column, last_column);
          const int64_t count = last_feature - first_feature;
          for (int64_t p = 0; p < used; ++p) {
            for (int64_t slot = 0; slot < layout.slots; ++slot)
              k.fill_panel(bias.data() + slot * features + first_feature, count, sums + (slot * features + first_feature) * kLanes);
            plans.kernel.multiply(column, last_column, x + p * x_floats, sums);
            for (int64_t slot = 0; slot < layout.slots; ++slot) {
              float* lanes[kLanes];
              const int64_t offset = slot * features + first_feature;
              for (int64_t i = 0; i < kLanes; ++i) lanes[i] = p * kLanes + i < rows ? gates_of(p * kLanes + i) + offset : nullptr;
              k.panel_to_rows(sums + offset * kLanes, count, lanes);
            }
          }
          for (int64_t i = 0; i < tail; ++i)
            for (int64_t slot = 0; slot < layout.slots; ++slot)
              copy(bias.data() + slot * features + first_feature, count, tail_g + i * gates + slot * features + first_feature);
          if (tail) plans.kernel.multiply_rows(column, last_column, static_cast<int>(tail), tail_x, layout.in_features, tail_g, gates);
        }
      }
      team.barrier(id);

      for (int64_t t = t0; t < t0 + steps; ++t) {
        const float* before = states[t % 2];
        float* now = states[(t + 1) % 2];
        const auto counts = [&](int64_t b) { return !problem.mask || problem.mask[b * time + source_step(problem, t)]; };
        float* gates_now = g + t % chunk * gates;
        // The other threads' processors hold their parts of the state, and have read this thread's part of the buffer that is written next.
        if (team.size() > 1) {
          for (int64_t b = 0; b < batch; ++b) {
            for (int64_t u = 0; u < features; u += 16)
              if (u < from || u >= to) __builtin_prefetch(before + b * features + u);
            for (int64_t u = from; u < to; u += 16) prefetch_to_write(now + b * features + u);
          }
        }
        plans.recurrent.multiply_rows(begin, end, static_cast<int>(batch), before, features, gates_now, chunk * gates);
        if (plans.candidate) {
          for (int64_t b = 0; b < batch; ++b) apply(k.gru_reset, b, t, before, now);
          if (last)  // r * h beyond the last unit is read by the partial blocks at the edge
            for (int64_t b = 0; b < batch; ++b)
              zero(gates_now + b * chunk * gates + 3 * features + units, features - units);
          team.barrier(id);
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
        team.barrier(id);
      }
    }
  });

  for (int64_t b = 0; b < batch; ++b) {
    copy(states[time % 2] + b * features, units, out.h + b * units);
    if (lstm) copy(c + b * features, units, out.c + b * units);
  }
}

}  // namespace ksr
