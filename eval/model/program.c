/* How the block of an architecture is wired: the one place where a wiring is spelt out. */
#include "eval/model/program.h"

#include <string.h>

#include "eval/model/operations.h"
#include "eval/model/program_build.h"

/* --- the wirings: each states all of it, of the residual stream x --- */

static int attention_out(struct bs_builder *b, int in)
{
    return bs_build_norm(b, BS_NORM_ATTENTION_OUT, bs_build_attention(b, in));
}

static int mlp_out(struct bs_builder *b, int in)
{
    return bs_build_norm(b, BS_NORM_MLP_OUT, bs_build_mlp(b, in));
}

/* What attention, or the MLP, reads: the value after the norm before it. */
static int attention_in(struct bs_builder *b, int x)
{
    return bs_build_site(b, bs_build_norm(b, BS_NORM_ATTENTION, x), "attn_input", BS_SITE_INPUT);
}

static int mlp_in(struct bs_builder *b, int x)
{
    return bs_build_site(b, bs_build_norm(b, BS_NORM_MLP, x), "mlp_input",
                         b->has_experts ? BS_SITE_ROUTER : BS_SITE_INPUT);
}

static int residual(struct bs_builder *b, int sum, const char *name)
{
    return bs_build_site(b, sum, name, BS_SITE_RESIDUAL);
}

static int pre_norm(struct bs_builder *b, int x)
{
    int middle = residual(b, bs_build_add(b, x, attention_out(b, attention_in(b, x))), "resid_mid");
    return bs_build_add(b, middle, mlp_out(b, mlp_in(b, middle)));
}

/* What linears read is the residual stream itself, and goes on as they read it. */
static int post_norm(struct bs_builder *b, int x)
{
    int in = bs_build_site(b, x, "attn_input", BS_SITE_INPUT);
    b->p->values[in].residual = true;
    int middle = bs_build_norm(b, BS_NORM_ATTENTION, bs_build_add(b, in, attention_out(b, in)));
    middle = bs_build_site(b, middle, "mlp_input", BS_SITE_INPUT);
    b->p->values[middle].residual = true;
    return bs_build_norm(b, BS_NORM_MLP, bs_build_add(b, middle, mlp_out(b, middle)));
}

static int parallel(struct bs_builder *b, int x)
{
    int in = attention_in(b, x), sum = bs_build_add(b, x, attention_out(b, in));
    b->p->values[sum].residual = false; /* half of it */
    return bs_build_add(b, sum, mlp_out(b, bs_has_norm(b->a, BS_NORM_MLP) ? mlp_in(b, x) : in));
}

static int normed_residual(struct bs_builder *b, int x)
{
    int in = attention_in(b, x);
    b->p->values[in].residual = true;
    int middle = residual(b, bs_build_add(b, in, attention_out(b, in)), "resid_mid");
    in = mlp_in(b, middle);
    b->p->values[in].residual = true;
    return bs_build_add(b, in, mlp_out(b, in));
}

static int (*const wirings[])(struct bs_builder *, int) = {[BS_PRE_NORM] = pre_norm,
                                                           [BS_POST_NORM] = post_norm,
                                                           [BS_PARALLEL] = parallel,
                                                           [BS_NORMED_RESIDUAL] = normed_residual};

/* --- what follows from the ops --- */

static void find_reads(struct bs_program *p)
{
    for (int i = 0; i < p->num_ops; i++)
        for (int k = 0; k < 3; k++)
            if (p->ops[i].in[k] >= 0)
                p->values[p->ops[i].in[k]].last_read = i;
    p->values[p->output].last_read = p->num_ops;
}

static bool share_memory(const struct bs_value *a, const struct bs_value *b)
{
    return a->home == b->home && a->channel < b->channel + b->width &&
           b->channel < a->channel + a->width;
}

/* Whether op i may write over a value: it is not the caller's, and nothing reads it any more, nor
 * what else is made in its memory. */
