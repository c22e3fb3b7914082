// Random damage to what is saved, and what became of it. Included once by each test.
#ifndef KERAS_SPARSE_RNN_TESTS_DAMAGE_H_
#define KERAS_SPARSE_RNN_TESTS_DAMAGE_H_

#include "saved.h"

namespace {

// One to three changes; then, most of the time, a checksum that is right, so that more than it is
// tried. `numbers`: how many bytes at the begin are mostly numbers.
template <typename Sum>
Saved damaged(const Saved& whole, size_t numbers, Sum sum) {
  const int64_t values[] = {0,         -1,        1,         2,
                            3,         15,        16,        17,
                            63,        64,        65,        127,
                            128,       255,       256,       320,
                            1 << 16,   65537,     1 << 24,   (1 << 24) + 1,
                            INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN,
                            1ll << 32, INT64_MAX - 63};
  constexpr int64_t kValues = sizeof values / sizeof *values;
  if (!pick(0, 9)) return whole.copy(pick(0, whole.size()));
  Saved saved = whole.copy(whole.size());
  for (int64_t changes = pick(1, 3); changes; --changes) {
    const size_t end = pick(0, 2) ? std::min(numbers, whole.size()) : whole.size();
    const int64_t byte = pick(0, end - 1), four = byte / 4 * 4, eight = byte / 8 * 8;
    const int64_t value = values[pick(0, kValues - 1)];
    switch (pick(0, 6)) {
      case 0:
        saved.put(byte, static_cast<char>(saved.get<char>(byte) ^ 1 << pick(0, 7)));
        break;
      case 1:
        saved.put(byte, static_cast<char>(pick(0, 255)));
        break;
      case 2:
        saved.put(four, static_cast<int32_t>(value));
        break;
      case 3:
        saved.put(eight, value);
        break;
      case 4:
        saved.put(four, saved.get<uint32_t>(four) + static_cast<uint32_t>(pick(0, 8)) - 4);
        break;
      case 5:
        saved.put(eight, saved.get<uint64_t>(eight) + 64 * static_cast<uint64_t>(pick(0, 8) - 4));
        break;
      default:
        saved.put(eight, whole.get<int64_t>(pick(0, end - 8) / 8 * 8));
    }
  }
  if (pick(0, 3)) sum(saved);
  return saved;
}

struct Counts {
  int refused = 0, checksums = 0, used = 0;
  void add(ksr_status status, const ksr_error& error) {
    if (status == KSR_OK) {
      ++used;
      return;
    }
    ++(status == KSR_BAD_CHECKSUM ? checksums : refused);
    expect(error.status == status && *error.text, "text of a refusal", error.status, status);
  }
  void print(const char* what) const {
    std::printf("%s: %d used, %d refused by the checksum, %d by what they say\n", what, used,
                checksums, refused);
    expect(used > checksums / 9 && refused > checksums, "mutations of all kinds", used, refused);
  }
};

}  // namespace

#endif  // KERAS_SPARSE_RNN_TESTS_DAMAGE_H_
