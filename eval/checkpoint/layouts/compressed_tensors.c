/* compressed-tensors' checkpoints, as llm-compressor writes them and vLLM reads them. Which format
 * a linear [out][in] has shows in its tensors:
 *   pack-quantized   weight_packed int32 [out][ceil(in * bits / 32)], q + 2^(bits - 1) one after
 *                    another; weight_shape; of asymmetric ones weight_zero_point int32
 *                    [ceil(out * bits / 32)][groups], packed down the rows in the same way
 *   int-quantized    weight int8, of asymmetric ones weight_zero_point int8
 *   float-quantized  weight float8
 *   mxfp8-quantized  weight float8, weight_scale uint8: 2^(E - 127)
 *   mxfp4-pack-quantized  weight_packed uint8 [out][in / 2], the first of two codes low;
 *                         weight_scale uint8
 *   nvfp4-pack-quantized  the same with weight_scale float8 and weight_global_scale, which divides
 * weight_scale has a number for the tensor, for each row, each group of a row, or each block. The
 * arithmetic is that of the library's `dequantize`: (q - z) * s in the type of the scales, and of
 * what has codes of 4 bits, or scales that are powers of two, rounded to bfloat16. */
#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/compressed_inputs.h"
#include "eval/checkpoint/layouts/grid.h"

/* --- codes --- */

/* Unsigned fields that stand for q + middle. */
static void read_packed(const struct bs_grid *grid, size_t row, float *q)
{
    size_t words = (grid->in * (size_t)grid->bits + 31) / 32;
    const unsigned char *codes = grid->codes + 4 * words * row;
    float middle = (float)(1 << (grid->bits - 1));
    for (size_t j = 0; j < grid->in; j++)
        q[j] = (float)bs_field_at(codes, 1, j, grid->bits) - middle;
}

static float zero_packed(const struct bs_grid *grid, size_t row, size_t group)
{
    size_t groups = grid->scale.row_step;
    return (float)bs_field_at(grid->zeros + 4 * group, groups, row, grid->bits) -
           (float)(1 << (grid->bits - 1));
}

static void read_bytes(const struct bs_grid *grid, size_t row, float *q)
{
    const signed char *codes = (const signed char *)grid->codes + row * grid->in;
    for (size_t j = 0; j < grid->in; j++)
        q[j] = (float)codes[j];
}

static float zero_bytes(const struct bs_grid *grid, size_t row, size_t group)
{
    size_t at = row / grid->scale.rows * grid->scale.row_step + group * grid->scale.group_step;
    return (float)((const signed char *)grid->zeros)[at];
}

/* --- a linear --- */

#define JOINT_CODES "_proj_packed" /* experts.gate_up_proj_packed */

/* A linear on its way. */
struct linear {
    const struct bs_assembly *assembly;
    const char *module;
    const struct bs_entry *codes, *scales, *zeros, *global, *list;
    int64_t shape[2];
    int bits; /* of packed codes */
    const char *format;
};

static enum bs_status need(const struct linear *l, const char *ending, const char *dtypes, int rank,
                           const int64_t *shape, const struct bs_entry **entry,
                           struct bs_error *err)
{
    return bs_assembly_need(l->assembly, l->module, ending, dtypes, rank, shape, entry, err);
}

/* Whether one of the config's groups has codes of so many bits. */
static bool has_bits(const struct bs_assembly *assembly, int bits)
{
    const char *name;
    json_t *group, *groups = json_object_get(assembly->settings, "config_groups");
    json_object_foreach(groups, name, group)
    {
        const json_t *weights = json_object_get(group, "weights");
        if (json_integer_value(json_object_get(weights, "num_bits")) == bits)
            return true;
    }
    return false;
}

/* Codes of how many bits so many words hold. */
static enum bs_status find_bits(struct linear *l, struct bs_error *err)
{
    size_t in = (size_t)l->shape[1], words = (size_t)l->codes->tensor.shape[1];
    for (l->bits = 1; l->bits <= 8; l->bits++)
        if ((in * (size_t)l->bits + 31) / 32 == words && has_bits(l->assembly, l->bits))
            return BS_OK;
    return bs_fail(
        err, BS_EUNSUPPORTED,
        "%s: tensor '%.200s' has %zu words for %zu inputs, which are codes of no num_bits "
        "in %s, one after another (releases before 0.15 packed others)",
        l->codes->tensor.file, l->codes->tensor.name, words, in, l->assembly->place);
}

