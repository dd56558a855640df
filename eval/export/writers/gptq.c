/* The tensors of GPTQ's checkpoints, as GPTQModel, vLLM and transformers read them; how they stand
 * in a file is said where they are read (eval/checkpoint/layouts). Fields of 3 bits run on from
 * word to word; the planar format has those of 5, 6 and 7 in planes. The first version stores zero
 * points less 1, in whole words: a zero point of 0 would borrow from its neighbour, and readers do
 * not agree on what that is. */
#include <string.h>

#include "eval/base/mem.h"
#include "eval/export/folder.h"
#include "eval/export/pack.h"

enum { UNIT = 32 }; /* rows and columns are whole numbers of it */

/* Versions of the layout. */
static const struct bs_export_layout first_version, second_version, planar;

/* ---- what it can hold ---- */

static enum bs_status check_kind(const struct bs_export_place *place, struct bs_error *err)
{
    if (place->input)
        return bs_export_refuse(place, err, "its input is quantized, which the layout cannot say");
    if (!bs_export_is(place->weights, "int"))
        return bs_export_refuse(place, err, "weights are %s, expected int",
                                place->weights->format.plugin->name);
    return BS_OK;
}

static enum bs_status check_shape(const struct bs_export_place *place, struct bs_error *err)
{
    if (bs_export_says(place->weights, "group_size", "tensor"))
        return bs_export_refuse(place, err,
                                "all of the matrix shares a scale, expected a group_size or "
                                "channel");
    if (place->out % UNIT || place->in % UNIT)
        return bs_export_refuse(place, err, "it is %d x %d, expected multiples of %d", place->out,
                                place->in, UNIT);
    return bs_export_check_whole(place, 2, 8, err);
}

static enum bs_status check(const struct bs_export *export, const struct bs_export_place *place,
                            struct bs_error *err)
{
    (void)export;
    if (check_kind(place, err))
        return err->status;
    int bits = bs_export_number(place->weights, "bits");
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
        return bs_export_refuse(
            place, err, "bits is %d, expected 2, 3, 4 or 8 (the layout gptq_p has 2 to 8)", bits);
    return check_shape(place, err);
}

/* The planar format has all widths. */
static enum bs_status check_planar(const struct bs_export *export,
                                   const struct bs_export_place *place, struct bs_error *err)
{
    (void)export;
    return check_kind(place, err) ? err->status : check_shape(place, err);
}

/* ---- tensors ---- */

static enum bs_status put_codes(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                int bits, struct bs_error *err)
{
    bool in_planes = folder->layout == &planar;
    size_t out = (size_t)place->out, words = bs_words_of((size_t)place->in, bits);
    const int64_t shape[] = {(int64_t)words, place->out};
    uint32_t *packed = bs_calloc(words * out, sizeof *packed);
    if (!packed)
        return bs_fail_memory(err);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < place->out; i++)
        for (int j = 0; j < place->in; j++) {
            uint32_t code = (uint32_t)bs_codes_get(codes, i, j);
            if (in_planes)
                bs_put_planar(packed + i, out, (size_t)j, bits, code);
            else
                bs_put_field(packed + i, out, (size_t)j, bits, code);
        }
    enum bs_status status =
        bs_export_put(folder, place->module, ".qweight", "I32", 2, shape, packed, err);
    bs_free(packed);
    return status;
}

/* Packed along the rows of the matrix. */
static enum bs_status put_zeros(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                int bits, struct bs_error *err)
{
    size_t words = bs_words_of((size_t)place->out, bits);
    const int64_t shape[] = {codes->groups, (int64_t)words};
    int less = folder->layout == &first_version ? 1 : 0;
    uint32_t *packed = bs_calloc(words * (size_t)codes->groups, sizeof *packed);
    enum bs_status status = packed ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < place->out && !status; i++)
        for (int g = 0; g < codes->groups && !status; g++) {
            int zero = bs_export_zero(codes, i, g) - less;
            if (zero < 0)
                status =
                    bs_fail(err, BS_EUNSUPPORTED,
                            "row %d, group %d has a zero point of 0, which this version stores "
                            "less 1: expected symmetric: true, or the layout's version 2",
                            i, g);
            else if (folder->layout == &planar)
                bs_put_planar(packed + (size_t)g * words, 1, (size_t)i, bits, (uint32_t)zero);
            else
                bs_put_field(packed + (size_t)g * words, 1, (size_t)i, bits, (uint32_t)zero);
        }
    if (!status)
        status = bs_export_put(folder, place->module, ".qzeros", "I32", 2, shape, packed, err);
    bs_free(packed);
    return status;
}

/* The group of each column. */
static enum bs_status put_list(struct bs_export_folder *folder, const struct bs_export_place *place,
                               const struct bs_codes *codes, struct bs_error *err)
{
    const int64_t shape[] = {place->in};
    int32_t *list = bs_alloc((size_t)place->in, sizeof *list);
    if (!list)
        return bs_fail_memory(err);
    for (int j = 0; j < place->in; j++)
        list[j] = bs_codes_group(codes, j);
    enum bs_status status =
        bs_export_put(folder, place->module, ".g_idx", "I32", 1, shape, list, err);
    bs_free(list);
    return status;
}

