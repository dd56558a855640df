/* compressed-tensors, as llm-compressor writes it and vLLM and transformers read it: how its
 * formats stand in a file is said where they are read (eval/checkpoint/layouts). Scales are
 * float32, so that what is read is what was measured. */
#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/export/folder.h"
#include "eval/export/pack.h"

enum { BLOCK = 128 };

/* The library's formats, and which of ours is kept in each. */
enum kind { PACKED, INT8, FLOAT8, NVFP4, MXFP4, MXFP8 };
static const char *const kind_names[] = {
    [PACKED] = "pack-quantized",      [INT8] = "int-quantized",
    [FLOAT8] = "float-quantized",     [NVFP4] = "nvfp4-pack-quantized",
    [MXFP4] = "mxfp4-pack-quantized", [MXFP8] = "mxfp8-quantized"};

static enum kind kind_of(const struct bs_export_place *place)
{
    static const struct {
        const char *format;
        enum kind kind;
    } others[] = {{"fp8_e4m3", FLOAT8}, {"nvfp4", NVFP4}, {"mxfp4", MXFP4}, {"mxfp8_e4m3", MXFP8}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (bs_export_is(place->weights, others[i].format))
            return others[i].kind;
    bool bytes = place->input && bs_export_number(place->weights, "bits") == 8;
    return bytes ? INT8 : PACKED;
}

/* ---- what it can hold ---- */

static enum bs_status check_weights(const struct bs_export_place *place, struct bs_error *err)
{
    const struct bs_setting *weights = place->weights;
    if (bs_export_is(weights, "int"))
        return bs_export_check_whole(place, 2, 8, err);
    if (bs_export_is(weights, "fp8_e4m3")) {
        int group = bs_export_number(weights, "group_size");
        if (bs_export_says(weights, "group_size", "cast"))
            return bs_export_refuse(place, err, "float8 without scales is no format of the layout");
        if (group > 0 && group < place->in && place->in % group)
            return bs_export_refuse(place, err, "rows of %d are no whole number of groups of %d",
                                    place->in, group);
        return BS_OK;
    }
    if (bs_export_is(weights, "nvfp4")) {
        if (!bs_export_says(weights, "scale_rule", "compressed_tensors") ||
            !bs_export_says(weights, "tensor_scale", "true"))
            return bs_export_refuse(place, err,
                                    "the layout divides by the matrix's scale, expected "
                                    "scale_rule: compressed_tensors and tensor_scale: true");
        return BS_OK;
    }
    if (bs_export_is(weights, "mxfp4") || bs_export_is(weights, "mxfp8_e4m3"))
        return BS_OK;
    return bs_export_refuse(place, err,
                            "weights are %s, expected int, fp8_e4m3, nvfp4, mxfp4 or mxfp8_e4m3",
                            weights->format.plugin->name);
}

/* What "dynamic", "token" and "symmetric" mean to the library: the rest is not said in the file, so
 * that a recipe must have it as it is there. */
static const char *const input_of_int[][2] = {{"bits", "8"},
                                              {"symmetric", "true"},
                                              {"group_size", "channel"},
                                              {"sharing", "token"},
                                              {"keep", "0"},
                                              {"threshold", "0"},
                                              {"range", "minmax"},
                                              {"rounding", "nearest"},
                                              {"scales", "float32"},
                                              {"grid", "compressed_tensors"},
                                              {"zero_point", "integer"},
                                              {NULL, NULL}};
static const char *const input_of_float8[][2] = {
    {"group_size", "channel"}, {"sharing", "token"},    {"keep", "0"},         {"threshold", "0"},
    {"range", "minmax"},       {"rounding", "nearest"}, {"scales", "float32"}, {NULL, NULL}};

/* Inputs whose scales are found as they pass, token by token. */
static enum bs_status check_input(const struct bs_export_place *place, struct bs_error *err)
{
    const struct bs_setting *input = place->input;
    if (!place->weights)
        return bs_export_refuse(place, err, "its input is quantized and its weights are not");
    bool whole = bs_export_is(input, "int"), small = bs_export_is(input, "fp8_e4m3");
    if (!(whole || small) || bs_export_is(place->weights, "int") != whole ||
        bs_export_is(place->weights, "fp8_e4m3") != small)
        return bs_export_refuse(place, err,
                                "its input is %s and its weights are %s, expected int of 8 bits "
                                "or fp8_e4m3, both alike",
                                input->format.plugin->name, place->weights->format.plugin->name);
    if (bs_export_check_input(place, whole ? input_of_int : input_of_float8, err))
        return err->status;
    if (kind_of(place) == PACKED)
        return bs_export_refuse(place, err,
                                "its input is quantized and its weights are int of %d bits, "
                                "expected 8",
                                bs_export_number(place->weights, "bits"));
    return BS_OK;
}

static enum bs_status check(const struct bs_export *export, const struct bs_export_place *place,
                            struct bs_error *err)
{
    if (place->transposed && place->weights)
        return bs_export_refuse(place, err,
                                "its family keeps matrices as [in][out], and the library "
                                "quantizes none of those");
    if (bs_export_orders_groups(export->recipe, place))
        return bs_export_refuse(
            place, err,
            "the groups of its columns are in an order of their own, which the library "
            "reads no longer (since 0.20): expected act_order: false, static_groups: true, or "
            "a layout with g_idx (`describe writer`)");
    if (place->input && check_input(place, err))
        return err->status;
    return place->weights ? check_weights(place, err) : BS_OK;
}

/* ---- tensors ---- */

/* Rows and columns of blocks where scales are of blocks, else rows and groups; or one. */
static enum bs_status put_scales(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    bool block = bs_export_says(codes->setting, "group_size", "block");
    bool whole = bs_export_is_whole(codes) && !block;
    int64_t shape[] = {codes->layout.out, codes->groups}, one[] = {1};
    float *scales;
    if (block) {
        shape[0] = (codes->layout.out + BLOCK - 1) / BLOCK;
        scales = bs_alloc((size_t)shape[0] * (size_t)shape[1], sizeof *scales);
        for (int64_t i = 0; scales && i < shape[0] * shape[1]; i++)
            scales[i] =
                bs_codes_cell(codes, (int)(i / shape[1]) * BLOCK, (int)(i % shape[1])).scale;
    } else {
        scales = bs_export_scales(codes, false);
    }
    if (!scales)
        return bs_fail_memory(err);
    enum bs_status status = bs_export_put(folder, place->module, ".weight_scale", "F32",
                                          whole ? 1 : 2, whole ? one : shape, scales, err);
    bs_free(scales);
    return status;
}

static void pack_rows(const struct bs_codes *codes, int bits, uint32_t *words)
{
    size_t in = (size_t)codes->layout.in, row = bs_words_of(in, bits);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < codes->layout.out; i++)
        for (size_t j = 0; j < in; j++)
            bs_put_field(words + (size_t)i * row, 1, j, bits,
                         (uint32_t)bs_codes_get(codes, i, (int)j));
}