/* The shape of packed codes, as the file says it. */
static enum bs_status read_shape(struct linear *l, struct bs_error *err)
{
    const int64_t pair[] = {2};
    const struct bs_entry *entry;
    if (need(l, ".weight_shape", "I64 I32", 1, pair, &entry, err))
        return err->status;
    for (int d = 0; d < 2; d++) {
        int32_t narrow;
        int64_t wide;
        bool is_wide = !strcmp(entry->dtype, "I64");
        memcpy(&narrow, entry->tensor.data + 4 * d, sizeof narrow);
        memcpy(&wide, entry->tensor.data + (is_wide ? 8 * d : 0), is_wide ? sizeof wide : 0);
        l->shape[d] = is_wide ? wide : narrow;
        if (l->shape[d] < 1 || l->shape[d] > 1 << 28)
            return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' is no shape of a matrix",
                           entry->tensor.file, entry->tensor.name);
    }
    return BS_OK;
}

static enum bs_status find_packed(struct linear *l, struct bs_error *err)
{
    const int64_t any[] = {BS_ANY_EXTENT, BS_ANY_EXTENT};
    if (need(l, ".weight_packed", "I32 U8", 2, any, &l->codes, err) ||
        bs_grid_check_extents(l->codes, err))
        return err->status;
    l->shape[0] = l->codes->tensor.shape[0];
    if (!strcmp(l->codes->dtype, "U8")) {
        l->shape[1] = 2 * l->codes->tensor.shape[1];
        l->global = bs_assembly_find(l->assembly, l->module, ".weight_global_scale");
        l->format = l->global ? "nvfp4" : "mxfp4";
        return BS_OK;
    }
    l->format = "packed";
    if (read_shape(l, err))
        return err->status;
    if (l->shape[0] != l->codes->tensor.shape[0])
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has %lld rows, expected %lld",
                       l->codes->tensor.file, l->codes->tensor.name,
                       (long long)l->codes->tensor.shape[0], (long long)l->shape[0]);
    return find_bits(l, err);
}

static enum bs_status find_codes(struct linear *l, struct bs_error *err)
{
    const int64_t any[] = {BS_ANY_EXTENT, BS_ANY_EXTENT};
    if (bs_assembly_find(l->assembly, l->module, ".weight_packed"))
        return find_packed(l, err);
    if (need(l, ".weight", "I8 F8_E4M3", 2, any, &l->codes, err))
        return err->status;
    memcpy(l->shape, l->codes->tensor.shape, sizeof l->shape);
    l->format = strcmp(l->codes->dtype, "I8") ? "float8" : "int8";
    return BS_OK;
}

/* Rows and columns of a block, by the first of the config's groups whose blocks these may be. */
static bool find_block(const struct linear *l, const struct bs_grid *grid, size_t *rows,
                       size_t *columns)
{
    const char *name;
    json_t *group, *groups = json_object_get(l->assembly->settings, "config_groups");
    const int64_t *table = l->scales->tensor.shape;
    json_object_foreach(groups, name, group)
    {
        const json_t *block = json_object_get(json_object_get(group, "weights"), "block_structure");
        json_int_t down = json_integer_value(json_array_get(block, 0));
        json_int_t across = json_integer_value(json_array_get(block, 1));
        if (down < 1 || across < 1 || down > 1 << 24 || across > 1 << 24)
            continue;
        *rows = (size_t)down;
        *columns = (size_t)across;
        if ((grid->out + *rows - 1) / *rows == (size_t)table[0] &&
            (grid->in + *columns - 1) / *columns == (size_t)table[1])
            return true;
    }
    return false;
}

static enum bs_status fail_scales(const struct linear *l, struct bs_error *err)
{
    char found[128];
    const struct bs_tensor *t = &l->scales->tensor;
    bs_shape_print(t->rank, t->shape, found, sizeof found);
    return bs_fail(
        err, BS_EDATA,
        "%s: tensor '%.200s' has shape %s, expected scales of the whole, the rows, groups "
        "or blocks of [%lld, %lld]",
        t->file, t->name, found, (long long)l->shape[0], (long long)l->shape[1]);
}

/* Who shares a scale, by the shape of the table. */
static enum bs_status share_scales(const struct linear *l, struct bs_grid *grid,
                                   struct bs_error *err)
{
    const struct bs_tensor *t = &l->scales->tensor;
    size_t rows, columns;
    if (!t->count || t->rank > 2)
        return fail_scales(l, err);
    size_t across = t->rank == 2 ? (size_t)t->shape[1] : 1;
    grid->scale = bs_table_of(l->scales, 1, across, 1);
    if (t->count == 1) {
        grid->scale.rows = grid->out;
        return BS_OK;
    }
    if ((size_t)t->shape[0] == grid->out && across <= grid->in && grid->in % across == 0) {
        grid->group = grid->in / across;
        return BS_OK;
    }
    if (t->rank < 2 || !find_block(l, grid, &rows, &columns))
        return fail_scales(l, err);
    grid->group = columns;
    grid->scale.rows = rows;
    return BS_OK;
}

