/* For x86-64 processors with AVX-512 (servers since 2017). */

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx2,fma")
#endif

#define LANES 16
#define LEVEL avx512
#include "analysis.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