/* Zero points of groups, packed down the rows. */
static enum bs_status put_packed_zeros(struct bs_export_folder *folder,
                                       const struct bs_export_place *place,
                                       const struct bs_codes *codes, int bits, struct bs_error *err)
{
    size_t out = (size_t)codes->layout.out, groups = (size_t)codes->groups;
    const int64_t shape[] = {(int64_t)bs_words_of(out, bits), (int64_t)groups}, one[] = {1};
    if (bs_export_is_whole(codes)) {
        int8_t zero = (int8_t)(bs_export_zero(codes, 0, 0) - (1 << (bits - 1)));
        return bs_export_put(folder, place->module, ".weight_zero_point", "I8", 1, one, &zero, err);
    }
    uint32_t *words = bs_calloc(bs_words_of(out, bits) * groups, sizeof *words);
    if (!words)
        return bs_fail_memory(err);
    for (size_t i = 0; i < out; i++)
        for (size_t g = 0; g < groups; g++)
            bs_put_field(words + g, groups, i, bits,
                         (uint32_t)bs_export_zero(codes, (int)i, (int)g));
    enum bs_status status =
        bs_export_put(folder, place->module, ".weight_zero_point", "I32", 2, shape, words, err);
    bs_free(words);
    return status;
}

static enum bs_status put_packed(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    int bits = bs_export_number(codes->setting, "bits");
    size_t row = bs_words_of((size_t)place->in, bits);
    const int64_t shape[] = {place->out, place->in}, two[] = {2};
    const int64_t packed[] = {place->out, (int64_t)row};
    uint32_t *words = bs_calloc((size_t)place->out * row, sizeof *words);
    if (!words)
        return bs_fail_memory(err);
    pack_rows(codes, bits, words);
    enum bs_status status =
        bs_export_put(folder, place->module, ".weight_packed", "I32", 2, packed, words, err);
    bs_free(words);
    if (!status)
        status = bs_export_put(folder, place->module, ".weight_shape", "I64", 1, two, shape, err);
    if (!status)
        status = put_scales(folder, place, codes, err);
    if (!status && bs_export_has_zeros(codes->setting))
        status = put_packed_zeros(folder, place, codes, bits, err);
    return status;
}

