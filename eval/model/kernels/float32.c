/* Products of floats as they are. */
#include "eval/model/kernel.h"

static bool float32_suits(const struct bs_multiplication *product)
{
    (void)product;
    return true;
}

static void float32_multiply(const struct bs_linear *linear, const float *x, int rows, float *y,
                             int stride, struct bs_scratch *scratch)
{
    (void)scratch;
    bs_linear_forward(linear, x, y, stride, rows);
}

const struct bs_kernel bs_kernel_float32 = {
    .plugin = {.name = "float32",
               .summary = "decoded weights and inputs, multiplied and summed in float32",
               .reference = "eval/linalg/numerics.h"},
    .exact = true,
    .suits = float32_suits,
    .multiply = float32_multiply,
};