/* Whether every one of the config's groups is asymmetric, so that zero points must be there. */
static bool all_have_zeros(const struct linear *l)
{
    const char *name;
    bool all = true;
    json_t *group, *groups = json_object_get(l->assembly->settings, "config_groups");
    json_object_foreach(groups, name, group) all &=
        !bs_layout_true(json_object_get(group, "weights"), "symmetric", true);
    return all && json_object_size(groups);
}

/* The zero points, where the linear has any. */
static enum bs_status find_zeros(struct linear *l, struct bs_grid *grid, struct bs_error *err)
{
    if (!bs_assembly_find(l->assembly, l->module, ".weight_zero_point") && !all_have_zeros(l))
        return BS_OK;
    const struct bs_tensor *scales = &l->scales->tensor;
    bool packed = l->bits > 0, bytes = !strcmp(l->format, "int8");
    const int64_t of_rows[] = {(l->shape[0] * l->bits + 31) / 32, (int64_t)grid->scale.row_step};
    bool whole = packed && grid->scale.rows == grid->out;
    if (packed && !whole) {
        grid->zero = zero_packed;
        if (need(l, ".weight_zero_point", "I32", 2, of_rows, &l->zeros, err))
            return err->status;
    } else if (packed || bytes) {
        grid->zero = zero_bytes;
        if (need(l, ".weight_zero_point", "I8", scales->rank, scales->shape, &l->zeros, err))
            return err->status;
    } else {
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: '%.200s' has zero points, which %s codes do not have",
                       l->assembly->place, l->module, l->format);
    }
    grid->zeros = l->zeros->tensor.data;
    return BS_OK;
}

/* What is other where codes have 4 bits or scales are powers of two. */
static enum bs_status fill_small(struct linear *l, struct bs_grid *grid, struct bs_error *err)
{
    const int64_t one[] = {1};
    grid->powers = !strcmp(l->scales->dtype, "U8");
    grid->rounded = BS_BF16;
    if (!l->global)
        return BS_OK;
    if (need(l, ".weight_global_scale", "F32", 1, one, &l->global, err))
        return err->status;
    bs_tensor_read(&l->global->tensor, 0, 1, &grid->divisor);
    if (grid->divisor > 0)
        return BS_OK;
    return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' is %g, expected a number above 0",
                   l->global->tensor.file, l->global->tensor.name, (double)grid->divisor);
}

/* The order of groups, of checkpoints of older releases; -1 throughout is none. */
static enum bs_status find_list(struct linear *l, struct bs_grid *grid, struct bs_error *err)
{
    const int64_t columns[] = {l->shape[1]};
    if (!bs_assembly_find(l->assembly, l->module, ".weight_g_idx"))
        return BS_OK;
    if (need(l, ".weight_g_idx", "I32", 1, columns, &l->list, err))
        return err->status;
    size_t none = 0, in = (size_t)l->shape[1];
    while (none < in && bs_word_at(l->list->tensor.data, none) == UINT32_MAX)
        none++;
    if (none == in)
        return BS_OK;
    grid->list = l->list->tensor.data;
    return bs_grid_check_list(grid, l->list, grid->scale.row_step, err);
}

static enum bs_status fill(struct linear *l, struct bs_grid *grid, struct bs_error *err)
{
    bool small = !strcmp(l->format, "nvfp4") || !strcmp(l->format, "mxfp4");
    bool powers = !strcmp(l->scales->dtype, "U8");
    grid->codes = l->codes->tensor.data;
    grid->bits = l->bits;
    grid->variant = (int)l->codes->tensor.dtype;
    grid->rounded = l->scales->tensor.dtype;
    grid->read = small                        ? bs_grid_read_e2m1
                 : l->bits                    ? read_packed
                 : !strcmp(l->format, "int8") ? read_bytes
                                              : bs_grid_read_floats;
    if (share_scales(l, grid, err) || find_zeros(l, grid, err) || find_list(l, grid, err) ||
        ((small || powers) && fill_small(l, grid, err)))
        return err->status;
    char codes[32];
    snprintf(codes, sizeof codes, "%d bits", l->bits);
    snprintf(grid->coded.scheme, sizeof grid->coded.scheme,
             "compressed-tensors, %s%s, %s of %zu%s, in %s", l->bits ? codes : l->format,
             grid->zero ? " with zero points" : "", grid->scale.rows > 1 ? "blocks" : "groups",
             grid->group, grid->list ? " in another order" : "", bs_dtypes[grid->rounded].name);
    return BS_OK;
}