/* A byte a code: whole numbers less the middle, or float8. */
static enum bs_status put_bytes(struct bs_export_folder *folder,
                                const struct bs_export_place *place, const struct bs_codes *codes,
                                bool whole, struct bs_error *err)
{
    const int64_t shape[] = {place->out, place->in};
    size_t in = (size_t)place->in;
    uint8_t *bytes = bs_alloc((size_t)place->out * in, 1);
    if (!bytes)
        return bs_fail_memory(err);
    const struct bs_minifloat *number = &bs_codes_cell(codes, 0, 0).levels->minifloat;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < place->out; i++)
        for (size_t j = 0; j < in; j++) {
            int code = bs_codes_get(codes, i, (int)j);
            bytes[(size_t)i * in + j] =
                (uint8_t)(whole ? (uint32_t)(code - 128) : bs_minifloat_bits(number, code));
        }
    enum bs_status status = bs_export_put(folder, place->module, ".weight",
                                          whole ? "I8" : "F8_E4M3", 2, shape, bytes, err);
    bs_free(bytes);
    return status ? status : put_scales(folder, place, codes, err);
}

static enum bs_status put_byte_zeros(struct bs_export_folder *folder,
                                     const struct bs_export_place *place,
                                     const struct bs_codes *codes, struct bs_error *err)
{
    bool whole = bs_export_is_whole(codes);
    int64_t shape[] = {place->out, codes->groups}, one[] = {1};
    size_t count = whole ? 1 : (size_t)shape[0] * (size_t)shape[1];
    int8_t *zeros = bs_alloc(count, 1);
    if (!zeros)
        return bs_fail_memory(err);
    for (size_t k = 0; k < count; k++)
        zeros[k] = (int8_t)(bs_export_zero(codes, (int)(k / (size_t)codes->groups),
                                           (int)(k % (size_t)codes->groups)) -
                            128);
    enum bs_status status = bs_export_put(folder, place->module, ".weight_zero_point", "I8",
                                          whole ? 1 : 2, whole ? one : shape, zeros, err);
    bs_free(zeros);
    return status;
}

/* Formats of blocks pack their scale, of one byte, before each block's codes. */
static void part_blocks(const unsigned char *packed, size_t blocks, size_t bytes,
                        unsigned char *scales, unsigned char *codes)
{
    for (size_t b = 0; b < blocks; b++) {
        scales[b] = packed[b * (1 + bytes)];
        memcpy(codes + b * bytes, packed + b * (1 + bytes) + 1, bytes);
    }
}

static enum bs_status put_parted(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 enum kind kind, const unsigned char *packed, unsigned char *room,
                                 struct bs_error *err)
{
    size_t blocks = (size_t)place->out * (size_t)codes->spans;
    size_t bytes = (size_t)codes->layout.span * (size_t)codes->layout.code_bits / 8;
    const int64_t one[] = {1}, scales[] = {place->out, codes->spans};
    const int64_t weight[] = {place->out, (int64_t)bytes * codes->spans};
    size_t before = kind == NVFP4 ? sizeof(float) : 0;
    part_blocks(packed + before, blocks, bytes, room, room + blocks);
    if (kind == NVFP4 &&
        bs_export_put(folder, place->module, ".weight_global_scale", "F32", 1, one, packed, err))
        return err->status;
    if (bs_export_put(folder, place->module, kind == MXFP8 ? ".weight" : ".weight_packed",
                      kind == MXFP8 ? "F8_E4M3" : "U8", 2, weight, room + blocks, err))
        return err->status;
    return bs_export_put(folder, place->module, ".weight_scale", kind == NVFP4 ? "F8_E4M3" : "U8",
                         2, scales, room, err);
}

