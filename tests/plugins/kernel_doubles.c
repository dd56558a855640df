/* Multiplies decoded weights of 5-bit codes in double precision: slow, and as exact as can be. */
#include "eval/base/mem.h"
#include "eval/model/kernel.h"

extern const struct bs_kernel bs_kernel_doubles;

static bool doubles_suits(const struct bs_multiplication *product)
{
    return product->codes && product->codes->code_bits == 5 && !product->input &&
           product->compute == BS_FLOAT32;
}

static enum bs_status doubles_prepare(const struct bs_linear *linear, void **prepared,
                                      struct bs_error *err)
{
    size_t count = (size_t)linear->out_features * (size_t)linear->in_features;
    double *weight = bs_alloc(count, sizeof *weight);
    if (!weight)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        weight[i] = linear->weight[i];
    *prepared = weight;
    return BS_OK;
}

static void doubles_release(void *prepared) { bs_free(prepared); }

static size_t doubles_weight_bytes(void) { return sizeof(double); }

static void doubles_multiply(const struct bs_linear *linear, const float *x, int rows, float *y,
                             int stride, struct bs_scratch *scratch)
{
    (void)scratch;
    const double *weight = linear->prepared;
    size_t in = (size_t)linear->in_features;
    for (int t = 0; t < rows; t++)
        for (int i = 0; i < linear->out_features; i++) {
            double sum = 0;
            for (size_t j = 0; j < in; j++)
                sum += weight[(size_t)i * in + j] * (double)x[(size_t)t * in + j];
            y[t * (size_t)stride + (size_t)i] = (float)sum;
        }
    bs_linear_add_bias(linear, y, stride, rows);
}

const struct bs_kernel bs_kernel_doubles = {
    .plugin = {.name = "doubles",
               .summary = "decoded weights of 5 bits, multiplied and summed in double precision",
               .reference = "a test"},
    .exact = true,
    .suits = doubles_suits,
    .prepare = doubles_prepare,
    .release = doubles_release,
    .weight_bytes = doubles_weight_bytes,
    .multiply = doubles_multiply,
};
