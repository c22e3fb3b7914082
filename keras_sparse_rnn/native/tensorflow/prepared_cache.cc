#include "prepared_cache.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>

#include "../core/after_fork.h"
#include "../core/cpu.h"
#include "../core/prepared/cells.h"
#include "../core/sizes.h"

namespace ksr {
namespace {

constexpr size_t kMost = 256;  // cells kept
// Where in the weights of a key they are.
constexpr size_t kKernel = 0, kRecurrent = 3, kBias = 6;

struct Kept {
  PreparedKey key;
  const char* cpu;
  std::shared_ptr<const PreparedCell> cell;

  // Whether its weights have gone but for what is held here. Values that are empty tell nothing.
  bool is_left() const {
    for (const size_t values : {kKernel, kRecurrent})
      if (values < key.weights.size() && key.weights[values].elements() &&
          key.weights[values].is_last())
        return true;
    return false;
  }
};

struct Cache {
  std::mutex mutex;
  std::list<Kept> kept;  // the one used last comes first
};

std::atomic<int64_t> so_far{0};

ksr_matrix matrix(const PreparedKey& key, const char* name, size_t first, int64_t inputs) {
  const Tensor &weights = key.weights[first], &blocks = key.weights[first + 1];
  const int gates = prepared::kCells[key.cell].gates;
  // Here and not in the core, for the words in which all ops say it.
  check_blocks(name, {static_cast<int>(inputs), static_cast<int>(key.units), gates,
                      static_cast<int>(weights.dim(1)), static_cast<int>(weights.dim(2)),
                      weights.data<void>(), blocks.data<int32_t>(), weights.dim(0)});
  const bool bytes = weights.type() == TF_INT8;
  return {bytes ? KSR_INT8 : weights.type() == TF_BFLOAT16 ? KSR_BFLOAT16 : KSR_FLOAT32,
          inputs,
          key.units,
          gates,
          weights.dim(1),
          weights.dim(2),
          weights.dim(0),
          weights.data<void>(),
          blocks.data<int32_t>(),
          bytes ? key.weights[first + 2].data<float>() : nullptr};
}

std::shared_ptr<const PreparedCell> prepare(const PreparedKey& key) {
  ksr_description d = {};
  d.version = KSR_VERSION;
  d.cell = key.cell;
  d.activations = key.integers ? KSR_INT8 : KSR_FLOAT32;
  d.input_range = key.input_range;
  d.kernel = matrix(key, "kernel", kKernel, key.inputs);
  if (prepared::kCells[key.cell].states) {
    d.recurrent = matrix(key, "recurrent_kernel", kRecurrent, key.units);
    d.bias = key.weights[kBias].elements() ? key.weights[kBias].data<float>() : nullptr;
  }
  ksr_error error = {};
  auto cell = PreparedCell::make(d, 0, &error);
  if (cell) {
    so_far.fetch_add(1, std::memory_order_relaxed);
    return cell;
  }
  if (error.status == KSR_NO_MEMORY) throw std::bad_alloc();
  std::string text = error.text;
  if (key.integers && error.status == KSR_BAD_VALUE)
    text += ". Weights must be quantised for int8 activations: `ops.quantize(packed, \"int8\", "
            "activations=\"int8\")`";
  throw InvalidArgument{text};
}

}  // namespace

void PreparedKey::add_kernel(Context& context, const std::string& name, int64_t kernel_inputs,
                             int index, int scales) {
  Tensor values = context.input(index, (name + "_values").c_str());
  Tensor blocks = context.input(index + 1, (name + "_blocks").c_str());
  Tensor of_outputs = context.input(scales, (name + "_scales").c_str());
  const int gates = prepared::kCells[cell].gates;
  values.expect(values.type(), {-1, -1, -1});
  blocks.expect(TF_INT32, {values.dim(0)});
  check_sizes(name.c_str(), kernel_inputs, units, gates, values.dim(1), values.dim(2));
  const int64_t columns = (units + values.dim(2) - 1) / values.dim(2);
  if (values.type() == TF_INT8) of_outputs.expect(TF_FLOAT, {gates, columns, values.dim(2)});
  weights.push_back(std::move(values));
  weights.push_back(std::move(blocks));
  weights.push_back(std::move(of_outputs));
}

bool PreparedKey::operator==(const PreparedKey& other) const {
  if (cell != other.cell || integers != other.integers || input_range != other.input_range ||
      inputs != other.inputs || units != other.units)
    return false;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Tensor &one = weights[i], &two = other.weights[i];
    if (one.type() != two.type() || one.rank() != two.rank()) return false;
    if (one.elements() && one.data<void>() != two.data<void>()) return false;
    for (int d = 0; d < one.rank(); ++d)
      if (one.dim(d) != two.dim(d)) return false;
  }
  return true;
}

int64_t prepared_so_far() { return so_far.load(std::memory_order_relaxed); }

int64_t prepared_now() {
  std::lock_guard<std::mutex> lock(only<Cache>().mutex);
  return static_cast<int64_t>(only<Cache>().kept.size());
}

std::shared_ptr<const PreparedCell> prepared_cell(PreparedKey key) {
  Cache& cache = only<Cache>();
  const char* cpu = chosen_cpu();
  const auto find = [&] {
    return std::find_if(cache.kept.begin(), cache.kept.end(), [&](const Kept& one) {
      return one.cpu == cpu && one.key == key;
    });
  };
  {
    std::lock_guard<std::mutex> lock(cache.mutex);
    const auto found = find();
    if (found != cache.kept.end()) {
      cache.kept.splice(cache.kept.begin(), cache.kept, found);
      return found->cell;
    }
  }
  // Not under the lock: others need not wait. Two may prepare the same cell; one is let go.
  std::shared_ptr<const PreparedCell> cell = prepare(key);
  std::list<Kept> gone;  // freed without the lock
  {
    std::lock_guard<std::mutex> lock(cache.mutex);
    for (auto one = cache.kept.begin(); one != cache.kept.end();) {
      const auto next = std::next(one);
      if (one->is_left()) gone.splice(gone.end(), cache.kept, one);
      one = next;
    }
    if (find() == cache.kept.end()) cache.kept.push_front({std::move(key), cpu, cell});
    if (cache.kept.size() > kMost)
      gone.splice(gone.end(), cache.kept, std::prev(cache.kept.end()));
  }
  return cell;
}

}  // namespace ksr
