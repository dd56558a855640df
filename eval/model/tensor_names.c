#include "eval/model/model_internal.h"

#include <stdio.h>
#include <string.h>

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

/* The printf format of one expert's linear, and the tensor that holds it for all experts. */
static const char *expert_format(const struct bs_expert_tensors *experts, const char *role)
{
    return !strcmp(role, "gate") ? experts->gate
           : !strcmp(role, "up") ? experts->up
                                 : experts->down;
}

/* Of a tensor of all experts: their number comes first. Returns what it is called. */
static const char *place_in_all(const struct bs_expert_tensors *way, int experts,
                                const struct bs_slot *slot, struct bs_slot_tensor *t)
{
    bool down = !strcmp(slot->role, "down"), up = !strcmp(slot->role, "up");
    bool both = !down && way->all_gate_up;
    int all = both ? 2 * slot->out : slot->out;
    t->rank = 3;
    t->shape[0] = experts;
    t->shape[1] = all;
    t->shape[2] = slot->in;
    t->slice = slot->expert;
    t->transposed = way->transposed;
    t->rows = (struct bs_tensor_rows){both && up ? slot->out : 0, slot->out, all, 0};
    if (both && way->interleaved)
        t->rows = (struct bs_tensor_rows){up, 1, 2, 0};
    if (both)
        return way->all_gate_up;
    return down ? way->all_down : up ? way->all_up : way->all_gate;
}

/* Below the block, without what it ends in; and what that is. */
static const char *stem_of(const struct bs_model *model, const struct bs_slot *slot,
                           struct bs_slot_tensor *t, char name[BS_TENSOR_NAME_BYTES / 2])
{
    const struct bs_expert_tensors *experts = model->experts;
    size_t size = BS_TENSOR_NAME_BYTES / 2;
    if (slot->tensor || slot->expert < 0) {
        snprintf(name, size, "%s", slot->tensor ? slot->tensor : experts->router);
        return ".weight";
    }
    if (!experts->gate) {
        snprintf(name, size, "%s",
                 place_in_all(experts, model->architecture.experts.count, slot, t));
        return experts->all_ending;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    /* The format is a family's row, a constant of ours. */
    snprintf(name, size, expert_format(experts, slot->role), slot->expert);
#pragma GCC diagnostic pop
    return ".weight";
}

void bs_slot_tensor(const struct bs_model *model, const struct bs_program *program,
                    const char *place, int index, struct bs_slot_tensor *t)
{
    const struct bs_slot *slot = &program->slots[index];
    const struct bs_architecture *a = &model->architecture;
    char name[BS_TENSOR_NAME_BYTES / 2];
    *t = (struct bs_slot_tensor){.rank = 2, .rows = slot->rows};
    const char *ending = stem_of(model, slot, t, name);
    snprintf(t->weight, sizeof t->weight, "%s%s%s", place, name, ending);
    snprintf(t->bias, sizeof t->bias, "%s%s%s", place, name,
             t->rank == 3 && model->experts->bias_ending ? model->experts->bias_ending : ".bias");
    const struct bs_tensor *tensor = bs_checkpoint_find(model->checkpoint, t->weight);
    bool plain = !(tensor && tensor->coded);
    if (t->rank == 3) {
        t->transposed = t->transposed && plain;
        int64_t rows = t->shape[1];
        t->shape[1 + t->transposed] = rows;
        t->shape[2 - t->transposed] = slot->in;
        return;
    }
    t->transposed = a->stored.transposed && plain;
    for (int s = slot->first; s <= slot->last; s++)
        t->shape[t->transposed] += program->slots[s].out;
    t->shape[!t->transposed] = slot->in;
}
