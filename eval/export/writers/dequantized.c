/* Plain weights: the float32 that codes decode to, so that any program can run what was measured.
 * It is as large as a model is, and holds every number format. */
#include "eval/base/mem.h"
#include "eval/export/folder.h"

static enum bs_status check(const struct bs_export *export, const struct bs_export_place *place,
                            struct bs_error *err)
{
    (void)export;
    if (place->input)
        return bs_export_refuse(place, err,
                                "its input is quantized, which plain weights cannot say");
    return BS_OK;
}

/* [in][out] where the family has it so. */
static void turn(const float *from, size_t out, size_t in, float *to)
{
    for (size_t i = 0; i < out; i++)
        for (size_t j = 0; j < in; j++)
            to[j * out + i] = from[i * in + j];
}

static enum bs_status put_matrix(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    size_t out = (size_t)place->out, in = (size_t)place->in, count = out * in;
    const int64_t shape[] = {place->transposed ? place->in : place->out,
                             place->transposed ? place->out : place->in};
    float *weight = bs_alloc(count, sizeof *weight);
    float *turned = place->transposed ? bs_alloc(count, sizeof *turned) : NULL;
    enum bs_status status = weight && (turned || !place->transposed) ? BS_OK : bs_fail_memory(err);
    if (!status) {
        bs_codes_decode(codes, weight);
        if (turned)
            turn(weight, out, in, turned);
        status = bs_export_put(folder, place->module, ".weight", "F32", 2, shape,
                               turned ? turned : weight, err);
    }
    bs_free(weight);
    bs_free(turned);
    return status;
}

static const struct bs_export_layout layout = {
    .outer = BS_EXPORT_ALL_OUTER, .check = check, .matrix = put_matrix};

static enum bs_status check_all(const struct bs_export *export, struct bs_error *err)
{
    return bs_export_folder_check(export, &layout, err);
}

static enum bs_status open(const struct bs_export *export, void **state, struct bs_error *err)
{
    return bs_export_folder_open(export, &layout, state, err);
}

const struct bs_writer bs_writer_dequantized = {
    .plugin = {.name = "dequantized",
               .summary = "plain float32 weights, what the codes of any number format decode to",
               .reference = "huggingface/transformers modeling_utils.py"},
    .check = check_all,
    .open = open,
    .block = bs_export_folder_block,
    .close = bs_export_folder_close,
    .free = bs_export_folder_free,
};