static enum bs_status put_blocks(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 enum kind kind, struct bs_error *err)
{
    size_t bytes = (size_t)(bs_codes_bits(codes) / 8) + 1;
    unsigned char *packed = bs_calloc(bytes, 1), *room = bs_alloc(bytes, 1);
    struct bs_bits to = {.bytes = packed};
    enum bs_status status = packed && room ? bs_codes_pack(codes, &to, err) : bs_fail_memory(err);
    if (!status)
        status = put_parted(folder, place, codes, kind, packed, room, err);
    bs_free(packed);
    bs_free(room);
    return status;
}

static enum bs_status put_matrix(struct bs_export_folder *folder,
                                 const struct bs_export_place *place, const struct bs_codes *codes,
                                 struct bs_error *err)
{
    enum kind kind = kind_of(place);
    assert(!codes->group_index);
    switch (kind) {
    case PACKED:
        return put_packed(folder, place, codes, err);
    case INT8:
        if (put_bytes(folder, place, codes, true, err))
            return err->status;
        return bs_export_has_zeros(codes->setting) ? put_byte_zeros(folder, place, codes, err)
                                                   : BS_OK;
    case FLOAT8:
        return put_bytes(folder, place, codes, false, err);
    default:
        return put_blocks(folder, place, codes, kind, err);
    }
}

/* ---- what config.json says ---- */

static const char *strategy_of(const struct bs_export_place *place)
{
    int group = bs_export_number(place->weights, "group_size");
    if (bs_export_says(place->weights, "group_size", "tensor"))
        return "tensor";
    if (bs_export_says(place->weights, "group_size", "block"))
        return "block";
    return group > 0 && group < place->in ? "group" : "channel";
}

/* "weights" of whole numbers or float8. */
static json_t *weights_of(const struct bs_export_place *place, enum kind kind)
{
    const char *strategy = strategy_of(place);
    bool whole = kind == PACKED || kind == INT8;
    json_t *args = json_pack(
        "{s:i,s:s,s:b,s:s,s:b}", "num_bits", whole ? bs_export_number(place->weights, "bits") : 8,
        "type", whole ? "int" : "float", "symmetric",
        !whole || !bs_export_has_zeros(place->weights), "strategy", strategy, "dynamic", 0);
    if (!strcmp(strategy, "group"))
        json_object_set_new(args, "group_size",
                            json_integer(bs_export_number(place->weights, "group_size")));
    if (!strcmp(strategy, "block"))
        json_object_set_new(args, "block_structure", json_pack("[i,i]", BLOCK, BLOCK));
    return args;
}

static json_t *block_weights(enum kind kind)
{
    return json_pack("{s:i,s:s,s:b,s:s,s:i,s:b,s:s}", "num_bits", kind == MXFP8 ? 8 : 4, "type",
                     "float", "symmetric", 1, "strategy", kind == NVFP4 ? "tensor_group" : "group",
                     "group_size", kind == NVFP4 ? 16 : 32, "dynamic", 0, "scale_dtype",
                     kind == NVFP4 ? "torch.float8_e4m3fn" : "torch.uint8");
}

static json_t *input_of(const struct bs_export_place *place)
{
    if (!place->input)
        return json_null();
    return json_pack("{s:i,s:s,s:b,s:s,s:b}", "num_bits", 8, "type",
                     bs_export_is(place->input, "int") ? "int" : "float", "symmetric", 1,
                     "strategy", "token", "dynamic", 1);
}

/* A config group without its targets. */
static json_t *scheme_of(const struct bs_export_place *place)
{
    enum kind kind = kind_of(place);
    bool blocks = kind == NVFP4 || kind == MXFP4 || kind == MXFP8;
    return json_pack("{s:o,s:o,s:n,s:s}", "weights",
                     blocks ? block_weights(kind) : weights_of(place, kind), "input_activations",
                     input_of(place), "output_activations", "format", kind_names[kind]);
}

