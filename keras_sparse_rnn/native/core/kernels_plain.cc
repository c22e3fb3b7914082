// Plain C++: SSE2 on x86-64, NEON on aarch64, whatever the compiler makes of it elsewhere.
#define KSR_ISA plain
#include "kernels.inc"
