/* What a block's program does with the residual stream. */
#include <assert.h>

#include "eval/model/operations.h"
#include "eval/model/program.h"

/* What a value is to the stream. */
enum state { APART, STREAM, NORMED };

struct following {
    const struct bs_program *p;
    struct bs_residual_use *use;
    enum state states[BS_MAX_VALUES];
    int norms[BS_MAX_VALUES]; /* of NORMED values */
};

static enum bs_status refuse(const struct bs_op *op, const char *does, struct bs_error *err)
{
    return bs_fail(err, BS_EUNSUPPORTED, "the residual stream cannot be turned: %s %s",
                   bs_op_types[op->kind].name, does);
}

/* Notes the linears that make a branch. */
static enum bs_status note_writers(const struct following *f, int value, struct bs_error *err)
{
    for (;;) {
        assert(f->p->values[value].made_by >= 0); /* no wiring adds the block's input to itself */
        const struct bs_op *op = &f->p->ops[f->p->values[value].made_by];
        switch (op->kind) {
        case BS_OP_LINEAR:
            if (op->num_slots != 1)
                return refuse(op, "of several matrices adds to it", err);
            f->use->writes[op->slot] = true;
            return BS_OK;
        case BS_OP_SCATTER:
            if (note_writers(f, op->in[0], err))
                return err->status;
            if (op->in[2] < 0)
                return BS_OK;
            value = op->in[2];
            break;
        case BS_OP_ADD: /* of a branch's own parts */
            if (note_writers(f, op->in[0], err))
                return err->status;
            value = op->in[1];
            break;
        case BS_OP_COPY:
        case BS_OP_WEIGH:
            value = op->in[0];
            break;
        default:
            return refuse(op, "adds to it", err);
        }
    }
}

static void note_readers(struct following *f, const struct bs_op *op)
{
    int in = op->in[0];
    for (int s = op->slot; s < op->slot + op->num_slots; s++) {
        f->use->reads[s] = f->states[in] != APART;
        f->use->norm[s] = f->states[in] == NORMED ? f->norms[in] : -1;
    }
}

static enum bs_status follow(struct following *f, const struct bs_op *op, struct bs_error *err)
{
    enum state in = f->states[op->in[0]], *out = &f->states[op->out];
    switch (op->kind) {
    case BS_OP_COPY:
    case BS_OP_GATHER:
        *out = in;
        f->norms[op->out] = f->norms[op->in[0]];
        return BS_OK;
    case BS_OP_NORM:
        if (in == NORMED)
            return refuse(op, "follows another", err);
        *out = in == STREAM ? NORMED : APART;
        f->norms[op->out] = op->detail;
        return BS_OK;
    case BS_OP_LINEAR:
        note_readers(f, op);
        return BS_OK;
    case BS_OP_ADD:
        if (in == APART && f->states[op->in[1]] == APART)
            return BS_OK;
        if (in != STREAM)
            return refuse(op, "has what a norm makes for the stream", err);
        *out = STREAM;
        return note_writers(f, op->in[1], err);
    default:
        for (int k = 0; k < 3; k++)
            if (op->in[k] >= 0 && f->states[op->in[k]] != APART)
                return refuse(op, "reads it", err);
        return BS_OK;
    }
}

enum bs_status bs_program_residual(const struct bs_program *p, struct bs_residual_use *use,
                                   struct bs_error *err)
{
    struct following f = {.p = p, .use = use, .states = {STREAM}};
    *use = (struct bs_residual_use){.norm = {0}};
    for (int i = 0; i < p->num_ops; i++)
        if (follow(&f, &p->ops[i], err))
            return err->status;
    if (f.states[p->output] != STREAM)
        return refuse(&p->ops[p->values[p->output].made_by], "makes the block's output", err);
    return BS_OK;
}
