// Rows through a prepared Dense cell: the bits that ksr_run gives, whatever the parts, threads and
// rows.
#include "../core/pool.h"
#include "../core/prepared_cell.h"
#include "prepared.h"

namespace {

void try_rows() {
  const int64_t rows = pick(0, 1) ? pick(0, 9) : pick(10, 70);
  const int inputs = static_cast<int>(pick(1, 90)), units = static_cast<int>(pick(1, 150));
  const int* shape = kShapes[pick(0, kShapeCount - 1)];
  const int32_t types[] = {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8};
  Kernel kernel;
  make_kernel(inputs, units, 1, shape, pick(0, 10) / 10.0, &kernel);
  Stored stored;
  store_weights(types[pick(0, 2)], &kernel, &stored);
  const Floats bias = random_floats(units), x = random_floats(rows * inputs);
  ksr_description d = {};
  d.version = KSR_VERSION;
  d.cell = KSR_DENSE;
  if (pick(0, 1)) d.activation = static_cast<int32_t>(pick(KSR_RELU, KSR_SOFTMAX));
  d.activations = pick(0, 1) ? KSR_INT8 : KSR_FLOAT32;
  d.input_range = d.activations == KSR_INT8 && pick(0, 1) ? 0.7f : 0.0f;
  d.kernel = stored.matrix;
  d.bias = pick(0, 1) ? bias.data() : nullptr;
  const Floats wanted = Stream(d).run(x);
  for (int parts = 1; parts <= 4; ++parts) {
    ksr_error error = {};
    const auto prepared = ksr::PreparedCell::make(d, parts, &error);
    if (!prepared) return expect(false, error.text, error.status, KSR_OK);
    const int most = d.activation == KSR_SOFTMAX ? 1 : std::min(parts, (units + 15) / 16);
    expect(prepared->parts() <= most, "parts", prepared->parts(), most);
    for (int threads = 0; threads <= 4; ++threads) {
      char line[200];
      std::snprintf(line, sizeof line,
                    "[%lld rows, %d -> %d, %dx%d, type %d, int8 %d, activation %d, parts %d, "
                    "threads %d]",
                    static_cast<long long>(rows), inputs, units, shape[0], shape[1],
                    stored.matrix.type, d.activations, d.activation, prepared->parts(), threads);
      about = line;
      Floats got(rows * units, NAN);
      prepared->multiply(rows, x.data(), got.data(), threads);
      for (size_t i = 0; i < got.size(); ++i)
        if (std::memcmp(&got[i], &wanted[i], sizeof got[i]))
          return expect(false, "y", got[i], wanted[i]);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (processor_is_missing()) return kSkipped;
  ksr::set_num_threads(4);
  const int problems = count > 1 ? std::atoi(arguments[1]) : 200;
  for (int i = 0; i < problems; ++i) try_rows();
  return failures != 0;
}
