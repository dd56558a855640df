#include "eval/model/model_internal.h"

#include <stdio.h>

void bs_block_place(const struct bs_model *model, int block, char out[BS_PLACE_BYTES])
{
    char within[BS_PLACE_BYTES / 2];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    /* The format is a family's row, a constant of ours. */
    snprintf(within, sizeof within, model->architecture.stored.block, block);
#pragma GCC diagnostic pop
    snprintf(out, BS_PLACE_BYTES, "%s%s", model->prefix, within);
}

int bs_norm_parts(const struct bs_architecture *a, enum bs_norm_place place)
{
    bool of_heads = place == BS_NORM_Q || place == BS_NORM_K;
    bool parted = of_heads && a->stored.qk_norm == BS_QK_NORM_HEAD_TENSORS;
    return parted ? bs_norm_width(a, place) / a->head_dim : 1;
}

void bs_norm_name(const struct bs_architecture *a, enum bs_norm_place place, int part,
                  char name[BS_NORM_NAME_BYTES])
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
    /* The format is a family's row, a constant of ours; where there is one part, it is the name. */
    snprintf(name, BS_NORM_NAME_BYTES, a->stored.norms[place], part);
#pragma GCC diagnostic pop
}
