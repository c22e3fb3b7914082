#include "matmul.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cpu.h"
#include "pool.h"
#include "scratch.h"
#include "sizes.h"
#include "wide.h"

namespace ksr {
namespace {

constexpr int64_t kGroup = 16;             // panels that share one pass over the weights
constexpr double kWorthSharing = 100000;  // weights times panels, about 30 microseconds

int team_size(double work) { return work < kWorthSharing ? 1 : num_threads(); }

struct Shape {
  explicit Shape(const Packed& kernel)
      : kernels(ksr::kernels()),
        inputs(round_up(kernel.padded_inputs(), 16)),
        units(round_up(kernel.padded_units(), 16)),
        outputs(kernel.gates * units) {
    for (int g = 0; g < kernel.gates; ++g) slots.push_back(g);
  }
  const Kernels& kernels;          // of the whole call, whatever is chosen meanwhile
  int64_t inputs, units, outputs;  // padded: of a panel of x, of one gate in a panel of y, of a panel of y
  std::vector<int> slots;          // the gates, one after the other
};

int64_t panels_of(int64_t rows) { return rows / kLanes + (rows % kLanes > 0); }

void check(const Packed& kernel, int64_t n) {
  check_sizes("kernel", kernel);
  if (n < 0) throw std::invalid_argument("`n` must not be negative. Received: " + std::to_string(n));
  checked_product({n, std::max(kernel.inputs, kernel.gates * kernel.units), sizeof(float)});
}

// The pointers to 16 rows from `first` on, null beyond `count`.
template <typename Float>
void rows_at(Float* data, int64_t first, int64_t count, int64_t stride, Float** rows) {
  for (int64_t i = 0; i < kLanes; ++i) rows[i] = first + i < count ? data + (first + i) * stride : nullptr;
}

void x_to_panel(const Packed& kernel, const Shape& shape, int64_t n, const float* x, int64_t panel, float* out) {
  const float* rows[kLanes];
  rows_at(x, panel * kLanes, n, kernel.inputs, rows);
  shape.kernels.rows_to_panel(rows, kernel.inputs, out);
  zero(out + int64_t{kernel.inputs} * kLanes, (shape.inputs - kernel.inputs) * kLanes);
}

void few_rows(const Packed& kernel, const Shape& shape, const Plan& plan, int64_t n, const float* x, float* y) {
  Scratch scratch(n * (shape.inputs + shape.outputs));
  float *in = scratch.take(n * shape.inputs), *out = scratch.take(n * shape.outputs);
  zero(out, n * shape.outputs);
  for (int64_t i = 0; i < n; ++i) {
    copy(x + i * kernel.inputs, kernel.inputs, in + i * shape.inputs);
    zero(in + i * shape.inputs + kernel.inputs, shape.inputs - kernel.inputs);
  }
  parallel(team_size(static_cast<double>(plan.weights() * n) / 4), false, [&](int id, Team& team) {
    const std::vector<int> cuts = plan.cut_columns(team.size(), 1);
    plan.multiply_rows(cuts[id], cuts[id + 1], static_cast<int>(n), in, shape.inputs, out, shape.outputs);
  });
  for (int64_t i = 0; i < n; ++i)
    for (int g = 0; g < kernel.gates; ++g)
      copy(out + i * shape.outputs + g * shape.units, kernel.units, y + (i * kernel.gates + g) * kernel.units);
}

}  // namespace

void matmul_forward(const Packed& kernel, int64_t n, const float* x, float* y) {
  check(kernel, n);
  if (n == 0) return;
  const Shape shape(kernel);
  const Plan plan(shape.kernels, kernel, 0, kernel.gates, shape.slots.data(), static_cast<int>(shape.units), false);
  if (n < shape.kernels.few_samples) return few_rows(kernel, shape, plan, n, x, y);
  const int64_t panels = panels_of(n);
  const int size = static_cast<int>(std::min<int64_t>(team_size(static_cast<double>(plan.weights()) * static_cast<double>(panels)), panels));
  const int64_t in_floats = shape.inputs * kLanes, out_floats = shape.outputs * kLanes, group = std::min(kGroup, panels);
  const int step = plan.columns_of_weights(kGroupWeights);
  const int64_t wide_floats = round_up(Wide::floats_of_any(plan, step), 16), floats = group * (in_floats + out_floats) + wide_floats;
  Scratch scratch(size * floats);
  float* memory = scratch.take(size * floats);
  parallel(size, false, [&](int id, Team& team) {
    float *in = memory + id * floats, *out = in + group * in_floats, *wide = out + group * out_floats;
    Wide weights(plan);
    const auto mine = share(panels, id, team.size());
    for (int64_t begin = mine.first; begin < mine.second; begin += group) {
      const int64_t count = std::min(group, mine.second - begin);
      for (int64_t i = 0; i < count; ++i) x_to_panel(kernel, shape, n, x, begin + i, in + i * in_floats);
      zero(out, count * out_floats);
      for (int c = 0; c < plan.columns(); c += step) {
        const int last = std::min(c + step, plan.columns());
        weights.widen(c, last, wide);
        for (int64_t i = 0; i < count; ++i) weights.multiply(c, last, in + i * in_floats, out + i * out_floats);
      }
      for (int64_t i = 0; i < count; ++i) {
        for (int g = 0; g < kernel.gates; ++g) {
          float* rows[kLanes];
          rows_at(y + int64_t{g} * kernel.units, (begin + i) * kLanes, n, int64_t{kernel.gates} * kernel.units, rows);
          shape.kernels.panel_to_rows(out + i * out_floats + g * shape.units * kLanes, kernel.units, rows);
        }
      }
    }
  });
}

void matmul_backward(const Packed& kernel, int64_t n, const ProductGradients& gradients) {
  check(kernel, n);
  zero(gradients.d_values, kernel.live * kernel.height * kernel.width);
  if (n == 0) return;
  const Shape shape(kernel);
  const Plan plan(shape.kernels, kernel, 0, kernel.gates, shape.slots.data(), static_cast<int>(shape.units), true);
  const int64_t panels = panels_of(n), group = std::min<int64_t>(2 * kGroup, panels);
  const int size = team_size(static_cast<double>(plan.weights()) * static_cast<double>(panels));
  const int64_t in_floats = shape.inputs * kLanes, out_floats = shape.outputs * kLanes;
  Scratch scratch(group * (2 * in_floats + out_floats));
  float *in = scratch.take(group * in_floats), *d_in = scratch.take(group * in_floats), *d_out = scratch.take(group * out_floats);
  std::vector<const float*> ins(group), outs(group);
  for (int64_t i = 0; i < group; ++i) ins[i] = in + i * in_floats, outs[i] = d_out + i * out_floats;
  zero(d_out, group * out_floats);  // padding between the gates stays zero
  parallel(size, false, [&](int id, Team& team) {
    for (int64_t begin = 0; begin < panels; begin += group) {
      const int64_t count = std::min(group, panels - begin);
      const auto mine = share(count, id, team.size());
      for (int64_t i = mine.first; i < mine.second; ++i) {
        x_to_panel(kernel, shape, n, gradients.x, begin + i, in + i * in_floats);
        for (int g = 0; g < kernel.gates; ++g) {
          const float* rows[kLanes];
          rows_at(gradients.dy + int64_t{g} * kernel.units, (begin + i) * kLanes, n, int64_t{kernel.gates} * kernel.units, rows);
          shape.kernels.rows_to_panel(rows, kernel.units, d_out + i * out_floats + g * shape.units * kLanes);
        }
        float *d = d_in + i * in_floats, *rows[kLanes];
        zero(d, in_floats);
        plan.kernels().panel_backward(&plan.backward(), 0, plan.rows(), d_out + i * out_floats, d);
        rows_at(gradients.dx, (begin + i) * kLanes, n, kernel.inputs, rows);
        shape.kernels.panel_to_rows(d, kernel.inputs, rows);
      }
      team.barrier(id);
      const Outer outer = {kernel.height, kernel.width, plan.block_rows(), plan.block_columns(), count, ins.data(), outs.data(), gradients.d_values};
      const auto blocks = share(kernel.live, id, team.size());
      plan.kernels().outer(&outer, blocks.first, blocks.second);
      team.barrier(id);
    }
  });
  clear_padding(kernel, gradients.d_values);
}

void clear_padding(const Packed& kernel, float* values) {
  const int bottom = kernel.padded_inputs() - kernel.inputs, right = kernel.padded_units() - kernel.units;
  if (!bottom && !right) return;
  for (int64_t i = 0; i < kernel.live; ++i, values += kernel.height * kernel.width) {
    const bool last_row = kernel.blocks[i] % kernel.rows() == kernel.rows() - 1;
    const bool last_column = kernel.blocks[i] / kernel.rows() % kernel.columns() == kernel.columns() - 1;
    for (int r = 0; r < kernel.height; ++r)
      for (int c = 0; c < kernel.width; ++c)
        if ((last_row && r >= kernel.height - bottom) || (last_column && c >= kernel.width - right)) values[r * kernel.width + c] = 0.0f;
  }
}

}  // namespace ksr
