/* GPTQ's checkpoints, as AutoGPTQ and GPTQModel write them: for a linear [out][in]
 *   qweight int32 [in * bits / 32][out]      codes, packed along in
 *   qzeros  int32 [groups][out * bits / 32]  zero points, packed along out
 *   scales  [groups][out]
 *   g_idx   int32 [in]                       the group of each column
 * and w = (q - z) * s in the type of the scales. Fields of 2, 4 and 8 bits fill words; those of 3
 * run on from word to word, 32 of them in three words. The planar format keeps 32 fields in `bits`
 * words too, but in planes: the low bits of all, then the next ones.
 *
 * The first version of the format stores z - 1, taken off the whole word, so that a field of 0
 * borrows from its neighbour: it is added to the whole word again, but of 3 bits to each field. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/grid.h"

/* What the settings say of all linears. */
struct settings {
    int bits, group_size; /* group_size 0: a row */
    bool first_version;   /* zero points are stored less 1 */
    bool planar;
    bool ordered;          /* columns are not in the order of their groups: g_idx must be there */
    const json_t *dynamic; /* patterns of names, and what is other there; NULL = none */
};

enum { CONTINUOUS, PLANAR };

/* Field `index` of a run of planar fields, whose words are `step` apart. */
static uint32_t planar_field(const unsigned char *data, size_t step, size_t index, int bits)
{
    size_t block = index / 32 * (size_t)bits, within = index % 32;
    uint32_t field = 0;
    int offset = 0;
    for (int p = 0; p < 3 && bs_planes[bits][p]; p++) {
        size_t width = bs_planes[bits][p], fields = 32 / width;
        uint32_t word = bs_word_at(data, (block + within / fields) * step);
        field |= (word >> (within % fields * width) & ((1u << width) - 1)) << offset;
        block += width;
        offset += (int)width;
    }
    return field;
}

/* q [in] of a row: the words of an input are a row of the tensor apart. */
static void read_codes(const struct bs_grid *grid, size_t row, float *q)
{
    const unsigned char *column = grid->codes + 4 * row;
    for (size_t j = 0; j < grid->in; j++)
        q[j] = (float)(grid->variant == PLANAR ? planar_field(column, grid->out, j, grid->bits)
                                               : bs_field_at(column, grid->out, j, grid->bits));
}

static const unsigned char *zeros_of(const struct bs_grid *grid, size_t group)
{
    return grid->zeros + group * (grid->out * (size_t)grid->bits / 8);
}

static float zero_as_stored(const struct bs_grid *grid, size_t row, size_t group)
{
    const unsigned char *zeros = zeros_of(grid, group);
    return (float)(grid->variant == PLANAR ? planar_field(zeros, 1, row, grid->bits)
                                           : bs_field_at(zeros, 1, row, grid->bits));
}

static float zero_less_one(const struct bs_grid *grid, size_t row, size_t group)
{
    const unsigned char *zeros = zeros_of(grid, group);
    uint32_t most = (1u << grid->bits) - 1;
    if (32 % grid->bits)
        return (float)(((uint32_t)zero_as_stored(grid, row, group) + 1) & most);
    size_t bit = row * (size_t)grid->bits;
    uint32_t ones = UINT32_MAX / most; /* a one in each field */
    return (float)((bs_word_at(zeros, bit / 32) + ones) >> bit % 32 & most);
}

/* --- settings --- */

static enum bs_status read_bits(const struct bs_assembly *assembly, const json_t *settings,
                                struct settings *said, struct bs_error *err)
{
    int group_size;
    if (bs_layout_int(assembly, settings, "bits", 2, 8, 0, &said->bits, err) ||
        bs_layout_int(assembly, settings, "group_size", -1, 1 << 24, -1, &group_size, err))
        return err->status;
    said->group_size = group_size > 0 ? group_size : 0;
    return BS_OK;
}

static enum bs_status read_settings(struct bs_assembly *assembly, struct bs_error *err)
{
    struct settings *said = assembly->state;
    const json_t *s = assembly->settings;
    const char *format =
        bs_layout_word(s, "checkpoint_format", bs_layout_word(s, "format", "gptq"));
    const char *words = bs_layout_word(s, "pack_dtype", "int32");
    if (read_bits(assembly, s, said, err))
        return err->status;
    said->first_version = !strcmp(format, "gptq");
    said->planar = !strcmp(format, "gptq_p");
    said->ordered = bs_layout_true(s, "desc_act", false);
    said->dynamic = json_object_get(s, "dynamic");
    if (!said->first_version && !said->planar && strcmp(format, "gptq_v2"))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: checkpoint_format is '%.40s', expected gptq, gptq_v2 or gptq_p",
                       assembly->place, format);
    if (strcmp(words, "int32"))
        return bs_fail(err, BS_EUNSUPPORTED, "%s: pack_dtype is '%.40s', expected int32",
                       assembly->place, words);
    return BS_OK;
}

/* --- linears --- */

/* The tensors of a linear. */
struct parts {
    const struct bs_entry *codes, *zeros, *scales, *list;
};

/* Bits and columns of a group as the tensors have them, where that is other than the settings say
 * of all linears: `dynamic` says so by patterns of names, and the shapes leave no other reading. */
