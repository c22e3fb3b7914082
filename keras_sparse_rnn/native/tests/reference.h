// The recurrent cells in double precision, written for clarity: dense kernels, one sample at a time. What the core is tested against.
#ifndef KERAS_SPARSE_RNN_TESTS_REFERENCE_H_
#define KERAS_SPARSE_RNN_TESTS_REFERENCE_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "../core/recurrent.h"

namespace reference {

using Doubles = std::vector<double>;

// The inputs of a problem that have gradients.
struct Inputs {
  Doubles x, h0, c0, kernel, recurrent, bias;  // as in ksr::Recurrent; kernels packed
};

struct Outputs {
  Doubles outputs, h, c;
};

inline Doubles dense(const ksr::Packed& packed, const Doubles& values) {
  Doubles kernel(int64_t{packed.inputs} * packed.gates * packed.units, 0.0);
  for (int64_t i = 0; i < packed.live; ++i) {
    const int number = packed.blocks[i], row = number % packed.rows(), column = number / packed.rows() % packed.columns();
    const int gate = number / packed.rows() / packed.columns();
    for (int r = 0; r < packed.height; ++r) {
      for (int c = 0; c < packed.width; ++c) {
        const int input = row * packed.height + r, unit = column * packed.width + c;
        if (input < packed.inputs && unit < packed.units)
          kernel[(int64_t{input} * packed.gates + gate) * packed.units + unit] = values[(i * packed.height + r) * packed.width + c];
      }
    }
  }
  return kernel;
}

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// y += x W for the gates [first, last). A weight of zero does not count, whatever it meets: dead blocks do not pass NaN and infinity on.
inline void product(const double* x, const Doubles& w, int inputs, int units, int gates, int first, int last, double* y) {
  for (int i = 0; i < inputs; ++i)
    for (int j = first * units; j < last * units; ++j) {
      const double weight = w[int64_t{i} * gates * units + j];
      if (weight != 0) y[j] += x[i] * weight;
    }
}

inline Outputs run(const ksr::Recurrent& p, const Inputs& in) {
  using ksr::Cell;
  const int inputs = p.kernel.inputs, units = p.kernel.units, gates = p.kernel.gates;
  const Doubles w = dense(p.kernel, in.kernel), u = dense(p.recurrent, in.recurrent);
  Outputs out = {Doubles(p.batch * p.time * units), in.h0, in.c0};
  for (int64_t b = 0; b < p.batch; ++b) {
    double *h = &out.h[b * units], *c = in.c0.empty() ? nullptr : &out.c[b * units];
    bool seen = false;
    for (int64_t t = 0; t < p.time; ++t) {
      const int64_t source = p.go_backwards ? p.time - 1 - t : t;
      double* output = &out.outputs[(b * p.time + t) * units];
      if (p.mask && !p.mask[b * p.time + source]) {
        for (int k = 0; k < units; ++k) output[k] = seen ? h[k] : 0.0;
        continue;
      }
      seen = true;
      Doubles a(gates * units, 0.0), inner(gates * units, 0.0), reset(units);
      if (!in.bias.empty()) a.assign(in.bias.begin(), in.bias.begin() + gates * units);
      if (!in.bias.empty() && p.cell == Cell::kGruResetAfter) inner.assign(in.bias.begin() + gates * units, in.bias.end());
      product(&in.x[(b * p.time + source) * inputs], w, inputs, units, gates, 0, gates, a.data());
      product(h, u, units, units, gates, 0, p.cell == Cell::kGruResetBefore ? 2 : gates, inner.data());
      for (int k = 0; k < units && p.cell == Cell::kGruResetBefore; ++k) reset[k] = sigmoid(a[units + k] + inner[units + k]) * h[k];
      if (p.cell == Cell::kGruResetBefore) product(reset.data(), u, units, units, gates, 2, 3, inner.data());
      for (int k = 0; k < units; ++k) {
        const auto sum = [&](int gate) { return a[gate * units + k] + inner[gate * units + k]; };
        if (p.cell == Cell::kSimpleRnnTanh) h[k] = std::tanh(sum(0));
        if (p.cell == Cell::kSimpleRnnRelu) h[k] = sum(0) < 0 ? 0 : sum(0);
        if (p.cell == Cell::kLstm) {
          c[k] = sigmoid(sum(1)) * c[k] + sigmoid(sum(0)) * std::tanh(sum(2));
          h[k] = sigmoid(sum(3)) * std::tanh(c[k]);
        }
        if (gates == 3) {
          const double z = sigmoid(sum(0)), r = p.cell == Cell::kGruResetAfter ? sigmoid(sum(1)) : 1.0;
          h[k] = z * h[k] + (1 - z) * std::tanh(a[2 * units + k] + r * inner[2 * units + k]);
        }
        output[k] = h[k];
      }
    }
  }
  return out;
}

}  // namespace reference

#endif  // KERAS_SPARSE_RNN_TESTS_REFERENCE_H_
