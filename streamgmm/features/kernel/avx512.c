/* For x86-64 processors with AVX-512 (servers since 2017). */

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma,avx2"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,avx2")
#endif

#define LANES 16
#define LEVEL avx512
#define IS_SUPPORTED (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && \
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
#include "analysis.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