static enum bs_status fit_shapes(const struct bs_assembly *assembly, const struct parts *parts,
                                 size_t *in, int *bits, size_t *group, struct bs_error *err)
{
    const struct settings *said = assembly->state;
    const struct bs_tensor *codes = &parts->codes->tensor;
    size_t words = (size_t)codes->shape[0], groups = (size_t)parts->scales->tensor.shape[0];
    *in = parts->list ? parts->list->tensor.count : words * 32 / (size_t)said->bits;
    *bits = *in ? (int)(words * 32 / *in) : 0;
    if (*in % 32 || *bits < 2 || *bits > 8 || words * 32 != *in * (size_t)*bits || !groups ||
        groups > *in || codes->shape[1] % 32)
        return bs_fail(err, BS_EDATA,
                       "%s: tensor '%.200s' has shape [%zu, %lld], which are no codes of 2 to 8 "
                       "bits of %zu inputs in %zu groups, multiples of 32",
                       codes->file, codes->name, words, (long long)codes->shape[1], *in, groups);
    *group = said->group_size ? (size_t)said->group_size : *in;
    bool as_said = *bits == said->bits && (*in + *group - 1) / *group == groups;
    if (as_said || json_object_size(said->dynamic)) {
        *group = as_said ? *group : (*in + groups - 1) / groups;
        return BS_OK;
    }
    return bs_fail(
        err, BS_EDATA,
        "%s: tensor '%.200s' holds codes of %d bits and %zu groups, but bits is %d and group_size "
        "%d in %s",
        codes->file, codes->name, *bits, groups, said->bits,
        said->group_size ? said->group_size : -1, assembly->place);
}

static enum bs_status find_parts(const struct bs_assembly *assembly, const char *module,
                                 struct parts *parts, struct bs_error *err)
{
    const struct settings *said = assembly->state;
    if (bs_grid_need_words(assembly, module, &parts->codes, err))
        return err->status;
    const int64_t any[] = {BS_ANY_EXTENT};
    const int64_t scales[] = {BS_ANY_EXTENT, parts->codes->tensor.shape[1]};
    if (bs_assembly_need(assembly, module, ".scales", "F16 BF16 F32", 2, scales, &parts->scales,
                         err))
        return err->status;
    if (!bs_assembly_find(assembly, module, ".g_idx") && !said->ordered)
        return BS_OK;
    return bs_assembly_need(assembly, module, ".g_idx", "I32", 1, any, &parts->list, err);
}

/* The group of each column by its place. */
static bool in_order(const struct bs_entry *list, size_t group)
{
    for (size_t j = 0; j < list->tensor.count; j++)
        if (bs_word_at(list->tensor.data, j) != j / group)
            return false;
    return true;
}

static enum bs_status fill(const struct settings *said, const struct parts *parts,
                           struct bs_grid *grid, struct bs_error *err)
{
    bool planar = said->planar || grid->bits == 5 || grid->bits == 6 || grid->bits == 7;
    size_t groups = (size_t)parts->scales->tensor.shape[0];
    grid->scale = bs_table_of(parts->scales, 1, 1, grid->out);
    grid->rounded = parts->scales->tensor.dtype;
    grid->codes = parts->codes->tensor.data;
    grid->zeros = parts->zeros->tensor.data;
    grid->variant = planar ? PLANAR : CONTINUOUS;
    grid->read = read_codes;
    grid->zero = said->first_version ? zero_less_one : zero_as_stored;
    if (parts->list && !in_order(parts->list, grid->group)) {
        grid->list = parts->list->tensor.data;
        if (bs_grid_check_list(grid, parts->list, groups, err))
            return err->status;
    }
    snprintf(grid->coded.scheme, sizeof grid->coded.scheme, "GPTQ%s, %d bits, groups of %zu%s",
             planar                ? " (planar)"
             : said->first_version ? ""
                                   : " (version 2)",
             grid->bits, grid->group, grid->list ? " in another order" : "");
    return BS_OK;
}

static enum bs_status make_linear(struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry *first, struct bs_error *err)
{
    const struct settings *said = assembly->state;
    struct parts parts = {.codes = first};
    size_t in, group = 0;
    int bits;
    if (find_parts(assembly, module, &parts, err) ||
        fit_shapes(assembly, &parts, &in, &bits, &group, err))
        return err->status;
    int64_t out = first->tensor.shape[1], shape[] = {out, (int64_t)in};
    const int64_t zeros[] = {parts.scales->tensor.shape[0], out * bits / 32};
    if (bs_assembly_need(assembly, module, ".qzeros", "I32", 2, zeros, &parts.zeros, err))
        return err->status;
    struct bs_grid *grid = bs_grid_create((size_t)out, in, group);
    if (!grid)
        return bs_fail_memory(err);
    grid->bits = bits;
    if (fill(said, &parts, grid, err)) {
        bs_free(grid);
        return err->status;
    }
    const struct bs_entry *spent[] = {parts.codes, parts.zeros, parts.scales, parts.list};
    return bs_assembly_put(assembly, module, ".weight", 2, shape, &grid->coded, spent, 4, err);
}

const struct bs_layout bs_layout_autogptq = {
    .plugin = {.name = "autogptq",
               .summary = "2 to 8 bits, zero points and scales of groups; gptq, gptq_v2, gptq_p",
               .reference = "ModelCloud/GPTQModel gptqmodel/nn_modules/qlinear/__init__.py"},
    .methods = (const char *const[]){"gptq", NULL},
    .endings = (const char *const[]){".qweight", NULL},
    .state_bytes = sizeof(struct settings),
    .read = read_settings,
    .make = make_linear,
};
