/* For x86-64 processors with AVX2 and fused multiplication and addition (since 2013). */

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LANES 8
#define LEVEL avx2
#include "analysis.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
