/* Vectors of LANES numbers, which the compiler maps to the registers of the level.
 *
 * Sums run in an order that depends on nothing but their length: not on addresses, nor on how hops are grouped. */

#include <math.h>
#include <string.h>

#include "kernel.h"

#define DOUBLES (LANES / 2)

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));
typedef float Quad __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(8 * DOUBLES)));
typedef double DoubleQuad __attribute__((vector_size(32)));
typedef int32_t QuadPlaces __attribute__((vector_size(16)));

/* Choose four of the eight numbers of two Quads. */
#if defined(__clang__)
#define SHUFFLE(left, right, ...) __builtin_shufflevector(left, right, __VA_ARGS__)
#else
#define SHUFFLE(left, right, ...) __builtin_shuffle(left, right, (QuadPlaces){__VA_ARGS__})
#endif

#define INLINE static inline __attribute__((always_inline))

INLINE Vector load(const float *from)
{
    Vector values;
    memcpy(&values, from, sizeof values);
    return values;
}

INLINE Doubles load_doubles(const double *from)
{
    Doubles values;
    memcpy(&values, from, sizeof values);
    return values;
}

INLINE void store_doubles(double *to, Doubles values)
{
    memcpy(to, &values, sizeof values);
}

INLINE void store(float *to, Vector values)
{
    memcpy(to, &values, sizeof values);
}

INLINE Vector splat(float value)
{
    return value - (Vector){0};
}

/* The first `n` lanes; zeros in the others. */
INLINE Vector first(Vector values, int n)
{
    Integers lane;
    for (int i = 0; i < LANES; i++)
        lane[i] = i;
    return (Vector)((Integers)values & (lane < n));
}

INLINE Vector magnitude(Vector values)
{
    return (Vector)((Integers)values & 0x7fffffff);
}

INLINE float total(Vector values)
{
    Quad quads[LANES / 4], sum;
    memcpy(quads, &values, sizeof values);
    sum = quads[0];
    for (int i = 1; i < LANES / 4; i++)
        sum += quads[i];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* Natural logarithm of positive normal numbers, within 1e-7 of the greater of 1 and the result (Cephes `logf`). */
INLINE Vector logarithm(Vector values)
{
    /* values = 2^exponent m, with m from sqrt(1/2) to sqrt(2): its bits count from those of sqrt(1/2). */
    Integers bits = (Integers)values - 0x3f3504f3;
    Integers exponents = bits >> 23;
    Vector m = (Vector)((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    Vector squares = m * m;
    Vector power = __builtin_convertvector(exponents, Vector);
    Vector tail = 7.0376836292e-2f * m - 1.1514610310e-1f;
    tail = tail * m + 1.1676998740e-1f;
    tail = tail * m - 1.2420140846e-1f;
    tail = tail * m + 1.4249322787e-1f;
    tail = tail * m - 1.6668057665e-1f;
    tail = tail * m + 2.0000714765e-1f;
    tail = tail * m - 2.4999993993e-1f;
    tail = tail * m + 3.3333331174e-1f;
    tail = tail * m * squares - 0.5f * squares;
    /* The logarithm of 2 in two parts, the first of which has few digits, so that its product is exact. */
    return power * 0.693359375f + (m + (tail - power * 2.12194440e-4f));
}

/* Replace `n` positive numbers by their logarithms. */
static void take_logarithms(float *values, int n)
{
    for (int i = 0; i < n; i += LANES) {
        Vector some = splat(1.0f);
        size_t size = sizeof(float) * (size_t)(n - i < LANES ? n - i : LANES);
        memcpy(&some, values + i, size);
        some = logarithm(some);
        memcpy(values + i, &some, size);
    }
}

INLINE float sum_of(const float *values, int n)
{
    Vector sum = {0};
    for (int i = 0; i < n; i += LANES)
        sum += first(load(values + i), n - i);
    return total(sum);
}

static void mean_and_deviation(const float *values, int n, double *mean, double *deviation)
{
    float centre = sum_of(values, n) / n;
    Vector sum = {0};
    for (int i = 0; i < n; i += LANES) {
        Vector difference = first(load(values + i) - centre, n - i);
        sum += difference * difference;
    }
    *mean = centre;
    *deviation = sqrt(total(sum) / n);
}
