/* AWQ's checkpoints, as AutoAWQ and GPTQModel write them, 4 bits: for a linear [out][in]
 *   version gemm: qweight int32 [in][out / 8], qzeros int32 [groups][out / 8], scales [groups][out]
 *   version gemv: qweight int32 [out][in / 8], qzeros int32 [out][words], scales [out][8 words],
 *                 words at least those of the groups
 * and w = (q - z) * s in the type of the scales. A word of gemm holds the outputs 0, 2, 4, 6, 1, 3,
 * 5, 7 from its lowest field on. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/grid.h"

enum { BITS = 4, FIELDS = 8 };

/* What the settings say of all linears. */
struct settings {
    int group_size; /* 0: a row */
    bool gemv;
};

/* Where in a word an output stands. */
static const unsigned char places[FIELDS] = {0, 4, 1, 5, 2, 6, 3, 7};

static uint32_t gemm_field(const unsigned char *data, size_t words, size_t row, size_t output)
{
    uint32_t word = bs_word_at(data, row * words + output / FIELDS);
    return word >> (BITS * places[output % FIELDS]) & 15;
}

static void read_gemm(const struct bs_grid *grid, size_t row, float *q)
{
    for (size_t j = 0; j < grid->in; j++)
        q[j] = (float)gemm_field(grid->codes, grid->out / FIELDS, j, row);
}

static float zero_gemm(const struct bs_grid *grid, size_t row, size_t group)
{
    return (float)gemm_field(grid->zeros, grid->out / FIELDS, group, row);
}

static void read_gemv(const struct bs_grid *grid, size_t row, float *q)
{
    const unsigned char *codes = grid->codes + row * (grid->in / 2);
    for (size_t j = 0; j < grid->in; j++)
        q[j] = (float)bs_field_at(codes, 1, j, BITS);
}

static float zero_gemv(const struct bs_grid *grid, size_t row, size_t group)
{
    const unsigned char *zeros = grid->zeros + row * (grid->scale.row_step / 2);
    return (float)bs_field_at(zeros, 1, group, BITS);
}

static enum bs_status read_settings(struct bs_assembly *assembly, struct bs_error *err)
{
    struct settings *said = assembly->state;
    const json_t *s = assembly->settings;
    const char *version = bs_layout_word(s, "version", bs_layout_word(s, "format", "gemm"));
    int bits;
    if (bs_layout_int(assembly, s, "bits", BITS, BITS, BITS, &bits, err) ||
        bs_layout_int(assembly, s, "group_size", -1, 1 << 24, 128, &said->group_size, err))
        return err->status;
    said->group_size = said->group_size > 0 ? said->group_size : 0;
    said->gemv = !strcmp(version, "gemv") || !strcmp(version, "GEMV");
    if (said->gemv || !strcmp(version, "gemm") || !strcmp(version, "GEMM"))
        return BS_OK;
    return bs_fail(err, BS_EUNSUPPORTED, "%s: version is '%.40s', expected gemm or gemv",
                   assembly->place, version);
}

/* The tensors of a linear, and its shape. */
struct parts {
    const struct bs_entry *codes, *zeros, *scales;
    int64_t shape[2];
    size_t group;
};

static enum bs_status find_parts(const struct bs_assembly *assembly, const char *module,
                                 struct parts *parts, struct bs_error *err)
{
    const struct settings *said = assembly->state;
    if (bs_grid_need_words(assembly, module, &parts->codes, err))
        return err->status;
    const struct bs_tensor *codes = &parts->codes->tensor;
    const int64_t *words = codes->shape;
    parts->shape[0] = said->gemv ? words[0] : FIELDS * words[1];
    parts->shape[1] = said->gemv ? FIELDS * words[1] : words[0];
    int64_t in = parts->shape[1], group = said->group_size ? said->group_size : in;
    if (!in || !parts->shape[0] || in % group)
        return bs_fail(err, BS_EDATA,
                       "%s: tensor '%.200s' is of %lld inputs, expected a multiple of group_size "
                       "%lld",
                       codes->file, codes->name, (long long)in, (long long)group);
    parts->group = (size_t)group;
    int64_t groups = in / group, out = parts->shape[0];
    const int64_t gemm_zeros[] = {groups, words[1]}, gemm_scales[] = {groups, out};
    const int64_t gemv[] = {out, BS_ANY_EXTENT};
    if (bs_assembly_need(assembly, module, ".qzeros", "I32", 2, said->gemv ? gemv : gemm_zeros,
                         &parts->zeros, err))
        return err->status;
    int64_t wide = parts->zeros->tensor.shape[1];
    const int64_t gemv_scales[] = {out, FIELDS * wide};
    if (said->gemv && FIELDS * wide < groups)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has no zero points for %lld groups",
                       parts->zeros->tensor.file, parts->zeros->tensor.name, (long long)groups);
    return bs_assembly_need(assembly, module, ".scales", "F16 BF16 F32", 2,
                            said->gemv ? gemv_scales : gemm_scales, &parts->scales, err);
}

static enum bs_status make_linear(struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry *first, struct bs_error *err)
{
    const struct settings *said = assembly->state;
    struct parts parts = {.codes = first};
    if (find_parts(assembly, module, &parts, err))
        return err->status;
    struct bs_grid *grid =
        bs_grid_create((size_t)parts.shape[0], (size_t)parts.shape[1], parts.group);
    if (!grid)
        return bs_fail_memory(err);
    size_t width = (size_t)parts.scales->tensor.shape[1];
    grid->scale = said->gemv ? bs_table_of(parts.scales, 1, width, 1)
                             : bs_table_of(parts.scales, 1, 1, width);
    grid->rounded = parts.scales->tensor.dtype;
    grid->codes = parts.codes->tensor.data;
    grid->zeros = parts.zeros->tensor.data;
    grid->read = said->gemv ? read_gemv : read_gemm;
    grid->zero = said->gemv ? zero_gemv : zero_gemm;
    snprintf(grid->coded.scheme, sizeof grid->coded.scheme, "AWQ (%s), 4 bits, groups of %zu",
             said->gemv ? "gemv" : "gemm", parts.group);
    const struct bs_entry *spent[] = {parts.codes, parts.zeros, parts.scales};
    return bs_assembly_put(assembly, module, ".weight", 2, parts.shape, &grid->coded, spent, 3,
                           err);
}

const struct bs_layout bs_layout_autoawq = {
    .plugin = {.name = "autoawq",
               .summary = "4 bits, zero points and scales of groups; versions gemm and gemv",
               .reference = "ModelCloud/GPTQModel gptqmodel/quantization/awq"},
    .methods = (const char *const[]){"awq", NULL},
    .endings = (const char *const[]){".qweight", NULL},
    .state_bytes = sizeof(struct settings),
    .read = read_settings,
    .make = make_linear,
};
