/* The vectors that product_isa.c is written in, as its level has them: W floats each, in GNU C's
 * vector extensions where they say what is meant and in the processor's own words where not. */
#ifndef BS_EVAL_LINALG_PRODUCT_VECTORS_H
#define BS_EVAL_LINALG_PRODUCT_VECTORS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && BS_ISA > 0
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

#if BS_ISA == 3
enum { W = 16 };
#elif BS_ISA == 2
enum { W = 8 };
#else
enum { W = 4 };
#endif

/* A vector, four floats, and both wherever they stand in memory. */
typedef float vec __attribute__((vector_size(4 * W)));
typedef float unaligned_vec __attribute__((vector_size(4 * W), may_alias, aligned(4)));
typedef float four __attribute__((vector_size(16)));
typedef float unaligned_four __attribute__((vector_size(16), may_alias, aligned(4)));

/* From memory, to it, four floats from it, one float in all lanes (x - 0 is x, of -0 too). */
INLINE vec load(const float *x) { return *(const unaligned_vec *)x; }
INLINE void store(float *x, vec v) { *(unaligned_vec *)x = v; }
INLINE four load_four(const float *x) { return *(const unaligned_four *)x; }
INLINE vec all(float x) { return x - (vec){0}; }

/* --- a * b + c, rounded once --- */

#if defined(__x86_64__) && BS_ISA > 0
/* In the form that adds to the register of c: compilers also take those that overwrite a factor,
 * and then move sums to and fro. */
INLINE vec fused(vec a, vec b, vec c)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}
#elif defined(__aarch64__)
/* The same. */
INLINE vec fused(vec a, vec b, vec c)
{
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#else
typedef double two_doubles __attribute__((vector_size(16)));
typedef int64_t two_words __attribute__((vector_size(16)));

/* In double the product of two floats is exact. Their sum with c is rounded to odd there: where it
 * is not exact, the last bit is set. Rounding that to float is then rounding the exact sum
 * (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums"): double has more than
 * twice the bits of float and two. */
INLINE two_doubles sum_to_odd(two_doubles product, two_doubles c)
{
    two_doubles sum = product + c, of_c = sum - product;
    two_doubles error = (product - (sum - of_c)) + (c - of_c); /* Knuth's; NaN with infinities */
    two_words inexact = (error > 0) | (error < 0), away = (error > 0) == (sum > 0);
    two_words bits = (two_words)sum, even = (bits & 1) - 1;
    return (two_doubles)(bits + (inexact & even & ((away & 1) | ~away)));
}

/* a * b + c */
INLINE vec fused(vec a, vec b, vec c)
{
    two_doubles low = {(double)a[0] * (double)b[0], (double)a[1] * (double)b[1]};
    two_doubles high = {(double)a[2] * (double)b[2], (double)a[3] * (double)b[3]};
    low = sum_to_odd(low, (two_doubles){(double)c[0], (double)c[1]});
    high = sum_to_odd(high, (two_doubles){(double)c[2], (double)c[3]});
    return (vec){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
}
#endif

/* --- the first lanes of a vector --- */

#if BS_ISA == 3
/* The first lanes: how many, what stands there with zeros after it, and only them to memory. */
typedef __mmask16 part;
INLINE part part_of(int count)
{
    return (part)(count < W ? (1u << (count > 0 ? count : 0)) - 1 : 0xffff);
}
INLINE vec load_part(const float *x, part lanes) { return (vec)_mm512_maskz_loadu_ps(lanes, x); }
INLINE void store_part(float *x, part lanes, vec v) { _mm512_mask_storeu_ps(x, lanes, (__m512)v); }
#elif BS_ISA == 2
/* The same. */
typedef __m256i part;
INLINE part part_of(int count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec load_part(const float *x, part lanes) { return (vec)_mm256_maskload_ps(x, lanes); }
INLINE void store_part(float *x, part lanes, vec v) { _mm256_maskstore_ps(x, lanes, (__m256)v); }
#else
typedef int part;
INLINE part part_of(int count) { return count < W ? count : W; }
INLINE vec load_part(const float *x, part lanes)
{
    if (lanes == W)
        return load(x);
    vec v = {0};
    for (int i = 0; i < lanes; i++)
        v[i] = x[i];
    return v;
}
INLINE void store_part(float *x, part lanes, vec v)
{
    for (int i = 0; i < lanes; i++)
        x[i] = v[i];
}
#endif

/* A whole vector to memory, without a place in the caches, where it is aligned; such stores are
 * seen by other threads once they are finished. */
#if BS_ISA == 3
INLINE void store_past_caches(float *x, vec v) { _mm512_stream_ps(x, (__m512)v); }
INLINE void finish_stores(void) { _mm_sfence(); }
#else
INLINE void store_past_caches(float *x, vec v) { store(x, v); }
INLINE void finish_stores(void) {}
#endif

/* --- four columns of W rows --- */

/* Four floats of each of the rows i, i + 4 and so on, one after the other. */
#if BS_ISA == 3
typedef float eight __attribute__((vector_size(32)));
INLINE vec of_rows(const float *const *x, int i, int p)
{
    eight low = __builtin_shufflevector(load_four(x[i] + p), load_four(x[i + 4] + p), 0, 1, 2, 3, 4,
                                        5, 6, 7);
    eight high = __builtin_shufflevector(load_four(x[i + 8] + p), load_four(x[i + 12] + p), 0, 1, 2,
                                         3, 4, 5, 6, 7);
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
/* Lanes of two vectors: each four of the lower halves in turn, of the upper, of pairs. */
#define LOW_LANES 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_LANES 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif BS_ISA == 2
INLINE vec of_rows(const float *const *x, int i, int p)
{
    return __builtin_shufflevector(load_four(x[i] + p), load_four(x[i + 4] + p), 0, 1, 2, 3, 4, 5,
                                   6, 7);
}
#define LOW_LANES 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_LANES 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#else
INLINE vec of_rows(const float *const *x, int i, int p) { return load(x[i] + p); }
#define LOW_LANES 0, 4, 1, 5
#define HIGH_LANES 2, 6, 3, 7
#define LOW_PAIRS 0, 1, 4, 5
#define HIGH_PAIRS 2, 3, 6, 7
#endif

/* turned[q][i] = floats q of the rows i: four that of_rows brought together. */
INLINE void turn_four(const vec rows[4], vec turned[4])
{
    vec low_01 = __builtin_shufflevector(rows[0], rows[1], LOW_LANES);
    vec low_23 = __builtin_shufflevector(rows[2], rows[3], LOW_LANES);
    vec high_01 = __builtin_shufflevector(rows[0], rows[1], HIGH_LANES);
    vec high_23 = __builtin_shufflevector(rows[2], rows[3], HIGH_LANES);
    turned[0] = __builtin_shufflevector(low_01, low_23, LOW_PAIRS);
    turned[1] = __builtin_shufflevector(low_01, low_23, HIGH_PAIRS);
    turned[2] = __builtin_shufflevector(high_01, high_23, LOW_PAIRS);
    turned[3] = __builtin_shufflevector(high_01, high_23, HIGH_PAIRS);
}

#endif
