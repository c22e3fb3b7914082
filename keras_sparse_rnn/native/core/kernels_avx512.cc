// AVX-512 (F, DQ, BW, VL): compiled with the flags for it, entered only where the processor has it.
#if defined(__AVX512F__)
#define KSR_ISA avx512
#include "kernels.inc"
#endif
