#include "pack.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "float_mode.h"
#include "pool.h"

namespace ksr {
namespace {

constexpr int64_t kWorthSharing = 1 << 19;  // weights, some 150 microseconds

typedef uint32_t __attribute__((may_alias)) Bits;
typedef uint64_t __attribute__((may_alias, aligned(4))) TwoBits;

int team_size(const Grid& grid) { return grid.inputs * grid.stride() < kWorthSharing ? 1 : num_threads(); }

// Calls work(part) for each of `parts`, whatever the size of the team turns out to be.
template <typename Work>
void for_parts(int parts, Work work) {
  parallel(parts, false, [&](int id, Team& team) {
    const auto mine = share(parts, id, team.size());
    for (int64_t part = mine.first; part < mine.second; ++part) work(static_cast<int>(part));
  });
}

// Calls work(width) with the width of a block as a constant where it is a common one, else with 0.
template <typename Work>
void with_width(int width, Work work) {
  switch (width) {
    case 1: return work(std::integral_constant<int, 1>());
    case 4: return work(std::integral_constant<int, 4>());
    case 8: return work(std::integral_constant<int, 8>());
    case 16: return work(std::integral_constant<int, 16>());
    case 32: return work(std::integral_constant<int, 32>());
    default: return work(std::integral_constant<int, 0>());
  }
}

// seen = the bits of `count` rows of weights, or'ed over the rows. Four rows at a time: then `seen` costs little beside the rows, which stream
// from memory.
void gather_bits(const Bits* row, int64_t stride, int count, Bits* __restrict seen) {
  std::memcpy(seen, row, stride * sizeof *seen);
  for (--count, row += stride; count >= 4; count -= 4, row += 4 * stride) {
    const Bits *second = row + stride, *third = second + stride, *fourth = third + stride;
    for (int64_t i = 0; i < stride; ++i) seen[i] |= row[i] | second[i] | third[i] | fourth[i];
  }
  for (; count > 0; --count, row += stride)
    for (int64_t i = 0; i < stride; ++i) seen[i] |= row[i];
}

// alive[c] = whether block column c of a gate has a bit other than signs.
template <int kWidth>
void mark_columns(const Bits* seen, int units, int width, uint8_t* __restrict alive) {
  const int whole = kWidth ? units / kWidth : 0, columns = (units + width - 1) / width;
  for (int c = 0; c < whole; ++c, seen += kWidth) {
    TwoBits bits = kWidth % 2 ? seen[0] : 0;
    for (int i = kWidth % 2; i < kWidth; i += 2) bits |= *reinterpret_cast<const TwoBits*>(seen + i);
    alive[c] = static_cast<uint32_t>((bits | bits >> 32) << 1) != 0;
  }
  for (int c = whole; c < columns; ++c) {
    Bits bits = 0;
    for (int i = c * width; i < std::min((c + 1) * width, units); ++i) bits |= seen[i - whole * kWidth];
    alive[c] = bits << 1 != 0;
  }
}

// The block columns of all gates: where each begins in a row of weights, and how many weights of the row it has.
struct Column {
  int64_t begin;
  int width;
};

std::vector<Column> columns_of(const Grid& grid) {
  std::vector<Column> columns;
  columns.reserve(grid.all_columns());
  for (int g = 0; g < grid.gates; ++g)
    for (int begin = 0; begin < grid.units; begin += grid.width)
      columns.push_back({int64_t{g} * grid.units + begin, std::min(grid.width, grid.units - begin)});
  return columns;
}

// Copies `width` floats, mostly kWidth.
template <int kWidth>
void copy_row(const float* from, int width, float* to) {
  if (kWidth && width == kWidth) std::memcpy(to, from, kWidth * sizeof(float));
  else std::memcpy(to, from, width * sizeof(float));
}

}  // namespace

LivePacker::LivePacker(const Grid& grid, const float* kernel)
    : grid_(grid),
      kernel_(kernel),
      parts_(std::min(team_size(grid), grid.rows())),
      alive_(new uint8_t[int64_t{grid.rows()} * grid.all_columns()]),
      starts_(int64_t{parts_} * grid.all_columns()) {
  const FloatMode mode;
  const int columns = grid.all_columns();
  for_parts(parts_, [&](int part) {
    std::vector<uint32_t> seen(grid.height > 1 ? grid.stride() : 0);
    const auto mine = share(grid.rows(), part, parts_);
    int64_t* counts = starts_.data() + int64_t{part} * columns;
    for (int64_t r = mine.first; r < mine.second; ++r) {
      const int height = static_cast<int>(std::min<int64_t>(grid.height, grid.inputs - r * grid.height));
      const Bits* first = reinterpret_cast<const Bits*>(kernel) + r * grid.height * grid.stride();
      uint8_t* alive = alive_.get() + r * columns;
      const auto mark = [&](const Bits* bits) {
        with_width(grid.width, [&](auto width) {
          for (int g = 0; g < grid.gates; ++g) mark_columns<width>(bits + int64_t{g} * grid.units, grid.units, grid.width, alive + g * grid.columns());
        });
      };
      mark(first);
      // In a kernel that is hardly pruned one row of weights tells.
      if (height > 1 && std::memchr(alive, 0, columns)) {
        gather_bits(first, grid.stride(), height, seen.data());
        mark(seen.data());
      }
      for (int c = 0; c < columns; ++c) counts[c] += alive[c];
    }
  });
  if (is_initial()) {
    std::memset(alive_.get(), 1, int64_t{grid.rows()} * columns);
    for (int part = 0; part < parts_; ++part) {
      const auto mine = share(grid.rows(), part, parts_);
      std::fill_n(starts_.data() + int64_t{part} * columns, columns, mine.second - mine.first);
    }
  }
  for (int c = 0; c < columns; ++c) {
    for (int part = 0; part < parts_; ++part) {
      int64_t& start = starts_[int64_t{part} * columns + c];
      const int64_t count = start;
      start = live_;
      live_ += count;
    }
  }
}

void LivePacker::pack(float* values, int32_t* blocks) const {
  const int all_columns = grid_.all_columns(), rows = grid_.rows(), height = grid_.height, width = grid_.width;
  const std::vector<Column> columns = columns_of(grid_);
  for_parts(parts_, [&](int part) {
    std::vector<int64_t> next(starts_.begin() + int64_t{part} * all_columns, starts_.begin() + int64_t{part + 1} * all_columns);
    const auto mine = share(rows, part, parts_);
    for (int r = static_cast<int>(mine.first); r < mine.second; ++r) {
      const uint8_t* alive = alive_.get() + int64_t{r} * all_columns;
      const float* strip = kernel_ + int64_t{r} * height * grid_.stride();
      const int inside = std::min(height, grid_.inputs - r * height);
      for (int c = 0; c < all_columns; ++c) {
        if (!alive[c]) {
          const void* found = std::memchr(alive + c, 1, all_columns - c);
          if (!found) break;
          c = static_cast<int>(static_cast<const uint8_t*>(found) - alive);
        }
        const int64_t number = next[c]++;
        const Column column = columns[c];
        blocks[number] = c * rows + r;
        float* to = values + number * height * width;
        if (inside < height || column.width < width) std::memset(to, 0, sizeof(float) * height * width);
        with_width(width, [&](auto constant) {
          for (int i = 0; i < inside; ++i) copy_row<constant>(strip + i * grid_.stride() + column.begin, column.width, to + i * width);
        });
      }
    }
  });
}

bool LivePacker::is_initial() const {
  const int64_t stride = grid_.stride(), diagonal = std::min<int64_t>(grid_.inputs, stride);
  // A trained kernel says no here, almost at once.
  for (int64_t i = 0; i < diagonal; ++i)
    if (!(kernel_[i * stride + i] == kernel_[0])) return false;
  if (kernel_[0] == 0.0f) return !std::memchr(alive_.get(), 1, int64_t{grid_.rows()} * grid_.all_columns());
  for (int64_t i = 0; i < grid_.inputs; ++i)
    for (int64_t j = 0; j < stride; ++j)
      if (i != j && kernel_[i * stride + j] != 0.0f) return false;
  return true;
}

void unpack(const Grid& grid, const float* values, const int32_t* blocks, int64_t live, float* kernel) {
  struct Entry {
    int64_t number;
    int column;
  };
  const int rows = grid.rows();
  std::vector<int64_t> first(rows + 1);
  std::vector<Entry> entries(live);  // the live blocks row by row, in a row from left to right
  for (int64_t i = 0; i < live; ++i) ++first[blocks[i] % rows + 1];
  for (int r = 0; r < rows; ++r) first[r + 1] += first[r];
  std::vector<int64_t> next(first.begin(), first.end() - 1);
  for (int64_t i = 0; i < live; ++i) entries[next[blocks[i] % rows]++] = {i, blocks[i] / rows};
  const std::vector<Column> columns = columns_of(grid);
  const int parts = std::min(team_size(grid), rows);
  for_parts(parts, [&](int part) {
    const auto mine = share(rows, part, parts);
    for (int64_t r = mine.first; r < mine.second; ++r) {
      const int height = static_cast<int>(std::min<int64_t>(grid.height, grid.inputs - r * grid.height));
      for (int i = 0; i < height; ++i) {  // row by row: the zeros are still in the first cache when live weights overwrite them
        float* row = kernel + (r * grid.height + i) * grid.stride();
        std::memset(row, 0, grid.stride() * sizeof(float));
        with_width(grid.width, [&](auto constant) {
          for (int64_t n = first[r]; n < first[r + 1]; ++n) {
            const Column column = columns[entries[n].column];
            copy_row<constant>(values + (entries[n].number * grid.height + i) * grid.width, column.width, row + column.begin);
          }
        });
      }
    }
  });
}

}  // namespace ksr
