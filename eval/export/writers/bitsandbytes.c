/* bitsandbytes' 4 and 8 bits, as transformers saves and reads them: of 4 bits blocks over the
 * matrix row after row, the first of two codes high, and a state in JSON; of 8 bits, LLM.int8, rows
 * of codes and the largest value of each. How they stand in a file is said where they are read
 * (eval/checkpoint/layouts). With 8 bits the library quantizes inputs too, so that a recipe has to
 * have them as it does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/export/folder.h"
#include "eval/quant/dynamic_map.h"

enum { LEVELS = 16, NESTED = 256 };

/* ---- what it can hold ---- */

static bool is_double(const struct bs_setting *setting)
{
    return bs_export_says(setting, "double_quant", "true");
}

/* Codes of 8 bits, and not of 4. */
static bool is_bytes(const struct bs_setting *weights) { return bs_export_is(weights, "int"); }

/* As the library makes codes of 8 bits, and what it does with their inputs; a threshold may be
 * any. */
static const char *const weights_of_bytes[][2] = {
    {"bits", "8"},       {"grid", "bitsandbytes"}, {"group_size", "channel"},
    {"range", "minmax"}, {"scales", "float32"},    {NULL, NULL}};
static const char *const input_of_bytes[][2] = {
    {"format", "int"},     {"bits", "8"}, {"grid", "bitsandbytes"}, {"group_size", "channel"},
    {"sharing", "token"},  {"keep", "0"}, {"range", "minmax"},      {"rounding", "nearest"},
    {"scales", "float32"}, {NULL, NULL}};

static enum bs_status check_bytes(const struct bs_export_place *place, struct bs_error *err)
{
    char text[BS_EXPORT_TEXT];
    const char *const(*key)[2] = weights_of_bytes;
    if (place->transposed)
        return bs_export_refuse(place, err,
                                "its family keeps matrices as [in][out], of which no scales of "
                                "rows are read");
    for (; (*key)[0]; key++)
        if (!bs_export_says(place->weights, (*key)[0], (*key)[1]))
            return bs_export_refuse(place, err,
                                    "weights are int with %s: %s, expected nf4, fp4, or int with "
                                    "%s: %s",
                                    (*key)[0], bs_export_option(place->weights, (*key)[0], text),
                                    (*key)[0], (*key)[1]);
    if (!place->input)
        return bs_export_refuse(place, err,
                                "the library quantizes the inputs of weights of 8 bits: expected "
                                "activations: {bits: 8, grid: bitsandbytes, threshold: 6}");
    return bs_export_check_input(place, input_of_bytes, err);
}

static enum bs_status check(const struct bs_export *export, const struct bs_export_place *place,
                            struct bs_error *err)
{
    (void)export;
    if (!place->weights)
        return bs_export_refuse(place, err, "its input is quantized and its weights are not");
    if (is_bytes(place->weights))
        return check_bytes(place, err);
    if (place->input)
        return bs_export_refuse(place, err,
                                "its input is quantized, which the layout has of weights of 8 bits "
                                "alone");
    if (place->transposed)
        return bs_export_refuse(place, err,
                                "its family keeps matrices as [in][out], and blocks run the other "
                                "way there");
    if (!bs_export_is(place->weights, "nf4") && !bs_export_is(place->weights, "fp4"))
        return bs_export_refuse(place, err, "weights are %s, expected nf4, fp4 or int of 8 bits",
                                place->weights->format.plugin->name);
    return BS_OK;
}

static double threshold_of(const struct bs_export_place *place)
{
    return place->input ? place->input->threshold : 0;
}

/* config.json says one kind of all linears. */
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
        if (place->weights->format.plugin != first->weights->format.plugin ||
            is_double(place->weights) != is_double(first->weights) ||
            threshold_of(place) != threshold_of(first))
            return bs_export_refuse(
                place, err,
                "it is quantized otherwise than %s, and the layout has one kind "
                "for all",
                first->module);
    }
    return BS_OK;
}

/* ---- tensors ---- */

/* What stands for the codes, in the library's order. */
static const float fp4_map[LEVELS] = {
    0.0F,  0.0625F / 12,  8.0F / 12,  1.0F,  4.0F / 12,  6.0F / 12,  2.0F / 12,  3.0F / 12,
    -0.0F, -0.0625F / 12, -8.0F / 12, -1.0F, -4.0F / 12, -6.0F / 12, -2.0F / 12, -3.0F / 12};

static const float *map_of(const struct bs_codes *codes)
{
    return bs_export_is(codes->setting, "nf4") ? bs_codes_cell(codes, 0, 0).levels->values
                                               : fp4_map;
}

