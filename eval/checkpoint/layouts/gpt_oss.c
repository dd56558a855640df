/* The experts of gpt-oss as OpenAI publishes them: for a matrix of `experts` [out][in]
 *   NAME_blocks uint8 [experts][out][in / 32][16]  codes of 4 bits, the first of two low
 *   NAME_scales uint8 [experts][out][in / 32]      2^(E - 127)
 * and w = level * scale. The coded tensor is NAME, [experts][out][in]; a plain one of transformers
 * is [experts][in][out]. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/layouts/grid.h"

enum { BLOCK = 32 };

static enum bs_status make_linear(struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry *first, struct bs_error *err)
{
    const int64_t any[] = {BS_ANY_EXTENT, BS_ANY_EXTENT, BS_ANY_EXTENT, BLOCK / 2};
    const struct bs_entry *codes = first, *scales;
    if (bs_assembly_need(assembly, module, "_blocks", "U8", 4, any, &codes, err) ||
        bs_assembly_need(assembly, module, "_scales", "U8", 3, codes->tensor.shape, &scales, err))
        return err->status;
    const int64_t *from = codes->tensor.shape;
    if (from[2] > (int64_t)1 << 32)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' is too wide", codes->tensor.file,
                       codes->tensor.name);
    const int64_t shape[] = {from[0], from[1], BLOCK * from[2]};
    struct bs_grid *grid =
        bs_grid_create((size_t)from[0] * (size_t)from[1], (size_t)shape[2], BLOCK);
    if (!grid)
        return bs_fail_memory(err);
    grid->codes = codes->tensor.data;
    grid->read = bs_grid_read_e2m1;
    grid->scale = bs_table_of(scales, 1, (size_t)from[2], 1);
    grid->powers = true;
    grid->rounded = BS_BF16;
    snprintf(grid->coded.scheme, sizeof grid->coded.scheme, "E2M1 in blocks of %d (gpt-oss)",
             BLOCK);
    const struct bs_entry *spent[] = {codes, scales};
    return bs_assembly_put(assembly, module, "", 3, shape, &grid->coded, spent, 2, err);
}

const struct bs_layout bs_layout_gpt_oss = {
    .plugin = {.name = "gpt_oss",
               .summary = "4 bits in blocks of 32 with powers of two as scales, of experts",
               .reference = "huggingface/transformers integrations/mxfp4.py"},
    .methods = (const char *const[]){"mxfp4", NULL},
    .endings = (const char *const[]){"_blocks", NULL},
    .make = make_linear,
};
