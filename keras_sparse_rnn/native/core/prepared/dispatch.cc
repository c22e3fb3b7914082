#include "dispatch.h"

#include <cstdio>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace ksr {
namespace prepared {

// Those of this machine's kind. Weak, because a compiler may not know an instruction set's flags:
// then its address is null.
#if defined(__x86_64__)
#define KSR_ON_x86_64(...) __VA_ARGS__
#define KSR_ON_aarch64(...)
#elif defined(__aarch64__)
#define KSR_ON_x86_64(...)
#define KSR_ON_aarch64(...) __VA_ARGS__
#else
#define KSR_ON_x86_64(...)
#define KSR_ON_aarch64(...)
#endif
#define KSR_ON_any(...) __VA_ARGS__

#define KSR_INSTRUCTION_SET(name, machine, flags, supported) \
  KSR_ON_##machine(namespace name { extern const Kernels kKernels __attribute__((weak)); })
#include "instruction_sets.inc"
#undef KSR_INSTRUCTION_SET

namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512vnni() { return __builtin_cpu_supports("avx512vnni"); }
// Not every compiler that has the instructions knows how to ask for them.
bool has_avxvnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}
#elif defined(__aarch64__)
bool has_neondot() {
#if defined(__linux__)
  constexpr unsigned long kDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  return getauxval(AT_HWCAP) & kDotProduct;
#else
  return true;  // Apple's all have it
#endif
}
#endif

struct InstructionSet {
  const Kernels* kernels;
  bool (*supported)();
};

const InstructionSet kSets[] = {
#define KSR_INSTRUCTION_SET(name, machine, flags, supported) \
  KSR_ON_##machine({&name::kKernels, [] { return static_cast<bool>(supported); }}, )
#include "instruction_sets.inc"
#undef KSR_INSTRUCTION_SET
};
constexpr int kSetCount = sizeof kSets / sizeof kSets[0];

bool usable(int place) { return kSets[place].kernels && kSets[place].supported(); }

}  // namespace

int find_instruction_set(const char* name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  for (int i = 0; i < kSetCount; ++i)
    if (usable(i) && (!name || !std::strcmp(name, kSets[i].kernels->name))) return i;
  return -1;
}

const Kernels* kernels_of(int place) {
  return place >= 0 && place < kSetCount ? kSets[place].kernels : nullptr;
}

void list_instruction_sets(char* text, int size) {
  text[0] = 0;
  int used = 0;
  for (int i = 0; i < kSetCount && used < size; ++i)
    if (usable(i))
      used +=
          std::snprintf(text + used, size - used, "%s%s", used ? ", " : "", kSets[i].kernels->name);
}

}  // namespace prepared
}  // namespace ksr
