// AVX2 with FMA: compiled with the flags for it, entered only where the processor has it.
#if defined(__AVX2__)
#define KSR_ISA avx2
#include "kernels.inc"
#endif