static bool may_overwrite(const struct bs_program *p, int value, int i)
{
    if (p->values[value].home == 0)
        return false;
    for (int v = 0; v < p->num_values; v++) {
        const struct bs_value *other = &p->values[v];
        if (other->made_by <= i && other->last_read > i && v != p->ops[i].out &&
            share_memory(other, &p->values[value]))
            return false;
    }
    return true;
}

/* Experts work one after the other: each in the memory of the first. */
static void share_homes(const struct bs_builder *b)
{
    for (int v = 0; v < b->p->num_values; v++) {
        struct bs_value *value = &b->p->values[v];
        if (value->expert <= 0)
            continue;
        const struct bs_value *before = &b->p->values[v - b->expert_values];
        value->home = before->home;
        value->channel = before->channel;
    }
}

/* Rows of what linears read are close together: they are in no part of wider ones. */
static bool is_close(const struct bs_program *p, const struct bs_value *out, int place)
{
    return !bs_is_input(out) || p->values[p->values[place].home].width == out->width;
}

/* Values that take the place of another one, where that ends. The block's output is the
 * caller's. */
static void find_homes(struct bs_program *p)
{
    for (int i = 0; i < p->num_ops; i++) {
        const struct bs_op *op = &p->ops[i];
        const struct bs_op_type *type = &bs_op_types[op->kind];
        struct bs_value *out = &p->values[op->out];
        if (op->kind == BS_OP_PART) {
            out->home = p->values[op->in[0]].home;
            out->channel = p->values[op->in[0]].channel + op->detail;
        }
        for (int k = 0; k < 3 && op->out != p->output; k++)
            if (op->in[k] >= 0 && type->overwrites >> k & 1 && may_overwrite(p, op->in[k], i) &&
                is_close(p, out, op->in[k])) {
                out->home = p->values[op->in[k]].home;
                out->channel = p->values[op->in[k]].channel;
            }
    }
}

static void list_inputs(struct bs_program *p)
{
    for (int i = 0; i < p->num_ops; i++) {
        int in = p->ops[i].in[0];
        bool listed = p->ops[i].kind != BS_OP_LINEAR;
        for (int k = 0; k < p->num_inputs && !listed; k++)
            listed = p->inputs[k] == in;
        if (!listed)
            p->inputs[p->num_inputs++] = in;
    }
}

/* Gathered rows are read by an expert's linears. */
static bool only_linears_read(const struct bs_program *p, int value)
{
    for (int i = 0; i < p->num_ops; i++)
        for (int k = 0; k < 3; k++)
            if (p->ops[i].in[k] == value && p->ops[i].kind != BS_OP_LINEAR &&
                p->ops[i].kind != BS_OP_GATHER)
                return false;
    return true;
}

/* Follows a per-channel factor from a site back to where it can be divided out. Factors pass
 * through the probabilities of attention, through some activations, and through a gated product's
 * other side. A norm takes one where it has weights and only linears read it; out of a fused tensor
 * the authors' codes fold nothing, but for some families. */
static struct bs_fold find_fold(const struct bs_builder *b, int site)
{
    const struct bs_program *p = b->p;
    const struct bs_fold nothing = {-1, -1};
    if (!only_linears_read(p, site))
        return nothing;
    for (int value = site, channel = 0;;) {
        int i = p->values[value].made_by;
        if (i < 0)
            return nothing;
        const struct bs_op *op = &p->ops[i];
        switch (op->kind) {
        case BS_OP_NORM:
            return bs_norm_vectors(bs_norm_kind_at(b->a, (enum bs_norm_place)op->detail)) > 0
                       ? (struct bs_fold){i, -1}
                       : nothing;
        case BS_OP_DIVIDE:
            return (struct bs_fold){i, -1};
        case BS_OP_LINEAR: {
            int slot = op->slot;
            for (; channel > 0; slot++)
                channel -= p->slots[slot].out;
            return op->num_slots == 1 || b->a->family->fused_v_folds ? (struct bs_fold){i, slot}
                                                                     : nothing;
        }
        case BS_OP_ATTEND:
            value = op->in[2];
            break;
        case BS_OP_PART:
            channel += op->detail;
            value = op->in[0];
            break;
        case BS_OP_COPY:
            value = op->in[0];
            break;
        case BS_OP_ACTIVATE:
            value = op->in[1] >= 0 ? op->in[1] : op->in[0]; /* else DIVIDE stands after it */
            break;
        default:
            return nothing;
        }
    }
}