static enum bs_status put(struct bs_export_folder *folder, const struct bs_export_place *place,
                          const char *ending, const char *dtype, int64_t count, const void *data,
                          struct bs_error *err)
{
    return bs_export_put(folder, place->module, ending, dtype, 1, &count, data, err);
}

static enum bs_status put_state(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                float offset, struct bs_error *err)
{
    const char *kind = codes->setting->format.plugin->name;
    char ending[64];
    snprintf(ending, sizeof ending, ".weight.quant_state.bitsandbytes__%s", kind);
    json_t *state =
        json_pack("{s:s,s:i,s:s,s:[i,i]}", "quant_type", kind, "blocksize", codes->layout.group,
                  "dtype", "float32", "shape", place->out, place->in);
    if (is_double(codes->setting))
        json_object_update_new(state, json_pack("{s:i,s:s,s:f}", "nested_blocksize", NESTED,
                                                "nested_dtype", "float32", "nested_offset",
                                                (double)offset));
    char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
    json_decref(state);
    if (!text)
        return bs_fail_memory(err);
    enum bs_status status = put(folder, place, ending, "U8", (int64_t)strlen(text), text, err);
    free(text);
    return status;
}

/* Of what bs_codes_pack gives: the matrix's, then of each block its absmax, or its code, and the
 * codes. */
struct packed {
    const unsigned char *nested; /* offset, and the absmax of each NESTED blocks; NULL = none */
    size_t num_nested, blocks, absmax_bytes, code_bytes;
    unsigned char *absmax, *codes;
};

static void part(const unsigned char *from, struct packed *p)
{
    for (size_t b = 0; b < p->blocks; b++) {
        memcpy(p->absmax + b * p->absmax_bytes, from, p->absmax_bytes);
        memcpy(p->codes + b * p->code_bytes, from + p->absmax_bytes, p->code_bytes);
        from += p->absmax_bytes + p->code_bytes;
    }
}

static enum bs_status put_parts(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                const struct packed *p, struct bs_error *err)
{
    const int64_t weight[] = {(int64_t)(p->blocks * p->code_bytes), 1};
    float offset = 0;
    if (p->nested)
        memcpy(&offset, p->nested, sizeof offset);
    if (bs_export_put(folder, place->module, ".weight", "U8", 2, weight, p->codes, err) ||
        put(folder, place, ".weight.absmax", p->nested ? "U8" : "F32", (int64_t)p->blocks,
            p->absmax, err) ||
        put(folder, place, ".weight.quant_map", "F32", LEVELS, map_of(codes), err) ||
        put_state(folder, place, codes, offset, err))
        return err->status;
    if (!p->nested)
        return BS_OK;
    if (put(folder, place, ".weight.nested_absmax", "F32", (int64_t)p->num_nested,
            p->nested + sizeof offset, err))
        return err->status;
    return put(folder, place, ".weight.nested_quant_map", "F32", BS_DYNAMIC_CODES, bs_dynamic_map(),
               err);
}

/* ---- 8 bits ---- */

static const float seventh = 7.874015718698502e-3F; /* 1 / 127, as the library writes it */

/* The largest value of a row, of which the cell keeps the 127th part and what values are multiplied
 * with: the number that gives both, and where several do, it is the same to every code. */
static float absmax_of(const struct bs_cell *cell)
{
    enum { STEPS = 4 };
    float near = cell->scale * 127, at = near;
    for (int i = 0; i < STEPS; i++)
        at = nextafterf(at, 0);
    for (int i = 0; i <= 2 * STEPS; i++) {
        if (at * seventh == cell->scale && 127 * (1 / at) == cell->inverse)
            return at;
        at = nextafterf(at, INFINITY);
    }
    return near;
}

static float level_of(const struct bs_codes *codes, int row, int column)
{
    return (float)(bs_codes_get(codes, row, column) - 128);
}

/* The library multiplies by the largest value and then divides, each rounded. */
static bool decode(const struct bs_codes *codes, float *weight)
{
    if (!is_bytes(codes->setting))
        return false;
    for (int i = 0; i < codes->layout.out; i++) {
        struct bs_cell cell = bs_codes_cell(codes, i, 0);
        float absmax = absmax_of(&cell);
        for (int j = 0; j < codes->layout.in; j++) {
            float scaled = level_of(codes, i, j) * absmax;
            *weight++ = scaled * seventh;
        }
    }
    return true;
}

