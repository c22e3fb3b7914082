#include "tiling.h"

#include <algorithm>
#include <cstring>

#include "check.h"
#include "strip_format.h"

namespace ksr {
namespace prepared {
namespace {

constexpr int kNarrowest = 4;  // width of a tile
constexpr int kTileBytes =
    16;  // what a tile costs beyond its weights: its number, and the time to read it

void widen(const ksr_matrix& m, int64_t from, int64_t count, float* to) {
  if (m.type == KSR_FLOAT32) {
    std::memcpy(to, static_cast<const float*>(m.values) + from, count * sizeof(float));
  } else if (m.type == KSR_INT8) {
    const int8_t* bytes = static_cast<const int8_t*>(m.values) + from;
    for (int64_t i = 0; i < count; ++i) to[i] = bytes[i];
  } else {
    const uint16_t* halves = static_cast<const uint16_t*>(m.values) + from;
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t bits = uint32_t{halves[i]} << 16;
      std::memcpy(to + i, &bits, sizeof bits);
    }
  }
}

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

}  // namespace

Arithmetic Part::arithmetic() const {
  if (integers) return kIntegers;
  return matrix->type == KSR_FLOAT32    ? kFloatWeights
         : matrix->type == KSR_BFLOAT16 ? kBfloatWeights
                                        : kByteWeights;
}

int Part::weight_bytes() const { return prepared::weight_bytes(arithmetic()); }

Tiling::Tiling(const Part& part)
    : part_(part),
      first_(part.matrix->gates * block_columns(*part.matrix) + 1),
      marks_(part.matrix->inputs),
      counts_(gates() * columns_of(kNarrowest)),
      order_(gates() * columns_of(kNarrowest)) {}

template <typename Visit>
void Tiling::for_blocks(int64_t gate, int64_t column, int width, Visit visit) const {
  const ksr_matrix& m = *part_.matrix;
  const int64_t last = std::min(column * width + width, m.units) - 1;
  for (int64_t c = column * width / m.block_columns; c <= last / m.block_columns; ++c) {
    const int64_t place = gate * block_columns(m) + c;
    for (int64_t b = first_[place]; b < first_[place + 1]; ++b)
      visit(b, m.blocks[b] % block_rows(m), c);
  }
}

bool Tiling::divides(TileShape shape) const {
  return part_.matrix->block_rows % shape.height == 0
         && part_.matrix->block_columns % shape.width == 0;
}

int64_t Tiling::count_all(TileShape shape) const {
  const ksr_matrix& m = *part_.matrix;
  int64_t tiles = 0;
  if (!divides(shape)) {
    const int64_t columns = parts(m.units, shape.width);
    for (int64_t c = 0; c < m.gates * columns; ++c) tiles += mark(c / columns, c % columns, shape);
    return tiles;
  }
  for (int64_t c = 0; c < m.gates * block_columns(m); ++c) {
    const int64_t left = c % block_columns(m) * m.block_columns;
    const int64_t wide = parts(std::min(m.block_columns, m.units - left), shape.width);
    int64_t high = (first_[c + 1] - first_[c]) * (m.block_rows / shape.height);
    // Numbers ascend, so that the last one may be of the last row, whose blocks may be cut off.
    if (first_[c + 1] > first_[c]
        && m.blocks[first_[c + 1] - 1] % block_rows(m) == block_rows(m) - 1)
      high += parts(m.inputs - (block_rows(m) - 1) * m.block_rows, shape.height)
              - m.block_rows / shape.height;
    tiles += wide * high;
  }
  return tiles;
}

template <typename Visit>
void Tiling::for_rows(int64_t gate, int64_t column, TileShape shape, Visit visit) const {
  const ksr_matrix& m = *part_.matrix;
  for_blocks(gate, column, shape.width, [&](int64_t, int64_t row, int64_t) {
    const int64_t last = std::min((row + 1) * m.block_rows, m.inputs) - 1;
    for (int64_t t = row * m.block_rows / shape.height; t <= last / shape.height; ++t) visit(t);
  });
}

int64_t Tiling::mark(int64_t gate, int64_t column, TileShape shape) const {
  --mark_;
  int64_t count = 0;
  for_rows(gate, column, shape, [&](int64_t t) {
    count += marks_[t] != mark_;
    marks_[t] = mark_;
  });
  return count;
}

ksr_status Tiling::plan(ksr_error* error) {
  if (!first_.get() || !marks_.get() || !counts_.get() || !order_.get())
    return fail(error, KSR_NO_MEMORY, "%s", ksr_status_text(KSR_NO_MEMORY));
  const ksr_matrix& m = *part_.matrix;
  for (int64_t b = 0; b < m.live; ++b) ++first_[m.blocks[b] / block_rows(m) + 1];
  for (int64_t c = 0; c < m.gates * block_columns(m); ++c) first_[c + 1] += first_[c];
  int64_t best = INT64_MAX;
  for (int i = 0; i < kTiles; ++i) {
    const TileShape shape = kTileShapes[i];
    const int64_t cost =
        count_all(shape) * (shape.height * shape.width * part_.weight_bytes() + kTileBytes);
    if (cost < best) best = cost, tile_ = i;
  }
  for (int64_t i = 0; i < columns(); ++i) {
    order_[i] = i;
    counts_[i] = mark(gate(i), number(i), kTileShapes[tile_]);
  }
  std::sort(order_.get(), order_.get() + columns(), [this](int64_t a, int64_t b) {
    return counts_[a] != counts_[b] ? counts_[a] > counts_[b] : a < b;
  });
  return KSR_OK;
}

template <typename Visit>
void Tiling::for_weights(int64_t i, Visit visit) const {
  const ksr_matrix& m = *part_.matrix;
  const TileShape shape = kTileShapes[tile_];
  const int64_t begin = number(i) * shape.width;
  for_blocks(gate(i), number(i), shape.width, [&](int64_t block, int64_t row, int64_t column) {
    const int64_t top = row * m.block_rows, left = column * m.block_columns;
    const int64_t from = std::max(left, begin),
                  to = std::min({left + m.block_columns, begin + shape.width, m.units});
    for (int64_t in = top; in < std::min(top + m.block_rows, m.inputs); ++in) {
      const int64_t tile_row =
          int64_t{marks_[in / shape.height]} * shape.height + in % shape.height;
      visit((block * m.block_rows + in - top) * m.block_columns + from - left,
            tile_row * shape.width + from - begin, to - from);
    }
  });
}

void Tiling::read(int64_t i, int32_t* rows, float* weights) const {
  const TileShape shape = kTileShapes[tile_];
  const int64_t count = mark(gate(i), number(i), shape);
  int32_t* end = rows;
  for_rows(gate(i), number(i), shape, [&](int64_t t) {
    if (marks_[t] == mark_) *end++ = static_cast<int32_t>(t);
    marks_[t] = 0;
  });
  if (!std::is_sorted(rows, end)) std::sort(rows, end);
  for (int64_t place = 0; place < count; ++place) marks_[rows[place]] = static_cast<int32_t>(place);
  std::memset(weights, 0, count * height() * width() * sizeof(float));
  for_weights(i, [&](int64_t value, int64_t tile, int64_t several) {
    widen(*part_.matrix, value, several, weights + tile);
  });
}

void Tiling::write(int64_t i, const float* weights, int8_t* values) const {
  for_weights(i, [&](int64_t value, int64_t tile, int64_t several) {
    for (int64_t n = 0; n < several; ++n)
      values[value + n] = static_cast<int8_t>(weights[tile + n]);
  });
}

}  // namespace prepared
}  // namespace ksr
