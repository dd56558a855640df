/* Products as llama.cpp's CPU backend makes them. */
#include "eval/model/ggml.h"
#include "eval/model/kernel.h"

static bool llama_cpp_suits(const struct bs_multiplication *product)
{
    return product->compute == BS_AS_LLAMA_CPP;
}

static enum bs_status llama_cpp_prepare(const struct bs_linear *linear, void **prepared,
                                        struct bs_error *err)
{
    struct bs_ggml_weights *weights = NULL;
    if (bs_ggml_linear_create(linear, &weights, err))
        return err->status;
    *prepared = weights;
    return BS_OK;
}

static void llama_cpp_release(void *prepared) { bs_ggml_weights_free(prepared); }

static size_t llama_cpp_weight_bytes(void) { return BS_GGML_WEIGHT_BYTES; }

static void llama_cpp_multiply(const struct bs_linear *linear, const float *x, int rows, float *y,
                               int stride, struct bs_scratch *scratch)
{
    bs_ggml_multiply(linear->prepared, x, rows, y, stride, scratch);
    bs_linear_add_bias(linear, y, stride, rows);
}

const struct bs_kernel bs_kernel_llama_cpp = {
    .plugin = {.name = "llama_cpp",
               .summary = "weights in GGUF's blocks by inputs rounded to blocks of 8 bits",
               .reference = "ggml-org/llama.cpp ggml/src/ggml-cpu; eval/model/ggml.h"},
    .suits = llama_cpp_suits,
    .prepare = llama_cpp_prepare,
    .release = llama_cpp_release,
    .weight_bytes = llama_cpp_weight_bytes,
    .multiply = llama_cpp_multiply,
    .extra = bs_ggml_floats,
};