static enum bs_status put_bytes(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                struct bs_error *err)
{
    const unsigned char rows = 0; /* weight_format: one after another */
    const int64_t shape[] = {place->out, place->in};
    size_t in = (size_t)place->in;
    int8_t *levels = bs_alloc((size_t)place->out * in, sizeof *levels);
    float *absmax = bs_alloc((size_t)place->out, sizeof *absmax);
    enum bs_status status = levels && absmax ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < place->out && !status; i++) {
        struct bs_cell cell = bs_codes_cell(codes, i, 0);
        absmax[i] = absmax_of(&cell);
        for (int j = 0; j < place->in; j++)
            levels[(size_t)i * in + (size_t)j] = (int8_t)level_of(codes, i, j);
    }
    if (!status)
        status = bs_export_put(folder, place->module, ".weight", "I8", 2, shape, levels, err);
    if (!status)
        status = put(folder, place, ".SCB", "F32", place->out, absmax, err);
    if (!status)
        status = bs_export_put(folder, place->module, ".weight_format", "U8", 0, NULL, &rows, err);
    bs_free(levels);
    bs_free(absmax);
    return status;
}

/* ---- a linear ---- */

static enum bs_status put_blocks(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    size_t bytes = (size_t)(bs_codes_bits(codes) / 8) + 1;
    bool nested = is_double(codes->setting);
    unsigned char *all = bs_calloc(bytes, 1), *room = bs_alloc(bytes, 1);
    struct bs_bits to = {.bytes = all};
    struct packed p = {.nested = nested ? all : NULL,
                       .blocks = (size_t)place->out * (size_t)codes->spans,
                       .absmax_bytes = nested ? 1 : sizeof(float),
                       .code_bytes = (size_t)codes->layout.span / 2,
                       .absmax = room};
    p.num_nested = nested ? (p.blocks + NESTED - 1) / NESTED : 0;
    enum bs_status status = all && room ? bs_codes_pack(codes, &to, err) : bs_fail_memory(err);
    if (!status) {
        p.codes = room + p.blocks * p.absmax_bytes;
        part(all + (nested ? (1 + p.num_nested) * sizeof(float) : 0), &p);
        status = put_parts(folder, place, codes, &p, err);
    }
    bs_free(all);
    bs_free(room);
    return status;
}

static enum bs_status put_matrix(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    return is_bytes(codes->setting) ? put_bytes(folder, place, codes, err)
                                    : put_blocks(folder, place, codes, err);
}

/* ---- what config.json says ---- */

static json_t *settings(const struct bs_export_folder *folder)
{
    const struct bs_export_places *places = &folder->places;
    const struct bs_setting *weights = NULL;
    double threshold = 6;
    json_t *left = json_array();
    for (int i = 0; i < places->count; i++) {
        const struct bs_export_place *place = &places->items[i];
        if (!place->weights) {
            json_array_append_new(left, json_string(place->module));
            continue;
        }
        weights = place->weights;
        if (is_bytes(weights))
            threshold = threshold_of(place);
    }
    bool bytes = weights && is_bytes(weights);
    return json_pack(
        "{s:s,s:b,s:b,s:s,s:b,s:s,s:s,s:o,s:f,s:b,s:b}", "quant_method", "bitsandbytes",
        "load_in_4bit", !bytes, "load_in_8bit", bytes, "bnb_4bit_quant_type",
        weights && !bytes ? weights->format.plugin->name : "nf4", "bnb_4bit_use_double_quant",
        weights && is_double(weights), "bnb_4bit_compute_dtype", "float32",
        "bnb_4bit_quant_storage", "uint8", "llm_int8_skip_modules", left, "llm_int8_threshold",
        threshold, "llm_int8_enable_fp32_cpu_offload", 0, "llm_int8_has_fp16_weight", 0);
}

/* ---- the plug-in ---- */

static const struct bs_export_layout layout = {.outer = BS_EXPORT_HEAD,
                                               .check = check,
                                               .check_all = check_all,
                                               .matrix = put_matrix,
                                               .settings = settings};

static enum bs_status check_export(const struct bs_export *export, struct bs_error *err)
{
    return bs_export_folder_check(export, &layout, err);
}

static enum bs_status open(const struct bs_export *export, void **state, struct bs_error *err)
{
    return bs_export_folder_open(export, &layout, state, err);
}

const struct bs_writer bs_writer_bitsandbytes = {
    .plugin = {.name = "bitsandbytes",
               .summary = "nf4 and fp4, their scales plain or quantized again, and LLM.int8",
               .reference = "bitsandbytes-foundation/bitsandbytes functional.py QuantState"},
    .check = check_export,
    .open = open,
    .block = bs_export_folder_block,
    .close = bs_export_folder_close,
    .free = bs_export_folder_free,
    .decode = decode,
};
