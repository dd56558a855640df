/* How the block of an architecture is wired: the one place where a wiring is spelt out. */
#include "eval/model/program.h"

#include <string.h>

#include "eval/model/experts.h"
#include "eval/model/model.h"
#include "eval/model/operations.h"

struct builder {
    const struct bs_architecture *a;
    struct bs_program *p;
    int expert;          /* whose values and linears are added; -1: none's */
    int expert_values;   /* that each expert has */
    bool full;           /* there was no room for a value or an op */
    const char *unnamed; /* a role that the family's row has no name for */
};

/* --- values and ops --- */

static int add_value(struct builder *b, int width)
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

/* A new value of this width, which the op makes. */
static int emit(struct builder *b, struct bs_op op, int width)
{
    struct bs_program *p = b->p;
    op.out = add_value(b, width);
    b->full |= p->num_ops == BS_MAX_OPS;
    if (!b->full)
        p->ops[p->num_ops++] = op;
    return op.out;
}

/* A new value of the same width and heads. */
static int emit_like(struct builder *b, enum bs_op_kind kind, int in, int detail)
{
    const struct bs_op op = {.kind = kind, .in = {in, -1, -1}, .slot = -1, .detail = detail};
    int value = emit(b, op, b->p->values[in].width);
    b->p->values[value].heads = b->p->values[in].heads;
    return value;
}

/* The value as a site of this name: itself, or a copy where it has a name already. */
static int as_site(struct builder *b, int value, const char *name, enum bs_site kind)
{
    if (value == 0 || b->p->values[value].name)
        value = emit_like(b, BS_OP_COPY, value, 0);
    b->p->values[value].name = name;
    b->p->values[value].kind = kind;
    return value;
}

/* A linear of the program, as it is called for. */
struct call {
    const char *role;
    int out;
    enum bs_biases biases; /* the set that it has its bias in */
};

/* An expert's linears have the same names in every family. */
static const char *name_of(struct builder *b, const struct bs_family *family, const char *role)
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

static void add_slot(struct builder *b, const struct call *call, int input)
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

/* The outputs of these linears side by side. */
static int emit_linears(struct builder *b, const struct call *calls, int count, int in)
{
    const struct bs_op op = {
        .kind = BS_OP_LINEAR, .in = {in, -1, -1}, .slot = b->p->num_slots, .num_slots = count};
    int width = 0;
    for (int i = 0; i < count; i++) {
        add_slot(b, &calls[i], in);
        width += calls[i].out;
    }
    return emit(b, op, width);
}

static int emit_linear(struct builder *b, struct call call, int in)
{
    return emit_linears(b, &call, 1, in);
}

/* The last `count` linears stand in one tensor: all rows of one, all rows of the next. */
static void share_tensor(struct builder *b, int count, const char *tensor)
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

/* q, k and v, the last three linears, stand in one tensor: for each key-value head the rows of its
 * queries, its k, its v. */
static void interleave_heads(struct builder *b)
{
    int d = b->a->head_dim, queries = b->a->num_heads / b->a->num_kv_heads;
    const struct bs_tensor_rows rows[3] = {{0, queries * d, (queries + 2) * d, 0},
                                           {queries * d, d, (queries + 2) * d, 0},
                                           {(queries + 1) * d, d, (queries + 2) * d, 0}};
    for (int i = 0; i < 3 && !b->full; i++)
        b->p->slots[b->p->num_slots - 3 + i].rows = rows[i];
}

/* q and k, of the last three linears: the channels of a head that are rotated together follow one
 * another in the tensor. */
static void pair_rows(struct builder *b)
{
    for (int i = 0; i < 2 && !b->full; i++)
        b->p->slots[b->p->num_slots - 3 + i].rows.paired = b->a->head_dim;
}

/* The value after the norm at this place, or itself where blocks have none there. */
static int normed(struct builder *b, enum bs_norm_place place, int in)
{
    return bs_has_norm(b->a, place) ? emit_like(b, BS_OP_NORM, in, (int)place) : in;
}

static int emit_add(struct builder *b, int stream, int branch)
{
    const struct bs_op op = {.kind = BS_OP_ADD, .in = {stream, branch, -1}, .slot = -1};
    int sum = emit(b, op, b->p->values[stream].width);
    b->p->values[sum].residual = true;
    return sum;
}

/* --- attention and the MLP --- */

/* q, k and v, in this order, as linears make them: rows of all three side by side. Of one tensor
 * they are one site. */
