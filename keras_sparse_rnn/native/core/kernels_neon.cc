// NEON, which every aarch64 processor has.
#if defined(__aarch64__)
#define KSR_NEON 1
#define KSR_ISA neon
#include "kernels.inc"
#endif
