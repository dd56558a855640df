/* Whether a program computes what it says: the rules that every wiring keeps. */
#include <assert.h>
#include <string.h>

#include "eval/model/operations.h"
#include "eval/model/program.h"

static enum bs_status refuse(const struct bs_program *p, int i, const char *why,
                             struct bs_error *err)
{
    int kind = (int)p->ops[i].kind;
    const char *name = kind >= 0 && kind < BS_NUM_OPS ? bs_op_types[kind].name : "unknown";
    return bs_fail(err, BS_EDATA, "operation %d (%s) %s", i, name, why);
}

static bool is_value(const struct bs_program *p, int value)
{
    return value >= 0 && value < p->num_values;
}

/* Whether an op before op i has made the value. */
static bool is_made(const struct bs_program *p, int value, int i)
{
    for (int j = 0; j < i; j++)
        if (p->ops[j].out == value)
            return true;
    return value == 0;
}

static bool share_memory(const struct bs_value *a, const struct bs_value *b)
{
    return a->home == b->home && a->channel < b->channel + b->width &&
           b->channel < a->channel + a->width;
}

/* Whether between its maker and op i another op writes where the value is. */
static bool is_overwritten(const struct bs_program *p, int value, int i)
{
    for (int j = i - 1; j >= 0 && p->ops[j].out != value; j--)
        if (p->ops[j].kind != BS_OP_PART &&
            share_memory(&p->values[p->ops[j].out], &p->values[value]))
            return true;
    return false;
}

static bool linears_fit(const struct bs_program *p, const struct bs_op *op)
{
    int width = 0, last = op->slot + op->num_slots;
    if (op->slot < 0 || op->num_slots < 1 || last > p->num_slots)
        return false;
    for (int s = op->slot; s < last; s++) {
        if (p->slots[s].in != p->values[op->in[0]].width || p->slots[s].input != op->in[0])
            return false;
        width += p->slots[s].out;
    }
    return width == p->values[op->out].width;
}

static bool widths_fit(const struct bs_program *p, const struct bs_op *op)
{
    const struct bs_value *out = &p->values[op->out], *in[3];
    for (int k = 0; k < 3; k++)
        in[k] = op->in[k] < 0 ? NULL : &p->values[op->in[k]];
    assert(in[0]); /* as check_op has seen, which asks for the least number of inputs */
    switch (op->kind) {
    case BS_OP_LINEAR:
        return linears_fit(p, op);
    case BS_OP_PART:
        return op->detail >= 0 && op->detail + out->width <= in[0]->width;
    case BS_OP_ATTEND:
        assert(in[1] && in[2]);
        return out->width == in[0]->heads * (in[2]->width / in[2]->heads) &&
               in[1]->heads == in[2]->heads && in[0]->heads % in[1]->heads == 0 &&
               in[0]->width / in[0]->heads == in[1]->width / in[1]->heads;
    case BS_OP_HEADS:
        return op->detail >= 0 && out->heads == in[0]->heads &&
               op->detail + out->width / out->heads <= in[0]->width / in[0]->heads;
    case BS_OP_JOIN:
        assert(in[1]);
        return (in[1]->heads == 1 || in[1]->heads == in[0]->heads) &&
               out->width == in[0]->width + in[0]->heads * (in[1]->width / in[1]->heads);
    case BS_OP_WEIGH:
        assert(in[1]);
        return in[0]->width == out->width && in[1]->width == 1;
    case BS_OP_GATHER:
        assert(in[1]);
        return in[0]->width == out->width && op->detail < in[1]->width && out->expert == op->detail;
    case BS_OP_SCATTER:
        assert(in[1]);
        return in[0]->width == out->width && op->detail < in[1]->width &&
               in[0]->expert == op->detail && (!in[2] || in[2]->width == out->width);
    default:
        return in[0]->width == out->width && (!in[1] || in[1]->width == out->width);
    }
}

static enum bs_status check_op(const struct bs_program *p, int i, struct bs_error *err)
{
    const struct bs_op *op = &p->ops[i];
    if (op->kind < 0 || op->kind >= BS_NUM_OPS || !bs_op_types[op->kind].forward)
        return refuse(p, i, "is computed by no code", err);
    const struct bs_op_type *type = &bs_op_types[op->kind];
    for (int k = 0; k < 3; k++) {
        if (k < type->least_inputs && !is_value(p, op->in[k]))
            return refuse(p, i, "lacks an input", err);
        if (op->in[k] >= 0 && (k >= type->most_inputs || !is_value(p, op->in[k])))
            return refuse(p, i, "has an input that it does not take", err);
        if (op->in[k] >= 0 && !is_made(p, op->in[k], i))
            return refuse(p, i, "reads what is not made yet", err);
        if (op->in[k] >= 0 && is_overwritten(p, op->in[k], i))
            return refuse(p, i, "reads what was overwritten", err);
    }
    if (!is_value(p, op->out) || is_made(p, op->out, i) || p->values[op->out].made_by != i)
        return refuse(p, i, "makes what is made elsewhere", err);
    return widths_fit(p, op) ? BS_OK : refuse(p, i, "joins widths that do not fit", err);
}

enum bs_status bs_program_check(const struct bs_program *p, struct bs_error *err)
{
    for (int i = 0; i < p->num_ops; i++)
        if (check_op(p, i, err))
            return err->status;
    if (!is_made(p, p->output, p->num_ops) || p->values[p->output].width != p->values[0].width)
        return bs_fail(err, BS_EDATA, "the block's output is not made");
    for (int v = 0; v < p->num_values; v++)
        if (p->values[v].name && bs_program_find(p, p->values[v].name) != v)
            return bs_fail(err, BS_EDATA, "two values have the name '%s'", p->values[v].name);
    return BS_OK;
}