static void project(struct builder *b, int in, int qkv[3])
{
    static const char *const names[3] = {"q", "k", "v"};
    const struct bs_architecture *a = b->a;
    struct bs_program *p = b->p;
    const int queries = a->num_heads * a->head_dim, keys = a->num_kv_heads * a->head_dim;
    const struct call calls[3] = {
        {"q", queries, BS_BIASES_QKV}, {"k", keys, BS_BIASES_QKV}, {"v", keys, BS_BIASES_QKV}};
    bool fused = a->family->fused_qkv != NULL;
    int all = 0, channel = 0;
    if (fused) {
        all = as_site(b, emit_linears(b, calls, 3, in), "qkv", BS_SITE_QKV);
        if (a->qkv_clip > 0)
            all = emit_like(b, BS_OP_CLIP, all, 0);
    } else {
        all = add_value(b, queries + 2 * keys);
    }
    for (int i = 0; i < 3; i++) {
        const struct bs_op part = {
            .kind = BS_OP_PART, .in = {all, -1, -1}, .slot = -1, .detail = channel};
        qkv[i] = fused ? emit(b, part, calls[i].out) : emit_linear(b, calls[i], in);
        struct bs_value *value = &p->values[qkv[i]];
        value->heads = i ? a->num_kv_heads : a->num_heads;
        value->home = all;
        value->channel = channel;
        channel += calls[i].out;
        if (!fused)
            as_site(b, qkv[i], names[i], BS_SITE_QKV);
    }
    if (a->stored.fused_qkv)
        share_tensor(b, 3, a->stored.fused_qkv);
    if (a->stored.fused == BS_FUSED_GROUPS)
        interleave_heads(b);
    if (a->stored.paired_rows)
        pair_rows(b);
}

/* Attention's output of its input. */
static int attention(struct builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    int qkv[3];
    project(b, in, qkv);
    qkv[0] = normed(b, BS_NORM_Q, qkv[0]);
    qkv[1] = normed(b, BS_NORM_K, qkv[1]);
    for (int i = 0; i < 3 && a->qkv_clip > 0 && !a->family->fused_qkv; i++)
        qkv[i] = emit_like(b, BS_OP_CLIP, qkv[i], 0);
    for (int i = 0; i < 2 && a->rotary_dim; i++)
        qkv[i] = emit_like(b, BS_OP_ROTARY, qkv[i], 0);
    if (a->query_scaling.beta > 0)
        qkv[0] = emit_like(b, BS_OP_SCALE, qkv[0], 0);
    const struct bs_op attend = {.kind = BS_OP_ATTEND,
                                 .in = {as_site(b, qkv[0], "query", BS_SITE_QUERY),
                                        as_site(b, qkv[1], "key", BS_SITE_CACHE),
                                        as_site(b, qkv[2], "value", BS_SITE_CACHE)},
                                 .slot = -1};
    int heads = emit(b, attend, a->num_heads * a->head_dim);
    b->p->values[heads].heads = a->num_heads;
    heads = as_site(b, heads, "o_input", BS_SITE_INPUT);
    const struct call o = {"o", a->hidden_size, BS_BIASES_O};
    return as_site(b, emit_linear(b, o, heads), "attn_output", BS_SITE_OUTPUT);
}

/* What an expert makes of its rows. */
static int expert_mlp(struct builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    const struct call gate = {"gate", a->experts.size, BS_BIASES_MLP};
    const struct call up = {"up", a->experts.size, BS_BIASES_MLP};
    const struct call down = {"down", a->hidden_size, BS_BIASES_MLP};
    in = as_site(b, in, bs_expert_places[b->expert].input, BS_SITE_INPUT);
    struct bs_op act = {.kind = BS_OP_ACTIVATE, .in = {-1, -1, -1}, .slot = -1};
    act.in[0] = emit_linear(b, gate, in);
    act.in[1] = emit_linear(b, up, in);
    int hidden = emit(b, act, a->experts.size);
    hidden = as_site(b, hidden, bs_expert_places[b->expert].down_input, BS_SITE_INPUT);
    return emit_linear(b, down, hidden);
}

/* The weighted sum of what experts make of the tokens that go to them. */
static int experts(struct builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    const struct call router = {"router", a->experts.count, BS_BIASES_ROUTER};
    int products = emit_linear(b, router, in), sum = -1;
    b->p->slots[b->p->num_slots - 1].routes = true;
    b->p->slots[b->p->num_slots - 1].tensor = NULL;
    int routing = emit_like(b, BS_OP_ROUTE, products, 0);
    for (int e = 0; e < a->experts.count && !b->full; e++) {
        int first = b->p->num_values;
        b->expert = e;
        const struct bs_op gather = {
            .kind = BS_OP_GATHER, .in = {in, routing, -1}, .slot = -1, .detail = e};
        int out = expert_mlp(b, emit(b, gather, a->hidden_size));
        b->expert = -1;
        const struct bs_op scatter = {
            .kind = BS_OP_SCATTER, .in = {out, routing, sum}, .slot = -1, .detail = e};
        sum = emit(b, scatter, a->hidden_size);
        b->expert_values = b->p->num_values - first;
    }
    b->p->num_experts = a->experts.count;
    b->p->share = (double)a->experts.per_token / a->experts.count;
    return as_site(b, sum, "mlp_output", BS_SITE_OUTPUT);
}

