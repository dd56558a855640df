/* Loops over vectors that the forward pass, the metrics and the formats share. Sums run over 16
 * fixed lanes, so their bits depend neither on the compiler's vector width nor on threads. */
#ifndef BS_EVAL_LINALG_VECTOR_H
#define BS_EVAL_LINALG_VECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/isa.h"

/* The loops of a level, as the functions of these names below. */
struct bs_vector_loops {
    void (*min_max)(const float *x, size_t count, float *low, float *high);
    float (*max)(const float *x, size_t count);
    float (*abs_max)(const float *x, size_t count);
    double (*sum_squares)(const float *x, size_t count);
    double (*dot)(const float *x, const float *y, size_t count);
    double (*sum_squared_difference)(const float *x, const float *y, size_t count);
    size_t (*first_not_finite)(const float *x, size_t count);
    float (*exp_shifted)(float *x, size_t count, float shift);
    double (*sum_exp)(const float *x, size_t count, double shift);
    double (*exp_to_double)(const float *x, size_t count, double shift, double *p);
    double (*weighted_difference)(const double *p, const float *x, const float *y, size_t count);
    void (*soft_cap)(float *x, size_t count, float cap);
    void (*add)(const float *x, float *y, size_t count);
    void (*scale)(float *x, size_t count, float factor);
    void (*clip)(const float *x, size_t count, float most, float *out);
    void (*turn)(float *x, float *y, const float *cosine, const float *sine, size_t count);
    float (*sum_power_difference)(const float *x, const float *y, size_t count, float power);
    void (*power)(const float *x, size_t count, float power, float *out);
    void (*rms_norm)(const float *x, const float *weight, float eps, int rows, int width, float *y);
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float eps, int rows,
                       int width, float *y);
};
extern const struct bs_vector_loops *const bs_vector_loops[BS_NUM_ISA];

/* Smallest and largest of count >= 1 values: of those that are numbers, or NaN where the first
 * is. */
static inline void bs_min_max(const float *x, size_t count, float *low, float *high)
{
    bs_vector_loops[bs_isa()]->min_max(x, count, low, high);
}

/* The i-th end of equal parts of [low, high], as torch.linspace has it: counted from the nearer end
 * by a step in float32, and rounded once. */
static inline float bs_part_end(float low, float high, int parts, int i)
{
    float step = (high - low) / (float)parts;
    if (i < (parts + 1) / 2)
        return (float)((double)low + (double)step * i);
    return (float)((double)high - (double)step * (parts - i));
}

/* Largest of count >= 1 values, as there. */
static inline float bs_max(const float *x, size_t count)
{
    return bs_vector_loops[bs_isa()]->max(x, count);
}

/* Largest |x|; 0 for none. */
static inline float bs_abs_max(const float *x, size_t count)
{
    return bs_vector_loops[bs_isa()]->abs_max(x, count);
}

/* Sum of x^2, of x * y, of (x - y)^2, in double. */
static inline double bs_sum_squares(const float *x, size_t count)
{
    return bs_vector_loops[bs_isa()]->sum_squares(x, count);
}
static inline double bs_dot(const float *x, const float *y, size_t count)
{
    return bs_vector_loops[bs_isa()]->dot(x, y, count);
}
static inline double bs_sum_squared_difference(const float *x, const float *y, size_t count)
{
    return bs_vector_loops[bs_isa()]->sum_squared_difference(x, y, count);
}

/* Index of the first value that is not finite, or count. */
static inline size_t bs_first_not_finite(const float *x, size_t count)
{
    return bs_vector_loops[bs_isa()]->first_not_finite(x, count);
}

/* x[i] = exp(x[i] - shift); returns the sum. */
static inline float bs_exp_shifted(float *x, size_t count, float shift)
{
    return bs_vector_loops[bs_isa()]->exp_shifted(x, count, shift);
}

/* sum of exp(x[i] - shift), in double. */
static inline double bs_sum_exp(const float *x, size_t count, double shift)
{
    return bs_vector_loops[bs_isa()]->sum_exp(x, count, shift);
}

/* p[i] = exp(x[i] - shift), in double; returns the sum, the same as bs_sum_exp's. */
static inline double bs_exp_to_double(const float *x, size_t count, double shift, double *p)
{
    return bs_vector_loops[bs_isa()]->exp_to_double(x, count, shift, p);
}

/* sum of p[i] * (x[i] - y[i]). */
static inline double bs_weighted_difference(const double *p, const float *x, const float *y,
                                            size_t count)
{
    return bs_vector_loops[bs_isa()]->weighted_difference(p, x, y, count);
}

/* x[i] = cap * tanh(x[i] / cap). */
static inline void bs_soft_cap(float *x, size_t count, float cap)
{
    bs_vector_loops[bs_isa()]->soft_cap(x, count, cap);
}

/* y[i] += x[i]. */
static inline void bs_add(const float *x, float *y, size_t count)
{
    bs_vector_loops[bs_isa()]->add(x, y, count);
}

/* x[i] *= factor. */
static inline void bs_scale(float *x, size_t count, float factor)
{
    bs_vector_loops[bs_isa()]->scale(x, count, factor);
}

/* out[i] = x[i], at least -most and at most `most`; out may be x. */
static inline void bs_clip(const float *x, size_t count, float most, float *out)
{
    bs_vector_loops[bs_isa()]->clip(x, count, most, out);
}

/* Turns (x[i], y[i]) by the angle whose cosine and sine are given. */
static inline void bs_turn(float *x, float *y, const float *cosine, const float *sine, size_t count)
{
    bs_vector_loops[bs_isa()]->turn(x, y, cosine, sine, count);
}

/* sum of |x[i] - y[i]|^power, in float as the code that it follows has it. */
static inline float bs_sum_power_difference(const float *x, const float *y, size_t count,
                                            float power)
{
    return bs_vector_loops[bs_isa()]->sum_power_difference(x, y, count, power);
}

/* out[i] = x[i]^power. */
static inline void bs_power(const float *x, size_t count, float power, float *out)
{
    bs_vector_loops[bs_isa()]->power(x, count, power, out);
}

/* y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight for each of rows (RMSNorm). y may be x. */
static inline void bs_rms_norm(const float *x, const float *weight, float eps, int rows, int width,
                               float *y)
{
    bs_vector_loops[bs_isa()]->rms_norm(x, weight, eps, rows, width, y);
}

/* y[t] = (x[t] - mean) / sqrt(variance + eps) * weight + bias for each of rows (LayerNorm); bias
 * may be NULL, y may be x. */
static inline void bs_layer_norm(const float *x, const float *weight, const float *bias, float eps,
                                 int rows, int width, float *y)
{
    bs_vector_loops[bs_isa()]->layer_norm(x, weight, bias, eps, rows, width, y);
}

#endif