/* Scales of activations are no weights; those of inputs are known by now. */
static void drop_activations(struct bs_assembly *assembly, const char *module)
{
    static const char *const endings[] = {".input_scale",        ".input_zero_point",
                                          ".input_global_scale", ".output_scale",
                                          ".output_zero_point",  ".output_global_scale"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        bs_assembly_drop(assembly, bs_assembly_find(assembly, module, endings[i]));
}

/* Codes of all experts in one tensor, which no release of the library writes or decodes. */
static enum bs_status fail_experts(const struct bs_entry *codes, struct bs_error *err)
{
    char found[128];
    bs_shape_print(codes->tensor.rank, codes->tensor.shape, found, sizeof found);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: tensor '%.200s' has codes of several experts in one (%s), expected each "
                   "linear of an expert by itself (experts.0.up_proj.weight_packed)",
                   codes->tensor.file, codes->tensor.name, found);
}

static enum bs_status make_linear(struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry *first, struct bs_error *err)
{
    struct linear l = {.assembly = assembly, .module = module};
    if (bs_ends_in(first->tensor.name, JOINT_CODES))
        return fail_experts(first, err);
    if (!bs_ends_in(first->tensor.name, ".weight_scale")) { /* of a cache */
        bs_assembly_drop(assembly, first);
        return BS_OK;
    }
    if (find_codes(&l, err))
        return err->status;
    const char *dtypes = !strcmp(l.format, "nvfp4")    ? "F8_E4M3"
                         : !strcmp(l.format, "mxfp4")  ? "U8"
                         : !strcmp(l.format, "float8") ? "F32 F16 BF16 U8"
                                                       : "F32 F16 BF16";
    if (need(&l, ".weight_scale", dtypes, first->tensor.rank, first->tensor.shape, &l.scales, err))
        return err->status;
    if (!l.shape[0] || !l.shape[1])
        return fail_scales(&l, err);
    struct bs_grid *grid =
        bs_grid_create((size_t)l.shape[0], (size_t)l.shape[1], (size_t)l.shape[1]);
    if (!grid)
        return bs_fail_memory(err);
    if (fill(&l, grid, err) || bs_compressed_inputs(assembly, module, &grid->coded.inputs, err)) {
        bs_free(grid);
        return err->status;
    }
    drop_activations(assembly, module);
    const struct bs_entry *spent[] = {l.codes, l.scales,
                                      l.zeros, l.global,
                                      l.list,  bs_assembly_find(assembly, module, ".weight_shape")};
    return bs_assembly_put(assembly, module, ".weight", 2, l.shape, &grid->coded, spent, 6, err);
}

/* "int of 8 bits, token, dynamic" */
static void print_activations(const json_t *args, char *out, size_t size)
{
    snprintf(out, size, "%.10s of %d bits, %.20s, %s", bs_layout_word(args, "type", "int"),
             (int)json_integer_value(json_object_get(args, "num_bits")),
             bs_layout_word(args, "strategy", "tensor"),
             json_is_false(json_object_get(args, "dynamic")) ? "static" : "dynamic");
}

/* Says what is quantized beside weights and inputs. */
static enum bs_status note_others(struct bs_assembly *assembly, struct bs_error *err)
{
    const char *name;
    char how[128];
    const json_t *cache = json_object_get(assembly->settings, "kv_cache_scheme");
    json_t *group, *groups = json_object_get(assembly->settings, "config_groups");
    json_object_foreach(groups, name, group)
    {
        const json_t *args = json_object_get(group, "output_activations");
        if (!json_object_size(args))
            continue;
        print_activations(args, how, sizeof how);
        if (bs_lines_add(assembly->notices, err,
                         "where this model is served, outputs of linears of %.40s are quantized "
                         "(%s); they are not here",
                         name, how))
            return err->status;
    }
    if (!json_object_size(cache))
        return BS_OK;
    print_activations(cache, how, sizeof how);
    return bs_lines_add(assembly->notices, err,
                        "where this model is served, its key-value cache is quantized (%s); it is "
                        "not here",
                        how);
}

/* Weights that are sparse, or that were turned, are other layouts under the same name. */
static enum bs_status read_settings(struct bs_assembly *assembly, struct bs_error *err)
{
    static const char *const unread[] = {"sparsity_config", "transform_config"};
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++) {
        const json_t *value = json_object_get(assembly->settings, unread[i]);
        const char *format = bs_layout_word(value, "format", "");
        if (json_object_size(value) && strcmp(format, "dense"))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: %s: bitsweep reads dense weights in the checkpoint's own basis",
                           assembly->place, unread[i]);
    }
    return note_others(assembly, err);
}

const struct bs_layout bs_layout_compressed_tensors = {
    .plugin = {.name = "compressed_tensors",
               .summary = "packed, int8, float8, nvfp4, mxfp4 and mxfp8, as llm-compressor writes",
               .reference = "vllm-project/compressed-tensors compressed_tensors/compressors"},
    .methods = (const char *const[]){"compressed-tensors", "compressed_tensors", NULL},
    .endings = (const char *const[]){".weight_scale", ".q_scale", ".k_scale", ".v_scale",
                                     JOINT_CODES, NULL},
    .read = read_settings,
    .make = make_linear,
};