/* Config groups on their way. */
struct groups {
    json_t *schemes, *targets, *ignore; /* arrays; targets: an array for each scheme */
};

static void add_place(struct groups *groups, const struct bs_export_place *place)
{
    size_t k = 0;
    if (!place->weights) {
        json_array_append_new(groups->ignore, json_string(place->module));
        return;
    }
    json_t *scheme = scheme_of(place);
    while (k < json_array_size(groups->schemes) &&
           !json_equal(json_array_get(groups->schemes, k), scheme))
        k++;
    if (k == json_array_size(groups->schemes)) {
        json_array_append(groups->schemes, scheme);
        json_array_append_new(groups->targets, json_array());
    }
    json_decref(scheme);
    json_array_append_new(json_array_get(groups->targets, k), json_string(place->module));
}

/* One group is of all linears but those that are ignored; several name theirs. */
static json_t *config_groups(const struct groups *groups)
{
    json_t *all = json_object(), *scheme;
    size_t k;
    bool one = json_array_size(groups->schemes) == 1;
    json_array_foreach(groups->schemes, k, scheme)
    {
        char name[32];
        snprintf(name, sizeof name, "group_%zu", k);
        json_object_set_new(scheme, "targets",
                            one ? json_pack("[s]", "Linear")
                                : json_incref(json_array_get(groups->targets, k)));
        json_object_set(all, name, scheme);
    }
    return all;
}

/* The format that all groups have, or that they have several. */
static const char *format_of(const struct groups *groups)
{
    const char *format = NULL;
    json_t *scheme;
    size_t k;
    json_array_foreach(groups->schemes, k, scheme)
    {
        const char *own = json_string_value(json_object_get(scheme, "format"));
        format = !format || !strcmp(format, own) ? own : "mixed-precision";
    }
    return format ? format : "dense";
}

static json_t *settings(const struct bs_export_folder *folder)
{
    struct groups groups = {json_array(), json_array(), json_array()};
    for (int i = 0; i < folder->places.count; i++)
        add_place(&groups, &folder->places.items[i]);
    json_t *settings =
        json_pack("{s:s,s:s,s:s,s:s,s:O,s:o,s:n,s:n}", "quant_method", "compressed-tensors",
                  "version", "0.15.0", "format", format_of(&groups), "quantization_status",
                  "compressed", "ignore", groups.ignore, "config_groups", config_groups(&groups),
                  "kv_cache_scheme", "global_compression_ratio");
    json_decref(groups.schemes);
    json_decref(groups.targets);
    json_decref(groups.ignore);
    return settings;
}

/* ---- the plug-in ---- */

static const struct bs_export_layout layout = {
    .outer = BS_EXPORT_HEAD, .check = check, .matrix = put_matrix, .settings = settings};

static enum bs_status check_all(const struct bs_export *export, struct bs_error *err)
{
    return bs_export_folder_check(export, &layout, err);
}

static enum bs_status open(const struct bs_export *export, void **state, struct bs_error *err)
{
    return bs_export_folder_open(export, &layout, state, err);
}

/* The library decodes blocks of 4 bits, and scales that are powers of two, in bfloat16. */
static enum bs_dtype read_as(const struct bs_setting *weights)
{
    bool small = bs_export_is(weights, "nvfp4") || bs_export_is(weights, "mxfp4") ||
                 bs_export_is(weights, "mxfp8_e4m3");
    return small ? BS_BF16 : BS_F32;
}

const struct bs_writer bs_writer_compressed_tensors = {
    .plugin = {.name = "compressed_tensors",
               .summary = "packed, int8, float8, nvfp4, mxfp4 and mxfp8, as vLLM and transformers "
                          "read",
               .reference = "vllm-project/compressed-tensors compressed_tensors/compressors"},
    .check = check_all,
    .open = open,
    .block = bs_export_folder_block,
    .close = bs_export_folder_close,
    .free = bs_export_folder_free,
    .read_as = read_as,
};
