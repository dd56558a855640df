/* Where weights come from that are multiplied as llama.cpp does. */
#include "eval/model/ggml.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/tensor.h"
#include "eval/model/gguf_target.h"
#include "eval/model/model_internal.h"

/* The type of the blocks that these codes stand in, where their format is one of GGUF's. */
static const struct bs_gguf_type *type_of_codes(const struct bs_codes *codes)
{
    return bs_gguf_type_of_format(codes->setting->format.plugin->name);
}

/* The type of a plain tensor, in whose precision inputs are rounded; others have been widened. */
static enum bs_gguf_input input_of_plain(const struct bs_tensor *tensor)
{
    if (!tensor || tensor->coded)
        return BS_GGUF_FLOAT;
    return tensor->dtype == BS_F16    ? BS_GGUF_HALF
           : tensor->dtype == BS_BF16 ? BS_GGUF_BFLOAT16
                                      : BS_GGUF_FLOAT;
}

/* Weights that the checkpoint has as codes which are no blocks of GGUF's. */
static enum bs_status check_plain(const struct bs_tensor *tensor, struct bs_error *err)
{
    if (!tensor || !tensor->coded || tensor->coded->blocks)
        return BS_OK;
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: llama.cpp multiplies by no weights as the checkpoint has them: expected "
                   "plain ones, or a recipe that rounds them to a format of GGUF's",
                   tensor->name);
}

/* --- codes --- */

static const unsigned char *pack_row(const void *context, int i, unsigned char *room)
{
    const struct bs_codes *codes = context;
    uint16_t span[BS_GGUF_MOST_VALUES];
    const struct bs_gguf_type *type = type_of_codes(codes);
    size_t blocks = (size_t)(codes->layout.in / type->values);
    memset(room, 0, blocks * type->bytes);
    assert(codes->layout.span <= BS_GGUF_MOST_VALUES);
    bs_codes_pack_row(codes, i, span, &(struct bs_bits){.bytes = room});
    return room;
}

static enum bs_status create_of_codes(const struct bs_codes *codes,
                                      struct bs_ggml_weights **weights, struct bs_error *err)
{
    const struct bs_gguf_type *type = type_of_codes(codes);
    int out = codes->layout.out, in = codes->layout.in;
    if (!type)
        return bs_fail(err, BS_EUNSUPPORTED, "llama.cpp multiplies by no weights of format %s",
                       codes->setting->format.plugin->name);
    if (type->values > 1) {
        const struct bs_ggml_rows rows = {type, out, in, pack_row, codes};
        return bs_ggml_blocks_create(&rows, weights, err);
    }
    float *values = bs_alloc((size_t)out * (size_t)in, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    bs_codes_decode(codes, values);
    bs_ggml_plain_create(bs_gguf_product_find(type->id)->input, out, in, values, weights, err);
    bs_free(values);
    return *weights ? BS_OK : err->status;
}

/* --- a checkpoint's blocks --- */

static const unsigned char *row_in_file(const void *context, int i, unsigned char *room)
{
    (void)room;
    const struct bs_file_rows *file = context;
    const struct bs_coded *coded = file->tensor->coded;
    size_t in = (size_t)file->tensor->shape[file->tensor->rank - 1];
    return coded->parts[0].data +
           bs_file_row(file, i) * (in / coded->blocks->values) * coded->blocks->bytes;
}

static bool is_in_blocks(const struct bs_tensor *tensor)
{
    return tensor && tensor->coded && tensor->coded->blocks;
}

const unsigned char *bs_linear_blocks(const struct bs_linear *linear, int i)
{
    return is_in_blocks(linear->file.tensor) ? row_in_file(&linear->file, i, NULL) : NULL;
}

enum bs_status bs_ggml_linear_create(const struct bs_linear *linear,
                                     struct bs_ggml_weights **weights, struct bs_error *err)
{
    const struct bs_tensor *tensor = linear->file.tensor;
    int out = linear->out_features, in = linear->in_features;
    *weights = NULL;
    if (linear->codes.codes)
        return create_of_codes(&linear->codes, weights, err);
    if (check_plain(tensor, err))
        return err->status;
    if (!is_in_blocks(tensor))
        return bs_ggml_plain_create(input_of_plain(tensor), out, in, linear->weight, weights, err);
    const struct bs_ggml_rows rows = {tensor->coded->blocks, out, in, row_in_file, &linear->file};
    return bs_ggml_blocks_create(&rows, weights, err);
}

/* --- the output matrix --- */

/* Rows of floats, or of codes that are made of them. */
static enum bs_status create_of_floats(const struct bs_model *model,
                                       const struct bs_outer_rounding *rounding, int first,
                                       int count, struct bs_ggml_weights **weights,
                                       struct bs_error *err)
{
    int in = model->architecture.embedding_size;
    size_t width = (size_t)in, values = (size_t)count * width;
    if (!(rounding && rounding->setting) && check_plain(model->head, err))
        return err->status;
    float *rows = bs_alloc(values, sizeof *rows);
    if (!rows)
        return bs_fail_memory(err);
    bs_tensor_read(model->head, (size_t)first * width, values, rows);
    if (rounding)
        bs_outer_turn(rounding, count, rows);
    enum bs_status status;
    if (rounding && rounding->setting) {
        struct bs_codes codes;
        status = bs_outer_codes(rounding, first, count, rows, &codes, err);
        if (!status)
            status = create_of_codes(&codes, weights, err);
        bs_codes_release(&codes);
    } else {
        status = bs_ggml_plain_create(input_of_plain(model->head), count, in, rows, weights, err);
    }
    bs_free(rows);
    return status;
}

enum bs_status bs_ggml_head_create(const struct bs_model *model,
                                   const struct bs_outer_rounding *rounding, int first, int count,
                                   struct bs_ggml_weights **weights, struct bs_error *err)
{
    int in = model->architecture.embedding_size;
    *weights = NULL;
    if ((rounding && (rounding->setting || rounding->basis)) || !is_in_blocks(model->head))
        return create_of_floats(model, rounding, first, count, weights, err);
    const struct bs_file_rows file = {
        .tensor = model->head, .rows = {.run = 1, .stride = 1}, .before = (size_t)first};
    const struct bs_ggml_rows rows = {model->head->coded->blocks, count, in, row_in_file, &file};
    return bs_ggml_blocks_create(&rows, weights, err);
}
