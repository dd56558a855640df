/* Loops over vectors that the forward pass, the metrics and the formats share. Sums run over 16
 * fixed lanes, so their bits depend neither on the compiler's vector width nor on threads. */
#ifndef BS_EVAL_LINALG_VECTOR_H
#define BS_EVAL_LINALG_VECTOR_H

#include <stdbool.h>
#include <stddef.h>

/* Smallest and largest of count >= 1 values: of those that are numbers, or NaN where the first
 * is. */
void bs_min_max(const float *x, size_t count, float *low, float *high);

/* Largest of count >= 1 values, as there. */
float bs_max(const float *x, size_t count);

/* Largest |x|; 0 for none. */
float bs_abs_max(const float *x, size_t count);

/* Sum of x^2, of x * y, of (x - y)^2, in double. */
double bs_sum_squares(const float *x, size_t count);
double bs_dot(const float *x, const float *y, size_t count);
double bs_sum_squared_difference(const float *x, const float *y, size_t count);

/* Index of the first value that is not finite, or count. */
size_t bs_first_not_finite(const float *x, size_t count);

/* x[i] = exp(x[i] - shift); returns the sum. */
float bs_exp_shifted(float *x, size_t count, float shift);

/* sum of exp(x[i] - shift), in double. */
double bs_sum_exp(const float *x, size_t count, double shift);

/* p[i] = exp(x[i] - shift), in double; returns the sum, the same as bs_sum_exp's. */
double bs_exp_to_double(const float *x, size_t count, double shift, double *p);

/* sum of p[i] * (x[i] - y[i]). */
double bs_weighted_difference(const double *p, const float *x, const float *y, size_t count);

/* x[i] = cap * tanh(x[i] / cap). */
void bs_soft_cap(float *x, size_t count, float cap);

/* y[i] += x[i]. */
void bs_add(const float *x, float *y, size_t count);

/* sum of |x[i] - y[i]|^power, in float as the code that it follows has it. */
float bs_sum_power_difference(const float *x, const float *y, size_t count, float power);

/* out[i] = x[i]^power. */
void bs_power(const float *x, size_t count, float power, float *out);

/* y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight for each of rows (RMSNorm). y may be x. */
void bs_rms_norm(const float *x, const float *weight, float eps, int rows, int width, float *y);

/* y[t] = (x[t] - mean) / sqrt(variance + eps) * weight + bias for each of rows (LayerNorm); bias
 * may be NULL, y may be x. */
void bs_layer_norm(const float *x, const float *weight, const float *bias, float eps, int rows,
                   int width, float *y);

#endif
