// The checksum of files and of prepared cells.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_CHECKSUM_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_CHECKSUM_H_

#include <cstdint>
#include <cstring>

namespace ksr {
namespace prepared {

// Of whole words of eight bytes: FNV-1a, with the upper half folded into the lower one after each
// word, because a product alone would carry nothing down, and two changed signs could cancel out.
// Each step can be undone, so a change within one word is always noticed.
inline uint64_t checksum(const char* from, const char* to) {
  uint64_t sum = 14695981039346656037u, word;
  for (; from != to; from += sizeof word) {
    std::memcpy(&word, from, sizeof word);
    sum = (sum ^ word) * 1099511628211u;
    sum ^= sum >> 32;
  }
  return sum;
}

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_CHECKSUM_H_
