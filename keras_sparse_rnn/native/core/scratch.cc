#include "scratch.h"

#include <atomic>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace ksr {
namespace {

constexpr int64_t kLargePage = int64_t{2} << 20;
constexpr int64_t kKept = int64_t{64} << 20;
constexpr int kSlots = 4;

// In tests memory is NaN before it is written, and none is kept, so that the sanitizers see the end of each block; but for those of what is kept, to
// which AddressSanitizer is told what nobody has asked for.
#if !defined(KSR_POISON)
#if defined(__SANITIZE_ADDRESS__)
#define KSR_POISON 1
#else
#define KSR_POISON 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
void forbid(const void* begin, int64_t bytes) { ASAN_POISON_MEMORY_REGION(begin, bytes); }
void allow(const void* begin, int64_t bytes) { ASAN_UNPOISON_MEMORY_REGION(begin, bytes); }
#else
void forbid(const void*, int64_t) {}
void allow(const void*, int64_t) {}
#endif

}  // namespace

// The head of a block; its floats follow.
struct alignas(64) Scratch::Block {
  int64_t bytes;  // with the head

  // What no call uses now. Slots are exchanged whole, without a lock that a fork could leave locked.
  static std::atomic<Block*> kept[kSlots];

  static Block* take(int64_t bytes) {
    for (std::atomic<Block*>& slot : kept) {
      Block* block = slot.exchange(nullptr, std::memory_order_acquire);
      if (!block) continue;
      if (block->bytes >= bytes) {
        allow(block, bytes);
        return block;
      }
      allow(block, block->bytes);
      std::free(block);  // too small: the next ones of this size will find the one made now
    }
    const int64_t page = bytes >= kLargePage ? kLargePage : 64, size = round_up(bytes, page);
    Block* block = static_cast<Block*>(std::aligned_alloc(page, size));
    if (!block) throw std::bad_alloc();
    want_large_pages(block, size);
    block->bytes = size;
    return block;
  }

  static void give(Block* block) {
    if (!KSR_POISON && block->bytes <= kKept) {
      forbid(block + 1, block->bytes - sizeof(Block));
      for (std::atomic<Block*>& slot : kept) {
        Block* empty = nullptr;
        if (slot.compare_exchange_strong(empty, block, std::memory_order_release, std::memory_order_relaxed)) return;
      }
      allow(block, block->bytes);
    }
    std::free(block);
  }
};

std::atomic<Scratch::Block*> Scratch::Block::kept[kSlots];

void want_large_pages(void* data, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const uintptr_t begin = round_up(reinterpret_cast<uintptr_t>(data), kLargePage);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kLargePage * kLargePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // where there are none, there are none
#endif
}

Scratch::Scratch(int64_t floats)
    : block_(Block::take(sizeof(Block) + round_up(floats, 16) * sizeof(float))), next_(reinterpret_cast<float*>(block_ + 1)), left_(floats) {
#if KSR_POISON
  std::memset(next_, 0xff, floats * sizeof(float));  // NaN: who reads what nobody wrote gets it into the results
#endif
}

Scratch::~Scratch() { Block::give(block_); }

}  // namespace ksr
