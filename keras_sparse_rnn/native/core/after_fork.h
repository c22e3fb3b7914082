// Objects with locks that a fork may leave locked, by threads that the child does not have.
#ifndef KERAS_SPARSE_RNN_CORE_AFTER_FORK_H_
#define KERAS_SPARSE_RNN_CORE_AFTER_FORK_H_

#include <pthread.h>

#include <atomic>

namespace ksr {

// The only T of this process. The child of a fork gets a new one, and the old one is left alone. It
// is never destroyed either, because threads that use it may outlive main().
template <typename T>
T& only() {
  static std::atomic<T*> made{nullptr};
  T* current = made.load(std::memory_order_acquire);
  if (!current) {
    // No lock here either, so it may happen more than once.
    static std::atomic<bool> registered{false};
    if (!registered.load(std::memory_order_acquire)) {
      pthread_atfork(nullptr, nullptr, [] { made.store(nullptr, std::memory_order_release); });
      registered.store(true, std::memory_order_release);
    }
    T* fresh = new T;
    if (made.compare_exchange_strong(current, fresh)) return *fresh;
    delete fresh;
  }
  return *current;
}

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_AFTER_FORK_H_