static enum bs_status put_matrix(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    int bits = bs_export_number(codes->setting, "bits");
    const int64_t shape[] = {codes->groups, place->out};
    if (put_zeros(folder, place, codes, bits, err) || put_codes(folder, place, codes, bits, err) ||
        put_list(folder, place, codes, err))
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

/* Of one place, as the settings of all have it or `dynamic` of some. */
static json_t *scheme_of(const struct bs_export_place *place)
{
    int group = bs_export_number(place->weights, "group_size");
    return json_pack("{s:i,s:i,s:b,s:b}", "bits", bs_export_number(place->weights, "bits"),
                     "group_size", group > 0 ? group : -1, "desc_act", place->ordered, "sym",
                     !bs_export_has_zeros(place->weights));
}

/* "-:^model\.layers\.0\.mlp\.up_proj$": what is other at one module. */
static void add_dynamic(json_t *dynamic, const char *module, char sign, json_t *scheme)
{
    char pattern[2 * BS_STORED_NAME_BYTES + 8];
    size_t used = (size_t)snprintf(pattern, sizeof pattern, "%c:^", sign);
    for (const char *c = module; *c && used < sizeof pattern - 3; c++) {
        if (*c == '.')
            pattern[used++] = '\\';
        pattern[used++] = *c;
    }
    snprintf(pattern + used, sizeof pattern - used, "$");
    json_object_set_new(dynamic, pattern, scheme);
}

/* What all places but those in `dynamic` have: the first one's. */
static json_t *common_scheme(const struct bs_export_places *places)
{
    for (int i = 0; i < places->count; i++)
        if (places->items[i].weights)
            return scheme_of(&places->items[i]);
    return json_object();
}

static json_t *settings(const struct bs_export_folder *folder)
{
    const struct bs_export_places *places = &folder->places;
    const char *format = folder->layout == &first_version ? "gptq"
                         : folder->layout == &planar      ? "gptq_p"
                                                          : "gptq_v2";
    json_t *all = common_scheme(places), *common = json_copy(all), *dynamic = json_object();
    const struct bs_export_place *head = &places->items[places->outer[BS_HEAD]];
    for (int i = 0; i < places->count; i++) {
        const struct bs_export_place *place = &places->items[i];
        json_t *own = place->weights ? scheme_of(place) : NULL;
        if (!own && place == head)
            continue; /* left alone anyway */
        if (!own)
            add_dynamic(dynamic, place->module, '-', json_object());
        else if (!json_equal(own, common))
            add_dynamic(dynamic, place->module, '+', json_incref(own));
        json_decref(own);
    }
    json_t *rest = json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:{s:[s]}}", "quant_method", "gptq",
                             "checkpoint_format", format, "method", "gptq", "format", format,
                             "pack_dtype", "int32", "lm_head", head->weights != NULL,
                             "true_sequential", 1, "meta", "quantizer", "bitsweep:" BS_VERSION);
    json_object_update(all, rest);
    if (folder->damping > 0) /* readers refuse a 0, though they have no use for the number */
        json_object_set_new(all, "damp_percent", json_real(folder->damping));
    if (json_object_size(dynamic))
        json_object_set(all, "dynamic", dynamic);
    json_decref(rest);
    json_decref(common);
    json_decref(dynamic);
    return all;
}

/* ---- the plug-ins ---- */

static const struct bs_export_layout first_version = {.outer = BS_EXPORT_HEAD,
                                                      .check = check,
                                                      .matrix = put_matrix,
                                                      .settings = settings,
                                                      .also = "quantize_config.json"};
static const struct bs_export_layout second_version = {.outer = BS_EXPORT_HEAD,
                                                       .check = check,
                                                       .matrix = put_matrix,
                                                       .settings = settings,
                                                       .also = "quantize_config.json"};

static const struct bs_export_layout planar = {.outer = BS_EXPORT_HEAD,
                                               .check = check_planar,
                                               .matrix = put_matrix,
                                               .settings = settings,
                                               .also = "quantize_config.json"};

#define VERSION_OF(v, own)                                                                         \
    static enum bs_status check_##v(const struct bs_export *export, struct bs_error *err)          \
    {                                                                                              \
        return bs_export_folder_check(export, &own, err);                                          \
    }                                                                                              \
    static enum bs_status open_##v(const struct bs_export *export, void **state,                   \
                                   struct bs_error *err)                                           \
    {                                                                                              \
        return bs_export_folder_open(export, &own, state, err);                                    \
    }

VERSION_OF(1, first_version)
VERSION_OF(2, second_version)
VERSION_OF(planes, planar)

const struct bs_writer bs_writer_gptq = {
    .plugin = {.name = "gptq",
               .summary =
                   "int of 2, 3, 4 and 8 bits in groups or channels; zero points above 0, as "
                   "version 1 of the format stores them less 1",
               .reference = "ModelCloud/GPTQModel gptqmodel/nn_modules/qlinear/__init__.py"},
    .check = check_1,
    .open = open_1,
    .block = bs_export_folder_block,
    .close = bs_export_folder_close,
    .free = bs_export_folder_free,
};

const struct bs_writer bs_writer_gptq_v2 = {
    .plugin = {.name = "gptq_v2",
               .summary = "the same with zero points as they are",
               .reference = "ModelCloud/GPTQModel gptqmodel/nn_modules/qlinear/__init__.py"},
    .check = check_2,
    .open = open_2,
    .block = bs_export_folder_block,
    .close = bs_export_folder_close,
    .free = bs_export_folder_free,
};

const struct bs_writer bs_writer_gptq_p = {
    .plugin = {.name = "gptq_p",
               .summary = "int of 2 to 8 bits in planes, which GPTQModel alone reads (since 7.3.4)",
               .reference = "ModelCloud/GPTQModel gptqmodel/nn_modules/qlinear/__init__.py"},
    .check = check_planes,
    .open = open_planes,
    .block = bs_export_folder_block,
    .close = bs_export_folder_close,
    .free = bs_export_folder_free,
};
