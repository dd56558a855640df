/* Each function as transformers' activations.py and torch compute it, in float. */
#include "eval/linalg/nonlinearity.h"

#include <math.h>

#include "eval/linalg/elementary.h"

static inline float sigmoid(float x) { return 1.0f / (1.0f + bs_expf(-x)); }

static inline float gelu(float x) { return 0.5f * x * (1.0f + bs_erff(x * 0.70710678f)); }

/* ln(1 + e^x), which beyond 20 is x as far as torch computes it. */
static inline float softplus(float x) { return x > 20 ? x : bs_log1pf(bs_expf(x > 20 ? 20 : x)); }

/* These let a NaN through. */
static inline float at_least(float x, float low) { return x < low ? low : x; }
static inline float at_most(float x, float high) { return x > high ? high : x; }

static void apply_silu(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] / (1.0f + bs_expf(-x[i]));
}

static void apply_gelu(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = gelu(x[i]);
}

static void apply_gelu_tanh(float *x, size_t count)
{
    const float root_2_over_pi = 0.79788456f;
    for (size_t i = 0; i < count; i++) {
        float inner = root_2_over_pi * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
        x[i] = 0.5f * x[i] * (1.0f + bs_tanhf(inner));
    }
}

static void apply_gelu_10(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = at_most(at_least(gelu(x[i]), -10), 10);
}

static void apply_quick_gelu(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] * sigmoid(1.702f * x[i]);
}

static void apply_relu(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = at_least(x[i], 0);
}

static void apply_relu_squared(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = at_least(x[i], 0) * at_least(x[i], 0);
}

static void apply_relu_6(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = at_most(at_least(x[i], 0), 6);
}

static void apply_leaky_relu(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] < 0 ? 0.01f * x[i] : x[i];
}

static void apply_hard_swish(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] * at_most(at_least(x[i] + 3, 0), 6) / 6;
}

static void apply_mish(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] * bs_tanhf(softplus(x[i]));
}

static void apply_sigmoid(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = sigmoid(x[i]);
}

static void apply_sqrt_softplus(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = sqrtf(softplus(x[i]));
}

static void apply_tanh(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = bs_tanhf(x[i]);
}

/* The normal distribution's with mean 0.707107 and deviation 0.282095 (MEGA, arXiv 2209.10655). */
static void apply_laplace(float *x, size_t count)
{
    const float width = (float)(0.282095 * 1.4142135623730951);
    for (size_t i = 0; i < count; i++)
        x[i] = 0.5f * (1.0f + bs_erff((x[i] - 0.707107f) / width));
}

static void apply_linear(float *x, size_t count)
{
    (void)x;
    (void)count;
}

static void times(const float *up, float *gate, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gate[i] *= up[i];
}

const struct bs_nonlinearity_loops BS_AT_LEVEL(bs_nonlinearity_loops) = {
    .apply =
        {
            [BS_SILU] = apply_silu,
            [BS_GELU] = apply_gelu,
            [BS_GELU_TANH] = apply_gelu_tanh,
            [BS_GELU_10] = apply_gelu_10,
            [BS_QUICK_GELU] = apply_quick_gelu,
            [BS_RELU] = apply_relu,
            [BS_RELU_SQUARED] = apply_relu_squared,
            [BS_RELU_6] = apply_relu_6,
            [BS_LEAKY_RELU] = apply_leaky_relu,
            [BS_HARD_SWISH] = apply_hard_swish,
            [BS_MISH] = apply_mish,
            [BS_SIGMOID] = apply_sigmoid,
            [BS_SQRT_SOFTPLUS] = apply_sqrt_softplus,
            [BS_TANH] = apply_tanh,
            [BS_LAPLACE] = apply_laplace,
            [BS_LINEAR] = apply_linear,
        },
    .times = times,
};
