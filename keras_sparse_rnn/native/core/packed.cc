#include "packed.h"

#include <algorithm>
#include <numeric>

#include "cpu.h"

namespace ksr {
namespace {

// Cuts [0, weight.size()) into `parts` ranges of about equal total weight, at multiples of `step`.
std::vector<int> cut(const std::vector<int64_t>& weight, int parts, int step) {
  const int size = static_cast<int>(weight.size());
  int64_t total = 0, sum = 0;
  for (int64_t w : weight) total += w;
  std::vector<int> cuts(1, 0);
  for (int i = 0; i < size && static_cast<int>(cuts.size()) < parts; ++i) {
    sum += weight[i];
    const int64_t part = static_cast<int64_t>(cuts.size());
    if ((i + 1) % step == 0 && sum * parts >= total * part) cuts.push_back(i + 1);
  }
  cuts.resize(parts + 1, size);
  return cuts;
}

// How many of `count` lines, which have `weights` live weights in all, have about `wanted` of them: at least 1, at most all.
int group(int count, int64_t weights, int64_t wanted) {
  return static_cast<int>(std::min<int64_t>(count, std::max<int64_t>(1, wanted * count / std::max<int64_t>(1, weights))));
}

}  // namespace

int64_t first_bad_block(const Packed& packed) {
  int64_t before = -1;
  const int64_t count = packed.count();
  for (int64_t i = 0; i < packed.live; ++i) {
    const int64_t block = packed.blocks[i];
    if (block <= before || block >= count) return i;
    before = block;
  }
  return -1;
}

Plan::Plan(const Kernels& kernels, const Packed& packed, int gate_begin, int gate_end, const int* slots, int slot_features, bool transposed_too)
    : table_(&kernels),
      kernels_(&shape_kernels(kernels, packed.height, packed.width)),
      type_(static_cast<int>(packed.weights)),
      gates_(gate_end - gate_begin),
      columns_(packed.columns()),
      rows_(packed.rows()),
      slot_features_(slot_features),
      slots_(slots + gate_begin) {
  const int64_t gate_blocks = int64_t{columns_} * rows_;
  const int32_t *all = packed.blocks, *all_end = all + packed.live;
  const int32_t* begin = std::lower_bound(all, all_end, gate_begin * gate_blocks);
  const int32_t* end = std::lower_bound(begin, all_end, gate_end * gate_blocks);
  begin_block_ = begin - all;
  live_ = end - begin;

  const int outputs = gates_ * columns_;
  first_.resize(outputs + 1);
  feature_.resize(outputs);
  const int32_t* next = begin;
  for (int c = 0; c < outputs; ++c) {
    first_[c] = static_cast<int32_t>(next - begin);
    feature_[c] = slots[gate_begin + c / columns_] * slot_features + c % columns_ * packed.width;
    const int64_t past = gate_begin * gate_blocks + int64_t{c + 1} * rows_;
    // In steps that double, then by halves: a column has few of all blocks.
    int64_t step = 1;
    while (end - next > step && next[step] < past) step *= 2;
    next = std::lower_bound(next, end - next > step ? next + step : end, past);
  }
  first_[outputs] = static_cast<int32_t>(live_);
  const int64_t size = int64_t{packed.height} * packed.width, bytes[] = {sizeof(float), sizeof(Bfloat16), sizeof(int8_t)};
  const void* values = static_cast<const char*>(packed.values) + begin_block_ * size * bytes[type_];
  forward_ = {values,
              packed.scales ? packed.scales + int64_t{gate_begin} * columns_ * packed.width : nullptr,
              packed.height,
              packed.width,
              rows_,
              begin,
              static_cast<int32_t>(gate_begin * gate_blocks),
              first_.data(),
              feature_.data()};
  if (!transposed_too) return;

  block_rows_.resize(live_);
  block_columns_.resize(live_);
  row_entries_.resize(live_);
  row_first_.assign(rows_ + 1, 0);
  row_feature_.resize(rows_);
  for (int r = 0; r < rows_; ++r) row_feature_[r] = r * packed.height;
  for (int c = 0; c < outputs; ++c) {
    for (int32_t b = first_[c]; b < first_[c + 1]; ++b) {
      const int row = begin[b] - forward_.first_number - c * rows_;
      block_rows_[b] = row * packed.height;
      block_columns_[b] = feature_[c];
      ++row_first_[row + 1];
    }
  }
  for (int r = 0; r < rows_; ++r) row_first_[r + 1] += row_first_[r];
  std::vector<int32_t> place(row_first_.begin(), row_first_.end() - 1);
  for (int32_t b = 0; b < live_; ++b) row_entries_[place[block_rows_[b] / packed.height]++] = {b, block_columns_[b]};
  backward_ = {static_cast<const float*>(values), packed.height, packed.width, row_entries_.data(), row_first_.data(), row_feature_.data()};
}

int64_t Plan::weights_of(int begin, int end) const {
  int64_t live = 0;
  for (int g = 0; g < gates_; ++g) live += first_[g * columns_ + end] - first_[g * columns_ + begin];
  return live * forward_.height * forward_.width;
}

int Plan::columns_of_weights(int64_t wanted) const { return group(columns_, weights() / gates_, wanted); }

int Plan::rows_of_weights(int64_t wanted) const { return group(rows_, weights(), wanted); }

std::vector<int> Plan::cut_columns(int parts, int features) const {
  std::vector<int64_t> weight(columns_, 1);
  for (int c = 0; c < gates_ * columns_; ++c) weight[c % columns_] += first_[c + 1] - first_[c];
  return cut(weight, parts, features / std::gcd(features, width()));
}

std::vector<int> Plan::cut_rows(int parts, int features) const {
  std::vector<int64_t> weight(rows_, 1);
  for (int r = 0; r < rows_; ++r) weight[r] += row_first_[r + 1] - row_first_[r];
  return cut(weight, parts, features / std::gcd(features, height()));
}

// From there `feature_` leads to the place. As an integer, for no such address may exist.
float* Plan::origin(float* out, int gate, Place place, int lanes) const {
  const int64_t floats = lanes * (slots_[gate] * (place.stride - slot_features_) - place.first);
  return reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(out) + static_cast<uintptr_t>(floats) * sizeof(float));
}

void Plan::multiply(int begin, int end, const float* in, float* out, Place place) const {
  for (int g = 0; g < gates_; ++g)
    kernels_->panel_forward[type_](&forward_, g * columns_ + begin, g * columns_ + end, in, origin(out, g, place, kLanes));
}

void Plan::multiply_rows(int begin, int end, int samples, const float* in, int64_t in_stride, float* out, int64_t out_stride, Place place) const {
  for (int g = 0; g < gates_; ++g)
    kernels_->row_forward[type_](&forward_, g * columns_ + begin, g * columns_ + end, samples, in, in_stride, origin(out, g, place, 1), out_stride);
}

}  // namespace ksr
