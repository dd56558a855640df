/* Float8 weights with scales of blocks, as DeepSeek publishes and transformers reads them: for a
 * linear [out][in]
 *   weight           float8 e4m3 (or e5m2) [out][in]
 *   weight_scale_inv [ceil(out / block)][ceil(in / block)], or one number: what to multiply with;
 *                    vLLM also reads it as weight_scale
 * and w = q * s in float32. Inputs are float8 too (activation_scheme): static by
 *   activation_scale, or input_scale  one number
 * or dynamic, each token's in groups of as many columns as a block has. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/grid.h"

/* What the settings say of all linears. */
struct settings {
    int block[2]; /* rows and columns; 0: the whole matrix */
};

static enum bs_status read_settings(struct bs_assembly *assembly, struct bs_error *err)
{
    struct settings *said = assembly->state;
    const json_t *block = json_object_get(assembly->settings, "weight_block_size");
    if (!block || json_is_null(block))
        return BS_OK;
    for (size_t d = 0; d < 2; d++) {
        const json_t *side = json_array_get(block, d);
        if (json_array_size(block) != 2 || !json_is_integer(side) || json_integer_value(side) < 1 ||
            json_integer_value(side) > 1 << 24)
            return bs_fail(err, BS_EDATA, "%s: weight_block_size is no pair of sizes",
                           assembly->place);
        said->block[d] = (int)json_integer_value(side);
    }
    return BS_OK;
}

static size_t blocks(size_t extent, size_t block) { return (extent + block - 1) / block; }

/* The scales' table, whatever the settings call a block: one number; else a grid that the matrix
 * has. */
static enum bs_status fill(const struct settings *said, const struct bs_entry *scales,
                           struct bs_grid *grid, struct bs_error *err)
{
    const struct bs_tensor *t = &scales->tensor;
    size_t rows = said->block[0] ? (size_t)said->block[0] : grid->out;
    size_t columns = said->block[1] ? (size_t)said->block[1] : grid->in;
    if (t->count == 1) {
        grid->scale = bs_table_of(scales, grid->out, 0, 0);
        return BS_OK;
    }
    if (!said->block[0] && t->count == grid->out)
        rows = 1;
    size_t down = blocks(grid->out, rows), across = blocks(grid->in, columns);
    if (t->count != down * across || (t->rank == 2 && (size_t)t->shape[0] != down))
        return bs_fail(err, BS_EDATA,
                       "%s: tensor '%.200s' has %zu scales, expected %zu x %zu of blocks of %zu x "
                       "%zu",
                       t->file, t->name, t->count, down, across, rows, columns);
    grid->group = columns;
    grid->scale = bs_table_of(scales, rows, across, 1);
    return BS_OK;
}

/* How inputs are quantized. Nothing fixes what is dynamic without blocks. */
static enum bs_status find_inputs(const struct bs_assembly *assembly, const char *module,
                                  struct bs_coded_inputs *inputs, struct bs_error *err)
{
    const struct settings *said = assembly->state;
    const char *scheme = bs_layout_word(assembly->settings, "activation_scheme", "dynamic");
    bool older = !bs_assembly_find(assembly, module, ".activation_scale");
    size_t size = sizeof inputs->setting;
    snprintf(inputs->setting, size, "format unknown");
    if (!strcmp(scheme, "static")) {
        snprintf(inputs->setting, size, "format fp8_e4m3 sharing static");
        return bs_assembly_scale(assembly, module, older ? ".input_scale" : ".activation_scale",
                                 &inputs->scale, err);
    }
    if (said->block[1])
        snprintf(inputs->setting, size, "format fp8_e4m3 sharing token group_size %d",
                 said->block[1]);
    return BS_OK;
}

static enum bs_status make_linear(struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry *first, struct bs_error *err)
{
    const int64_t any[] = {BS_ANY_EXTENT, BS_ANY_EXTENT};
    const char *ending = first->tensor.name + strlen(module);
    const struct bs_entry *codes, *scales;
    if (bs_assembly_need(assembly, module, ".weight", "F8_E4M3 F8_E5M2", 2, any, &codes, err) ||
        bs_assembly_need(assembly, module, ending, "F32 BF16 F16", first->tensor.rank,
                         first->tensor.shape, &scales, err))
        return err->status;
    const int64_t *shape = codes->tensor.shape;
    if (!codes->tensor.count)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' is empty", codes->tensor.file,
                       codes->tensor.name);
    struct bs_grid *grid = bs_grid_create((size_t)shape[0], (size_t)shape[1], (size_t)shape[1]);
    if (!grid)
        return bs_fail_memory(err);
    grid->codes = codes->tensor.data;
    grid->variant = (int)codes->tensor.dtype;
    grid->read = bs_grid_read_floats;
    if (fill(assembly->state, scales, grid, err) ||
        find_inputs(assembly, module, &grid->coded.inputs, err)) {
        bs_free(grid);
        return err->status;
    }
    snprintf(grid->coded.scheme, sizeof grid->coded.scheme, "%s, blocks of %zu x %zu", codes->dtype,
             grid->scale.rows, grid->group);
    bs_assembly_drop(assembly, bs_assembly_find(assembly, module, ".activation_scale"));
    bs_assembly_drop(assembly, bs_assembly_find(assembly, module, ".input_scale"));
    const struct bs_entry *spent[] = {codes, scales};
    return bs_assembly_put(assembly, module, ".weight", 2, shape, &grid->coded, spent, 2, err);
}

const struct bs_layout bs_layout_float8 = {
    .plugin = {.name = "float8_blocks",
               .summary = "float8 and a scale for each block, as DeepSeek's models are published",
               .reference = "huggingface/transformers integrations/finegrained_fp8.py"},
    .methods = (const char *const[]){"fp8", NULL},
    .endings = (const char *const[]){".weight_scale_inv", ".weight_scale", NULL},
    .state_bytes = sizeof(struct settings),
    .read = read_settings,
    .make = make_linear,
};
