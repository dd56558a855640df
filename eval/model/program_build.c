#include "eval/model/program_build.h"

#include <string.h>

#include "eval/model/experts.h"

int bs_build_value(struct bs_builder *b, int width)
{
    struct bs_program *p = b->p;
    b->full |= p->num_values == BS_MAX_VALUES;
    int value = b->full ? 0 : p->num_values++;
    p->values[value] = (struct bs_value){.width = width,
                                         .heads = 1,
                                         .expert = b->expert,
                                         .made_by = p->num_ops,
                                         .last_read = p->num_ops,
                                         .home = value};
    return value;
}

int bs_build_op(struct bs_builder *b, struct bs_op op, int width)
{
    struct bs_program *p = b->p;
    op.out = bs_build_value(b, width);
    b->full |= p->num_ops == BS_MAX_OPS;
    if (!b->full)
        p->ops[p->num_ops++] = op;
    return op.out;
}

int bs_build_like(struct bs_builder *b, enum bs_op_kind kind, int in, int detail)
{
    const struct bs_op op = {.kind = kind, .in = {in, -1, -1}, .slot = -1, .detail = detail};
    int value = bs_build_op(b, op, b->p->values[in].width);
    b->p->values[value].heads = b->p->values[in].heads;
    return value;
}

int bs_build_site(struct bs_builder *b, int value, const char *name, enum bs_site kind)
{
    if (value == 0 || b->p->values[value].name)
        value = bs_build_like(b, BS_OP_COPY, value, 0);
    b->p->values[value].name = name;
    b->p->values[value].kind = kind;
    return value;
}

/* An expert's linears have the same names in every family. */
static const char *name_of(struct bs_builder *b, const struct bs_family *family, const char *role)
{
    const struct bs_linear_name *names = family->linears;
    const struct bs_expert_places *expert = &bs_expert_places[b->expert < 0 ? 0 : b->expert];
    if (b->expert >= 0)
        return !strcmp(role, "gate") ? expert->gate
               : !strcmp(role, "up") ? expert->up
                                     : expert->down;
    for (int i = 0; i < BS_MAX_ROLES && names[i].role; i++)
        if (!strcmp(names[i].role, role))
            return names[i].name;
    b->unnamed = role;
    return NULL;
}

static void add_slot(struct bs_builder *b, const struct bs_call *call, int input)
{
    struct bs_program *p = b->p;
    b->full |= p->num_slots == BS_MAX_SLOTS;
    int slot = b->full ? 0 : p->num_slots++;
    p->slots[slot] =
        (struct bs_slot){.role = call->role,
                         .name = name_of(b, b->a->family, call->role),
                         .expert = b->expert,
                         .out = call->out,
                         .in = p->values[input].width,
                         .biased = (b->a->biases & call->biases) != 0,
                         .input = input,
                         .first = slot,
                         .last = slot,
                         .tensor = b->expert < 0 ? name_of(b, &b->a->stored, call->role) : NULL,
                         .rows = {0, call->out, call->out, 0}};
}

int bs_build_linears(struct bs_builder *b, const struct bs_call *calls, int count, int in)
{
    const struct bs_op op = {
        .kind = BS_OP_LINEAR, .in = {in, -1, -1}, .slot = b->p->num_slots, .num_slots = count};
    int width = 0;
    for (int i = 0; i < count; i++) {
        add_slot(b, &calls[i], in);
        width += calls[i].out;
    }
    return bs_build_op(b, op, width);
}

int bs_build_linear(struct bs_builder *b, struct bs_call call, int in)
{
    return bs_build_linears(b, &call, 1, in);
}

void bs_build_share(struct bs_builder *b, int count, const char *tensor)
{
    struct bs_program *p = b->p;
    int first = p->num_slots - count, row = 0;
    for (int s = first; s < p->num_slots && !b->full; s++) {
        struct bs_slot *slot = &p->slots[s];
        slot->first = first;
        slot->last = p->num_slots - 1;
        slot->tensor = tensor;
        slot->rows.first = row;
        row += slot->out;
    }
}

int bs_build_norm(struct bs_builder *b, enum bs_norm_place place, int in)
{
    return bs_has_norm(b->a, place) ? bs_build_like(b, BS_OP_NORM, in, (int)place) : in;
}

int bs_build_add(struct bs_builder *b, int stream, int branch)
{
    const struct bs_op op = {.kind = BS_OP_ADD, .in = {stream, branch, -1}, .slot = -1};
    int sum = bs_build_op(b, op, b->p->values[stream].width);
    b->p->values[sum].residual = true;
    return sum;
}
