// Plain C++: whatever the compiler makes of it, SSE2 on x86-64.
#define KSR_ISA plain
#include "kernels.inc"
