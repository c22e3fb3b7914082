#include "prepared_cell.h"

#include <algorithm>
#include <new>

#include "cpu.h"
#include "pool.h"
#include "prepared/check.h"
#include "prepared/prepare.h"
#include "prepared/stepper.h"
#include "prepared_run.h"
#include "scratch.h"

namespace ksr {
namespace {

using prepared::Cell;
using prepared::Units;

constexpr int64_t kPartWeights = 32 * 1024;    // that make a part worth its barrier
constexpr int64_t kCallWeights = 2048 * 1024;  // of all steps, for a team to be worth waking

// How many weights of a matrix live in every group of kMostLanes units.
std::vector<int64_t> weights_of_groups(const ksr_matrix& m) {
  constexpr int64_t kGroup = prepared::kMostLanes;
  std::vector<int64_t> found((m.units + kGroup - 1) / kGroup);
  const int64_t rows = prepared::block_rows(m), columns = prepared::block_columns(m);
  for (int64_t i = 0; i < m.live; ++i) {
    const int64_t begin = m.blocks[i] / rows % columns * m.block_columns;
    const int64_t end = std::min(begin + m.block_columns, m.units);
    for (int64_t u = begin; u < end; u = (u / kGroup + 1) * kGroup)
      found[u / kGroup] += (std::min((u / kGroup + 1) * kGroup, end) - u) * m.block_rows;
  }
  return found;
}

// Cuts the units into at most `count` parts of about the same work.
std::vector<Units> cut(const ksr_matrix& m, const std::vector<int64_t>& weights, int count) {
  constexpr int64_t kGroup = prepared::kMostLanes;
  const int64_t own = 64 * kGroup;  // what the units of a group cost without any weight
  int64_t all = 0, done = 0, begin = 0;
  for (int64_t one : weights) all += one + own;
  std::vector<Units> parts;
  for (size_t g = 0; g < weights.size(); ++g) {
    done += weights[g] + own;
    const int64_t end = std::min<int64_t>((g + 1) * kGroup, m.units);
    if (done * count < all * static_cast<int64_t>(parts.size() + 1) && end < m.units) continue;
    parts.push_back({begin, end});
    begin = end;
  }
  return parts;
}

}  // namespace

std::shared_ptr<const PreparedCell> PreparedCell::make(const ksr_description& description,
                                                       int parts, ksr_error* error) {
  ksr_description d = description;
  if (!d.processor) d.processor = chosen_cpu();
  if (prepared::check(&d, false, error) != KSR_OK) return nullptr;
  std::shared_ptr<PreparedCell> made(new PreparedCell);
  const bool dense = d.cell == KSR_DENSE;
  const ksr_matrix& shared = dense ? d.kernel : d.recurrent;  // by which parts are cut
  const std::vector<int64_t> weights = weights_of_groups(shared);
  for (int64_t one : weights) made->weights_ += one;
  if (!parts)
    parts = static_cast<int>(std::max<int64_t>(
        1, std::min<int64_t>(num_threads(), made->weights_ / kPartWeights)));
  if (dense && d.activation == KSR_SOFTMAX) parts = 1;  // it sums over all units
  if (!dense) made->weights_ += d.kernel.live * d.kernel.block_rows * d.kernel.block_columns;
  for (const Units& own : cut(shared, weights, parts)) {
    size_t size;
    if (prepared::part_size(d, own, &size, error) != KSR_OK) return nullptr;
    // Threads read no line of one another's, nor any that is fetched ahead behind it.
    constexpr size_t kPage = 4096;
    size = (size + kPage - 1) / kPage * kPage + kPage;
    char* memory = static_cast<char*>(std::aligned_alloc(kPage, size));
    if (!memory) throw std::bad_alloc();
    made->memory_.emplace_back(memory);
    want_large_pages(memory, size);
    const ksr_cell* cell;
    if (prepared::prepare_part(d, own, memory, size, &cell, error) != KSR_OK) return nullptr;
    made->parts_.push_back(reinterpret_cast<const Cell*>(cell));
  }
  return made;
}

int PreparedCell::threads_for(int64_t steps) const {
  return weights_ * steps >= kCallWeights ? num_threads() : 1;
}

void PreparedCell::run(const Sequences& s, int threads) const {
  if (s.batch == 0) return;
  const int64_t together = prepared::kernels_of(part(0).processor)->steps_together;
  const int64_t groups = (s.batch + together - 1) / together;
  if (!threads) threads = threads_for(s.batch * s.time);
  const auto samples = [&](int64_t group) {
    return std::min(together, s.batch - group * together);
  };
  // With samples enough each thread has its own, and they need not meet.
  if (threads > 1 && groups >= threads) {
    const PreparedRun run(*this, s, together, 1);
    Scratch scratch(threads * run.floats());
    float* memory = scratch.take(threads * run.floats());
    parallel(threads, false, [&](int id, Team& team) {
      Team alone(1, nullptr, nullptr);
      for (int64_t g = id; g < groups; g += team.size())
        run.work(g * together, samples(g), 0, alone, memory + id * run.floats());
    });
    return;
  }
  const int team_size = std::min(threads, parts());
  const PreparedRun run(*this, s, together, team_size);
  Scratch scratch(run.floats());
  float* memory = scratch.take(run.floats());
  parallel(team_size, true, [&](int id, Team& team) {
    for (int64_t g = 0; g < groups; ++g) {
      if (g) team.barrier(id);
      run.work(g * together, samples(g), id, team, memory);
    }
  });
}

void PreparedCell::multiply(int64_t rows, const float* x, float* y, int threads) const {
  if (rows == 0) return;
  const int64_t together = prepared::kernels_of(part(0).processor)->steps_together;
  const int64_t groups = (rows + together - 1) / together, pieces = groups * parts();
  const int64_t inputs = part(0).inputs, units = part(0).state_units;
  int64_t floats = 0;  // of a state
  for (const Cell* one : parts_)
    floats = std::max<int64_t>(floats, one->state.size / sizeof(float));
  if (!threads) threads = threads_for(rows);
  threads = static_cast<int>(std::min<int64_t>(threads, pieces));
  Scratch scratch(threads * floats);
  float* memory = scratch.take(threads * floats);
  parallel(threads, false, [&](int id, Team& team) {
    auto* state = reinterpret_cast<prepared::State*>(memory + id * floats);
    const auto mine = share(pieces, id, team.size());
    for (int64_t i = mine.first; i < mine.second; ++i) {
      const Cell& own = part(static_cast<int>(i % parts()));
      const int64_t row = i / parts() * together;
      const prepared::Stepper stepper(&own, state);
      stepper.clear_padding();
      stepper.run(x + row * inputs, std::min(together, rows - row),
                  y + row * units + own.first_unit, units);
    }
  });
}

}  // namespace ksr
