/* Products of weights and inputs that are rounded to bfloat16. */
#include "eval/linalg/packed.h"
#include "eval/model/kernel.h"

static bool bfloat16_suits(const struct bs_multiplication *product)
{
    return product->compute == BS_BFLOAT16;
}

static enum bs_status bfloat16_prepare(const struct bs_linear *linear, void **prepared,
                                       struct bs_error *err)
{
    struct bs_packed *packed = NULL;
    if (bs_packed_create(BS_BFLOAT16, linear->out_features, linear->in_features, linear->weight,
                         &packed, err))
        return err->status;
    *prepared = packed;
    return BS_OK;
}

static void bfloat16_release(void *prepared) { bs_packed_free(prepared); }

static size_t bfloat16_weight_bytes(void) { return bs_packed_bytes(BS_BFLOAT16); }

static void bfloat16_multiply(const struct bs_linear *linear, const float *x, int rows, float *y,
                              int stride, struct bs_scratch *scratch)
{
    bs_gemm_nt_packed(rows, x, linear->prepared, y, stride, scratch);
    bs_linear_add_bias(linear, y, stride, rows);
}

static size_t bfloat16_extra(int out, int in) { return bs_gemm_nt_packed_floats(out, in); }

const struct bs_kernel bs_kernel_bfloat16 = {
    .plugin = {.name = "bfloat16",
               .summary = "weights and inputs rounded to bfloat16, summed in float32",
               .reference = "eval/linalg/numerics.h"},
    .suits = bfloat16_suits,
    .prepare = bfloat16_prepare,
    .release = bfloat16_release,
    .weight_bytes = bfloat16_weight_bytes,
    .multiply = bfloat16_multiply,
    .extra = bfloat16_extra,
};
