#include "eval/linalg/nonlinearity.h"

#include <string.h>

BS_LEVELS(bs_nonlinearity_loops);

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
    bs_nonlinearity_loops[bs_isa()]->apply[f](x, count);
}

void bs_nonlinearity_times(enum bs_nonlinearity f, float *gate, const float *up, size_t count)
{
    enum { CHUNK = 1024 }; /* what was just written is still in the cache */
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t end = start + CHUNK < count ? start + CHUNK : count;
        bs_nonlinearity_apply(f, gate + start, end - start);
        bs_nonlinearity_loops[bs_isa()]->times(up + start, gate + start, end - start);
    }
}