/* The MLP's output of its input. */
static int mlp(struct builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    struct bs_op act = {.kind = BS_OP_ACTIVATE, .in = {-1, -1, -1}, .slot = -1};
    const struct call gate = {"gate", a->intermediate_size, BS_BIASES_MLP};
    const struct call up = {"up", a->intermediate_size, BS_BIASES_MLP};
    const struct call down = {"down", a->hidden_size, BS_BIASES_MLP};
    if (a->experts.count)
        return experts(b, in);
    act.in[0] = emit_linear(b, a->family->gated ? gate : up, in);
    if (a->family->gated)
        act.in[1] = emit_linear(b, up, in);
    if (a->stored.fused_gate_up)
        share_tensor(b, 2, a->stored.fused_gate_up);
    int hidden = emit(b, act, a->intermediate_size);
    if (!a->family->gated && !bs_nonlinearity_passes_factors(a->activation))
        hidden = emit_like(b, BS_OP_DIVIDE, hidden, 0);
    hidden = as_site(b, hidden, "down_input", BS_SITE_INPUT);
    return as_site(b, emit_linear(b, down, hidden), "mlp_output", BS_SITE_OUTPUT);
}

/* --- the wirings: each states all of it, of the residual stream x --- */

static int attention_out(struct builder *b, int in)
{
    return normed(b, BS_NORM_ATTENTION_OUT, attention(b, in));
}

static int mlp_out(struct builder *b, int in) { return normed(b, BS_NORM_MLP_OUT, mlp(b, in)); }

/* What attention, or the MLP, reads: the value after the norm before it. */
static int attention_in(struct builder *b, int x)
{
    return as_site(b, normed(b, BS_NORM_ATTENTION, x), "attn_input", BS_SITE_INPUT);
}

static int mlp_in(struct builder *b, int x)
{
    return as_site(b, normed(b, BS_NORM_MLP, x), "mlp_input",
                   b->a->experts.count ? BS_SITE_ROUTER : BS_SITE_INPUT);
}

static int residual(struct builder *b, int sum, const char *name)
{
    return as_site(b, sum, name, BS_SITE_RESIDUAL);
}

static int pre_norm(struct builder *b, int x)
{
    int middle = residual(b, emit_add(b, x, attention_out(b, attention_in(b, x))), "resid_mid");
    return emit_add(b, middle, mlp_out(b, mlp_in(b, middle)));
}

/* What linears read is the residual stream itself, and goes on as they read it. */
static int post_norm(struct builder *b, int x)
{
    int in = as_site(b, x, "attn_input", BS_SITE_INPUT);
    b->p->values[in].residual = true;
    int middle = normed(b, BS_NORM_ATTENTION, emit_add(b, in, attention_out(b, in)));
    middle = as_site(b, middle, "mlp_input", BS_SITE_INPUT);
    b->p->values[middle].residual = true;
    return normed(b, BS_NORM_MLP, emit_add(b, middle, mlp_out(b, middle)));
}

static int parallel(struct builder *b, int x)
{
    int in = attention_in(b, x), sum = emit_add(b, x, attention_out(b, in));
    b->p->values[sum].residual = false; /* half of it */
    return emit_add(b, sum, mlp_out(b, bs_has_norm(b->a, BS_NORM_MLP) ? mlp_in(b, x) : in));
}

static int normed_residual(struct builder *b, int x)
{
    int in = attention_in(b, x);
    b->p->values[in].residual = true;
    int middle = residual(b, emit_add(b, in, attention_out(b, in)), "resid_mid");
    in = mlp_in(b, middle);
    b->p->values[in].residual = true;
    return emit_add(b, in, mlp_out(b, in));
}

static int (*const wirings[])(struct builder *, int) = {[BS_PRE_NORM] = pre_norm,
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
static void share_homes(const struct builder *b)
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
            if (op->in[k] >= 0 && type->overwrites >> k & 1 && may_overwrite(p, op->in[k], i)) {
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
static struct bs_fold find_fold(const struct builder *b, int site)
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

static struct bs_part find_inspected(const struct builder *b, int site)
{
    const struct bs_family *f = b->a->family;
    const struct bs_program *p = b->p;
    bool attends = is_read_by(p, site, "q");
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

enum bs_status bs_program_build(const struct bs_architecture *a, struct bs_program *program,
                                struct bs_error *err)
{
    struct builder b = {.a = a, .p = program, .expert = -1};
    *program = (struct bs_program){.num_ops = 0};
    int x = add_value(&b, a->hidden_size);
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
