/* Weights as llama.cpp's CPU backend multiplies them: in blocks of GGUF's types by inputs that are
 * rounded to blocks of 8 bits, summed in integers within a block. Plain numbers are multiplied by
 * inputs rounded to the same type.
 *
 * Of a row and an output, float32 throughout:
 *     y = 0; for each group of columns that has one scale, from the first:
 *         y += (scale of the input's block * scale of the group) * sum of level * code
 *     and after the last group of a block of the inputs,
 *         of types with minima, y += (-scale of the input's block * least) * sum of minimum * sum
 *         of types with a least value, y += least * total of the input's block
 * ggml's own sums are by lanes of the processor's vectors, and differ from these in last bits. */
#ifndef BS_EVAL_MODEL_GGML_H
#define BS_EVAL_MODEL_GGML_H

#include "eval/model/model.h"
#include "eval/quant/gguf_product.h"

/* Rows of weights in blocks, as a GGUF file has them. */
struct bs_ggml_rows {
    const struct bs_gguf_type *type;
    int out, in;
    /* The bytes of row i, in the file or in `room`, which has place for them. */
    const unsigned char *(*row)(const void *context, int i, unsigned char *room);
    const void *context;
};

/* Weights as such products want them. Read-only once created: threads share them. */
struct bs_ggml_weights;

/* Of weights in blocks, and of plain ones [out][in] by inputs that are rounded to no blocks.
 * BS_ENOMEM; BS_EUNSUPPORTED as bs_packed_create, or where ggml multiplies by no such type. */
enum bs_status bs_ggml_blocks_create(const struct bs_ggml_rows *rows,
                                     struct bs_ggml_weights **weights, struct bs_error *err);
enum bs_status bs_ggml_plain_create(enum bs_gguf_input input, int out, int in, const float *weight,
                                    struct bs_ggml_weights **weights, struct bs_error *err);
void bs_ggml_weights_free(struct bs_ggml_weights *weights);

/* y [rows] rows of out floats, `stride` floats apart = x [rows][in] by the weights. NaN where an
 * input of a row is not finite. Scratch: bs_ggml_floats. */
void bs_ggml_multiply(const struct bs_ggml_weights *weights, const float *x, int rows, float *y,
                      int stride, struct bs_scratch *scratch);
size_t bs_ggml_floats(int out, int in);

/* Bytes that a weight takes at most once it is laid out. */
enum { BS_GGML_WEIGHT_BYTES = 4 };

/* The weights of a linear: its codes where it has some, of a format that has a type; else what the
 * checkpoint has, in blocks or plain, as long as they still are that; else floats. */
enum bs_status bs_ggml_linear_create(const struct bs_linear *linear,
                                     struct bs_ggml_weights **weights, struct bs_error *err);

/* Rows first .. first + count - 1 of a model's output matrix, as its file has them or, where
 * `rounding` says so, as codes. */
enum bs_status bs_ggml_head_create(const struct bs_model *model,
                                   const struct bs_outer_rounding *rounding, int first, int count,
                                   struct bs_ggml_weights **weights, struct bs_error *err);

#endif