/* What the linear of this role makes. */
static int output_of(const struct bs_program *p, const char *role)
{
    int slot = bs_program_slot(p, role), i = 0;
    while (p->ops[i].kind != BS_OP_LINEAR || p->ops[i].slot != slot)
        i++;
    return p->ops[i].out;
}

static bool is_read_by(const struct bs_program *p, int value, const char *role)
{
    int slot = bs_program_slot(p, role);
    return slot >= 0 && p->slots[slot].input == value;
}

static struct bs_part find_inspected(const struct bs_builder *b, int site)
{
    const struct bs_family *f = b->a->family;
    const struct bs_program *p = b->p;
    bool attends = is_read_by(p, site, "q") || is_read_by(p, site, "q_a");
    bool mixes = p->num_experts ? is_read_by(p, site, "router") : is_read_by(p, site, "up");
    enum bs_module module = attends && mixes ? BS_MODULE_BLOCK
                            : attends        ? f->attention_module
                            : mixes          ? f->mlp_module
                                             : BS_MODULE_LINEAR;
    switch (module) {
    case BS_MODULE_ATTENTION:
        return (struct bs_part){site, output_of(p, "o")};
    case BS_MODULE_MLP:
        return (struct bs_part){site, bs_program_find(p, "mlp_output")};
    case BS_MODULE_BLOCK:
        return bs_program_whole(p);
    default:
        return (struct bs_part){-1, -1};
    }
}

/* The program of a layer. */
static enum bs_status build(const struct bs_architecture *a, int layer, struct bs_program *program,
                            struct bs_error *err)
{
    struct bs_builder b = {
        .a = a, .p = program, .expert = -1, .has_experts = bs_has_experts(a, layer)};
    *program = (struct bs_program){.num_ops = 0};
    int x = bs_build_value(&b, a->hidden_size);
    program->values[x].residual = true;
    program->values[x].made_by = -1;
    program->output = residual(&b, wirings[a->wiring](&b, x), "resid_post");
    program->values[program->output].residual = true;
    if (b.full)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: a block of more than %d values, %d linears or %d operations",
                       a->family->model_type, BS_MAX_VALUES, BS_MAX_SLOTS, BS_MAX_OPS);
    if (b.unnamed)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: the family's row has no name for the linear '%s'",
                       a->family->model_type, b.unnamed);
    int depths[BS_MAX_VALUES];
    bs_program_depths(program, depths);
    if (depths[program->output] > BS_MAX_DEPTHS)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: more than %d linears one after the other",
                       a->family->model_type, BS_MAX_DEPTHS);
    find_reads(program);
    find_homes(program);
    share_homes(&b);
    list_inputs(program);
    for (int k = 0; k < program->num_inputs; k++) {
        int site = program->inputs[k];
        program->folds[site] = find_fold(&b, site);
        program->inspected[site] = find_inspected(&b, site);
    }
    return bs_program_check(program, err);
}

enum bs_status bs_programs_build(struct bs_architecture *a, struct bs_error *err)
{
    a->num_kinds = 1;
    a->value_dim = a->value_dim ? a->value_dim : a->head_dim;
    for (int l = 0; l < a->num_layers; l++) {
        a->kinds[l] = bs_has_experts(a, l) != bs_has_experts(a, 0);
        a->num_kinds = a->kinds[l] ? BS_MAX_KINDS : a->num_kinds;
    }
    for (int k = 0; k < a->num_kinds; k++)
        if (build(a, bs_first_of_kind(a, k), &a->programs[k], err))
            return err->status;
    return BS_OK;
}
