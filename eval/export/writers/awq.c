/* AWQ's checkpoints, version gemm, as AutoAWQ, vLLM and transformers read them; how they stand in a
 * file is said where they are read (eval/checkpoint/layouts). */
#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/export/folder.h"
#include "eval/export/pack.h"

enum { BITS = 4, FIELDS = 8 };

/* ---- what it can hold ---- */

static enum bs_status check(const struct bs_export *export, const struct bs_export_place *place,
                            struct bs_error *err)
{
    if (place->input)
        return bs_export_refuse(place, err, "its input is quantized, which the layout cannot say");
    if (place->transposed)
        return bs_export_refuse(
            place, err,
            "its family keeps matrices as [in][out], and the layout has none of "
            "those");
    if (bs_export_orders_groups(export->recipe, place))
        return bs_export_refuse(
            place, err,
            "the groups of its columns are in an order of their own, which the layout "
            "cannot say: expected act_order: false, or static_groups: true");
    if (!bs_export_is(place->weights, "int"))
        return bs_export_refuse(place, err, "weights are %s, expected int of 4 bits",
                                place->weights->format.plugin->name);
    if (bs_export_says(place->weights, "group_size", "tensor"))
        return bs_export_refuse(place, err,
                                "all of the matrix shares a scale, expected a group_size or "
                                "channel");
    if (place->out % FIELDS)
        return bs_export_refuse(place, err, "it has %d rows, expected a multiple of %d", place->out,
                                FIELDS);
    return bs_export_check_whole(place, BITS, BITS, err);
}

/* Columns of a group, 0 of a row's. */
static int group_of(const struct bs_export_place *place)
{
    int group = bs_export_number(place->weights, "group_size");
    return group > 0 ? group : 0;
}

/* One group_size is said for all; nothing is said of the order of columns. */
static enum bs_status check_all(const struct bs_export *export,
                                const struct bs_export_places *places, struct bs_error *err)
{
    (void)export;
    const struct bs_export_place *first = NULL;
    for (int i = 0; i < places->count; i++) {
        const struct bs_export_place *place = &places->items[i];
        if (!place->weights)
            continue;
        first = first ? first : place;
        if (group_of(place) != group_of(first))
            return bs_export_refuse(place, err,
                                    "its groups are other than those of %s, and the layout has one "
                                    "group_size",
                                    first->module);
        if (group_of(place) > place->in)
            return bs_export_refuse(place, err, "rows of %d have no group of %d", place->in,
                                    group_of(place));
    }
    return BS_OK;
}

/* ---- tensors ---- */

/* Where in a word an output stands. */
static const unsigned char places_in_word[FIELDS] = {0, 4, 1, 5, 2, 6, 3, 7};

static void put_nibble(uint32_t *words, int output, uint32_t value)
{
    words[output / FIELDS] |= value << (BITS * places_in_word[output % FIELDS]);
}

static enum bs_status put_words(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const char *ending, int rows,
                                const uint32_t *words, struct bs_error *err)
{
    const int64_t shape[] = {rows, place->out / FIELDS};
    return bs_export_put(folder, place->module, ending, "I32", 2, shape, words, err);
}

static enum bs_status put_codes(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                struct bs_error *err)
{
    size_t row = (size_t)place->out / FIELDS;
    uint32_t *words = bs_calloc((size_t)place->in * row, sizeof *words);
    if (!words)
        return bs_fail_memory(err);
#pragma omp parallel for schedule(static)
    for (int j = 0; j < place->in; j++)
        for (int i = 0; i < place->out; i++)
            put_nibble(words + (size_t)j * row, i, (uint32_t)bs_codes_get(codes, i, j));
    enum bs_status status = put_words(folder, place, ".qweight", place->in, words, err);
    bs_free(words);
    return status;
}

static enum bs_status put_zeros(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                struct bs_error *err)
{
    size_t row = (size_t)place->out / FIELDS;
    uint32_t *words = bs_calloc((size_t)codes->groups * row, sizeof *words);
    if (!words)
        return bs_fail_memory(err);
    for (int g = 0; g < codes->groups; g++)
        for (int i = 0; i < place->out; i++)
            put_nibble(words + (size_t)g * row, i, (uint32_t)bs_export_zero(codes, i, g));
    enum bs_status status = put_words(folder, place, ".qzeros", codes->groups, words, err);
    bs_free(words);
    return status;
}

static enum bs_status put_matrix(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    const int64_t shape[] = {codes->groups, place->out};
    assert(!codes->group_index);
    if (put_codes(folder, place, codes, err) || put_zeros(folder, place, codes, err))
        return err->status;
    float *scales = bs_export_scales(codes, true);
    if (!scales)
        return bs_fail_memory(err);
    enum bs_status status =
        bs_export_put(folder, place->module, ".scales", "F32", 2, shape, scales, err);
    bs_free(scales);
    return status;
}

/* ---- what config.json says ---- */

static json_t *settings(const struct bs_export_folder *folder)
{
    const struct bs_export_places *places = &folder->places;
    json_t *left = json_array();
    int group = 0;
    for (int i = 0; i < places->count; i++) {
        const struct bs_export_place *place = &places->items[i];
        if (place->weights)
            group = group_of(place);
        else
            json_array_append_new(left, json_string(place->module));
    }
    return json_pack("{s:s,s:i,s:i,s:b,s:s,s:o}", "quant_method", "awq", "bits", BITS, "group_size",
                     group ? group : -1, "zero_point", 1, "version", "gemm",
                     "modules_to_not_convert", left);
}

/* ---- the plug-in ---- */

static const struct bs_export_layout layout = {
    .check = check, .check_all = check_all, .matrix = put_matrix, .settings = settings};

static enum bs_status check_export(const struct bs_export *export, struct bs_error *err)
{
    return bs_export_folder_check(export, &layout, err);
}

static enum bs_status open(const struct bs_export *export, void **state, struct bs_error *err)
{
    return bs_export_folder_open(export, &layout, state, err);
}

const struct bs_writer bs_writer_awq = {
    .plugin = {.name = "awq",
               .summary = "int of 4 bits in groups with zero points, version gemm",
               .reference = "ModelCloud/GPTQModel gptqmodel/nn_modules/qlinear/awq.py"},
    .check = check_export,
    .open = open,
    .block = bs_export_folder_block,
    .close = bs_export_folder_close,
    .free = bs_export_folder_free,
};
