/* Each function as transformers' activations.py and torch compute it, in float. */
#include "eval/linalg/nonlinearity.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };

/* glibc has vector forms of these, which the compiler uses in a loop where it is told of them. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#pragma omp declare simd notinbranch
float expf(float);
#pragma omp declare simd notinbranch
float tanhf(float);
#pragma omp declare simd notinbranch
float erff(float);
#pragma omp declare simd notinbranch
float log1pf(float);
#endif

static inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

static inline float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }

/* ln(1 + e^x), which beyond 20 is x as far as torch computes it. */
static inline float softplus(float x) { return x > 20 ? x : log1pf(expf(x > 20 ? 20 : x)); }

/* These let a NaN through. */
static inline float at_least(float x, float low) { return x < low ? low : x; }
static inline float at_most(float x, float high) { return x > high ? high : x; }

static void apply_silu(float *x, size_t count)
{
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] / (1.0f + expf(-x[i]));
}

static void apply_gelu(float *x, size_t count)
{
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = gelu(x[i]);
}

static void apply_gelu_tanh(float *x, size_t count)
{
    const float root_2_over_pi = 0.79788456f;
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++) {
        float inner = root_2_over_pi * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
        x[i] = 0.5f * x[i] * (1.0f + tanhf(inner));
    }
}

static void apply_gelu_10(float *x, size_t count)
{
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = at_most(at_least(gelu(x[i]), -10), 10);
}

static void apply_quick_gelu(float *x, size_t count)
{
#pragma omp simd simdlen(LANES)
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
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] * tanhf(softplus(x[i]));
}

static void apply_sigmoid(float *x, size_t count)
{
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = sigmoid(x[i]);
}

static void apply_sqrt_softplus(float *x, size_t count)
{
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = sqrtf(softplus(x[i]));
}

static void apply_tanh(float *x, size_t count)
{
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = tanhf(x[i]);
}

/* The normal distribution's with mean 0.707107 and deviation 0.282095 (MEGA, arXiv 2209.10655). */
static void apply_laplace(float *x, size_t count)
{
    const float width = (float)(0.282095 * 1.4142135623730951);
#pragma omp simd simdlen(LANES)
    for (size_t i = 0; i < count; i++)
        x[i] = 0.5f * (1.0f + erff((x[i] - 0.707107f) / width));
}

static void apply_linear(float *x, size_t count)
{
    (void)x;
    (void)count;
}

static void (*const functions[BS_NUM_NONLINEARITIES])(float *x, size_t count) = {
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
};

static const struct {
    const char *name;
    enum bs_nonlinearity function;
} names[] = {
    {"silu", BS_SILU},
    {"swish", BS_SILU},
    {"gelu", BS_GELU},
    {"gelu_python", BS_GELU},
    {"gelu_new", BS_GELU_TANH},
    {"gelu_pytorch_tanh", BS_GELU_TANH},
    {"gelu_python_tanh", BS_GELU_TANH},
    {"gelu_fast", BS_GELU_TANH},
    {"gelu_accurate", BS_GELU_TANH},
    {"gelu_10", BS_GELU_10},
    {"quick_gelu", BS_QUICK_GELU},
    {"relu", BS_RELU},
    {"relu2", BS_RELU_SQUARED},
    {"relu6", BS_RELU_6},
    {"leaky_relu", BS_LEAKY_RELU},
    {"hardswish", BS_HARD_SWISH},
    {"mish", BS_MISH},
    {"sigmoid", BS_SIGMOID},
    {"sqrtsoftplus", BS_SQRT_SOFTPLUS},
    {"tanh", BS_TANH},
    {"laplace", BS_LAPLACE},
    {"linear", BS_LINEAR},
};

bool bs_nonlinearity_find(const char *name, enum bs_nonlinearity *f)
{
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i].name)) {
            *f = names[i].function;
            return true;
        }
    return false;
}

const char *bs_nonlinearity_name(int index)
{
    int count = (int)(sizeof names / sizeof *names);
    return index < count ? names[index].name : NULL;
}

bool bs_nonlinearity_passes_factors(enum bs_nonlinearity f)
{
    return f == BS_RELU || f == BS_LEAKY_RELU || f == BS_LINEAR;
}

void bs_nonlinearity_apply(enum bs_nonlinearity f, float *x, size_t count)
{
    functions[f](x, count);
}

void bs_nonlinearity_times(enum bs_nonlinearity f, float *gate, const float *up, size_t count)
{
    enum { CHUNK = 1024 }; /* what was just written is still in the cache */
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t end = start + CHUNK < count ? start + CHUNK : count;
        bs_nonlinearity_apply(f, gate + start, end - start);
        for (size_t i = start; i < end; i++)
            gate[i] *= up[i];
    }
}
