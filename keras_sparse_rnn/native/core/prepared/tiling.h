// Which tiles hold the live weights of a product, and in which order its columns are multiplied.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_TILING_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_TILING_H_

#include "failure.h"
#include "image.h"

namespace ksr {
namespace prepared {

struct TileShape {
  int height, width;
};
constexpr TileShape kTileShapes[kTiles] = {
#define KSR_TILE(height, width) {height, width},
#include "tiles.inc"
#undef KSR_TILE
};

// The units [unit_begin, unit_end) of the gates [gate_begin, gate_end) of a matrix.
struct Part {
  const ksr_matrix* matrix;
  int gate_begin, gate_end;
  int64_t unit_begin, unit_end;  // unit_begin is a multiple of every tile's width
  const int* slots;  // where each gate's sums go, or null: each to the slot of its number
  int64_t stride;    // units of a slot, padded
  int64_t zero;      // the first of a few inputs that are always zero
  bool integers;     // int8 x int8

  Arithmetic arithmetic() const;
  int weight_bytes() const;  // as stored
};

// A part's columns of tiles, those with the most tiles first, so that columns of one strip are
// about as long and a loop's end can be foreseen.
class Tiling {
 public:
  explicit Tiling(const Part& part);
  Tiling(const Tiling&) = delete;
  Tiling& operator=(const Tiling&) = delete;

  // Chooses the tiles: the same for all parts of a matrix. Fails where there is no memory.
  ksr_status plan(ksr_error* error);

  int tile() const { return tile_; }
  int height() const { return kTileShapes[tile_].height; }
  int width() const { return kTileShapes[tile_].width; }
  // Column `i` in the order of multiplying: its gate, its number within the gate, how many tiles it
  // has.
  int64_t columns() const { return columns_of(width()) * gates(); }
  int64_t gate(int64_t i) const { return part_.gate_begin + order_[i] / columns_of(width()); }
  int64_t number(int64_t i) const {
    return part_.unit_begin / width() + order_[i] % columns_of(width());
  }
  int64_t tiles(int64_t i) const { return counts_[order_[i]]; }
  int64_t most_tiles() const { return columns() ? tiles(0) : 0; }

  // The rows of tiles of column `i`, ascending, into rows [tiles(i)]; and its weights, as floats,
  // those of int8 without their scales, zero where no live block is, into weights [tiles(i),
  // height, width].
  void read(int64_t i, int32_t* rows, float* weights) const;

  // After `read` of the same column: the weights, integers by now, back to their blocks.
  void write(int64_t i, const float* weights, int8_t* values) const;

 private:
  int64_t gates() const { return part_.gate_end - part_.gate_begin; }
  int64_t columns_of(int width) const {
    return (part_.unit_end - part_.unit_begin + width - 1) / width;
  }
  // Whether blocks are made of whole tiles, so that no two of them share one.
  bool divides(TileShape shape) const;
  // All tiles of the matrix.
  int64_t count_all(TileShape shape) const;
  // Calls visit(row of tiles) for the live ones of a column, some of them several times.
  template <typename Visit>
  void for_rows(int64_t gate, int64_t column, TileShape shape, Visit visit) const;
  // Marks the live rows of tiles of a column with a new `mark_`; returns how many they are. It takes
  // as long as there are blocks, for a few bytes may describe a matrix with many empty columns.
  int64_t mark(int64_t gate, int64_t column, TileShape shape) const;
  // Calls visit(block, its block row, its block column) for the live blocks that a column of tiles
  // meets.
  template <typename Visit>
  void for_blocks(int64_t gate, int64_t column, int width, Visit visit) const;
  // Calls visit(place in the matrix's values, place in the column's tiles, how many there lie side
  // by side), after `read`'s marks.
  template <typename Visit>
  void for_weights(int64_t i, Visit visit) const;

  const Part part_;
  int tile_ = 0;
  Array<int64_t> first_;  // [gates * block columns + 1], where the blocks of each begin
  Array<int32_t> marks_;  // [inputs], of rows of tiles; after `read` the places of those of a column
  mutable int32_t mark_ = 0;  // below 0, as no place is
  Array<int64_t> counts_, order_;
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_TILING_H_
