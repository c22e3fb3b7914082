// Prepared cells, kept from call to call of the ops.
#ifndef KERAS_SPARSE_RNN_TENSORFLOW_PREPARED_CACHE_H_
#define KERAS_SPARSE_RNN_TENSORFLOW_PREPARED_CACHE_H_

#include <memory>
#include <vector>

#include "../core/prepared_cell.h"
#include "glue.h"

namespace ksr {

// What a cell is prepared from: its weights as the op got them, and what its attributes say.
struct PreparedKey {
  int32_t cell;  // ksr_cell_kind
  bool integers;
  float input_range;
  int64_t inputs, units;
  // Values, blocks and scales of the kernel; of a recurrent cell, too, those of the recurrent
  // kernel, and the bias.
  std::vector<Tensor> weights;

  // Adds the kernel `name`: its values and its blocks, inputs `index` and `index + 1` of the op,
  // and its scales. Throws InvalidArgument where their shapes do not fit.
  void add_kernel(Context& context, const std::string& name, int64_t kernel_inputs, int index,
                  int scales);

  bool operator==(const PreparedKey& other) const;
};

// The cell of these weights: prepared when they come for the first time, and found again as long as
// the tensors are the same. A tensor that is held is not written to: TensorFlow copies a variable
// before it updates it in place while anybody else has its value. So weights that change come as
// other tensors, and the same tensors hold the same weights. What nobody else holds is let go when
// the next cell is prepared. Throws InvalidArgument where the weights are not right.
std::shared_ptr<const PreparedCell> prepared_cell(PreparedKey key);

// How many cells have been prepared so far, and how many are kept now.
int64_t prepared_so_far();
int64_t prepared_now();

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_TENSORFLOW_PREPARED_CACHE_H_
