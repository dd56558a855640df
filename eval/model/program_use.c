/* What is asked of a block's program. */
#include <string.h>

#include "eval/model/operations.h"
#include "eval/model/program.h"

const char bs_probabilities_name[] = "attn_probs";

const char *bs_site_word(enum bs_site kind)
{
    static const char *const words[BS_NUM_SITES] = {[BS_SITE_NONE] = "none",
                                                    [BS_SITE_INPUT] = "input",
                                                    [BS_SITE_ROUTER] = "router",
                                                    [BS_SITE_QKV] = "qkv",
                                                    [BS_SITE_QUERY] = "query",
                                                    [BS_SITE_CACHE] = "cache",
                                                    [BS_SITE_PROBABILITIES] = "probabilities",
                                                    [BS_SITE_OUTPUT] = "output",
                                                    [BS_SITE_RESIDUAL] = "residual"};
    return words[kind];
}

int bs_program_find(const struct bs_program *p, const char *name)
{
    for (int v = 0; v < p->num_values; v++)
        if (p->values[v].name && !strcmp(p->values[v].name, name))
            return v;
    return -1;
}

int bs_program_slot(const struct bs_program *p, const char *role)
{
    for (int s = 0; s < p->num_slots; s++)
        if (!strcmp(p->slots[s].role, role))
            return s;
    return -1;
}

int bs_program_expert_slot(const struct bs_program *p, const char *role)
{
    for (int s = 0; s < p->num_slots; s++)
        if (p->slots[s].expert >= 0 && !strcmp(p->slots[s].role, role))
            return s;
    return -1;
}

int bs_program_before_rotary(const struct bs_program *p, int value)
{
    int i = p->values[value].made_by;
    return i >= 0 && p->ops[i].kind == BS_OP_ROTARY ? p->ops[i].in[0] : value;
}

int bs_program_cached(const struct bs_program *p, int site, bool pre_rope)
{
    return pre_rope ? bs_program_before_rotary(p, site) : site;
}

int bs_program_readers(const struct bs_program *p, int value, int slots[BS_MAX_SLOTS])
{
    int count = 0;
    for (int s = 0; s < p->num_slots; s++)
        if (p->slots[s].input == value)
            slots[count++] = s;
    return count;
}

bool bs_program_is_from(const struct bs_program *p, int value, int site)
{
    while (value != site) {
        int i = p->values[value].made_by;
        if (i < 0 || (p->ops[i].kind != BS_OP_GATHER && p->ops[i].kind != BS_OP_COPY))
            return false;
        value = p->ops[i].in[0];
    }
    return true;
}

int bs_program_scaled(const struct bs_program *p, int site, int slots[BS_MAX_SLOTS])
{
    int count = 0;
    for (int s = 0; s < p->num_slots; s++)
        if (bs_program_is_from(p, p->slots[s].input, site))
            slots[count++] = s;
    return count;
}

void bs_program_depths(const struct bs_program *p, int depths[BS_MAX_VALUES])
{
    for (int v = 0; v < p->num_values; v++)
        depths[v] = 0;
    for (int i = 0; i < p->num_ops; i++) {
        int *own = &depths[p->ops[i].out];
        for (int k = 0; k < 3; k++)
            if (p->ops[i].in[k] >= 0 && depths[p->ops[i].in[k]] > *own)
                *own = depths[p->ops[i].in[k]];
        *own += p->ops[i].kind == BS_OP_LINEAR;
    }
}

double bs_value_rows(const struct bs_program *p, int value, double tokens)
{
    return p->values[value].expert < 0 ? tokens : tokens * p->share;
}

static double slot_weights(const struct bs_slot *slot) { return (double)slot->out * slot->in; }

double bs_site_weights(const struct bs_program *p, int value)
{
    double weights = 0;
    for (int s = 0; s < p->num_slots; s++)
        weights += bs_program_is_from(p, p->slots[s].input, value) ? slot_weights(&p->slots[s]) : 0;
    return weights;
}

double bs_program_weights(const struct bs_program *p)
{
    double weights = 0;
    for (int s = 0; s < p->num_slots; s++)
        weights += slot_weights(&p->slots[s]);
    return weights;
}

bool bs_is_made_by(const struct bs_program *p, int value, enum bs_op_kind kind)
{
    int op = p->values[value].made_by;
    return op >= 0 && p->ops[op].out == value && p->ops[op].kind == kind;
}

bool bs_folds_into(const struct bs_program *p, int site, enum bs_op_kind kind)
{
    int op = p->folds[site].op;
    return op >= 0 && p->ops[op].kind == kind;
}

static int num_reads(const struct bs_program *p, int value)
{
    int reads = 0;
    for (int i = 0; i < p->num_ops; i++)
        for (int k = 0; k < 3; k++)
            reads += p->ops[i].in[k] == value;
    return reads;
}

/* The linear that makes `channel` of an op's outputs. */
static int slot_at(const struct bs_program *p, const struct bs_op *op, int channel)
{
    int slot = op->slot;
    for (; channel >= p->slots[slot].out; slot++)
        channel -= p->slots[slot].out;
    return slot;
}

int bs_program_source(const struct bs_program *p, int site, int *between)
{
    int channel = 0;
    *between = -1;
    for (int i = 0; i < p->num_ops; i++)
        for (int k = 0; k < 3; k++)
            if (p->ops[i].in[k] == site && p->ops[i].kind != BS_OP_LINEAR)
                return -1;
    for (int value = site;;) {
        int i = *between = p->values[value].made_by;
        if (i < 0)
            return -1;
        const struct bs_op *op = &p->ops[i];
        if (op->kind == BS_OP_LINEAR)
            return slot_at(p, op, channel);
        if (op->kind == BS_OP_PART)
            channel += op->detail;
        else if (op->kind != BS_OP_ATTEND && op->kind != BS_OP_COPY)
            return -1;
        value = op->in[op->kind == BS_OP_ATTEND ? 2 : 0];
        if (op->kind != BS_OP_PART && num_reads(p, value) > 1) {
            *between = -1;
            return -1;
        }
    }
}

/* --- parts --- */

bool bs_program_inspected(const struct bs_program *p, int value, struct bs_part *part)
{
    *part = p->inspected[value];
    return part->to >= 0;
}

struct bs_part bs_program_whole(const struct bs_program *p)
{
    return (struct bs_part){0, p->output};
}

bool bs_program_range(const struct bs_program *p, struct bs_part part, bool ops[BS_MAX_OPS])
{
    bool needed[BS_MAX_VALUES] = {false}, whole = true;
    needed[part.to] = true;
    for (int i = p->num_ops - 1; i >= 0; i--) {
        const struct bs_op *op = &p->ops[i];
        ops[i] = needed[op->out] && op->out != part.from;
        if (!ops[i])
            continue;
        for (int k = 0; k < 3; k++)
            if (op->in[k] >= 0)
                needed[op->in[k]] = true;
        whole &= op->kind == BS_OP_PART || p->values[op->out].home != p->values[part.from].home;
    }
    return whole && needed[part.from] && (part.from == 0 || !needed[0]);
}

static double op_flops(const struct bs_program *p, int i, int tokens)
{
    const struct bs_op_type *type = &bs_op_types[p->ops[i].kind];
    return type->flops ? type->flops(p, &p->ops[i], tokens) : 0;
}

double bs_part_flops(const struct bs_program *p, struct bs_part part, int tokens)
{
    bool ops[BS_MAX_OPS];
    double flops = 0;
    bs_program_range(p, part, ops);
    for (int i = 0; i < p->num_ops; i++)
        flops += ops[i] ? op_flops(p, i, tokens) : 0;
    return flops;
}

double bs_flops_until(const struct bs_program *p, int value, int tokens)
{
    double flops = 0;
    for (int i = 0; i <= p->values[value].made_by; i++)
        flops += op_flops(p, i, tokens);
    return flops;
}

/* --- memory --- */

/* Values that have this one as their home: when the first is made, the last read, and what the
 * largest takes. */
struct span {
    int made_by, last_read;
    size_t floats;
};

static struct span span_of(const struct bs_program *p, int home, int tokens)
{
    struct span span = {.made_by = p->values[home].made_by, .last_read = -1};
    size_t rows = (size_t)tokens, codes = 0;
    for (int v = home; v < p->num_values; v++) {
        const struct bs_value *value = &p->values[v];
        if (value->home != home)
            continue;
        span.last_read = value->last_read > span.last_read ? value->last_read : span.last_read;
        if (bs_is_input(value))
            codes = bs_kernels_room_floats(tokens, value->width);
    }
    span.floats = bs_scratch_floats(rows * (size_t)p->values[home].width) + codes;
    return span;
}

/* The lowest place where the span is clear of those that stand while it is used. */
static size_t lowest(const struct span *span, const struct span *spans, const int *homes,
                     int num_homes, const size_t *at)
{
    size_t place = 0;
    for (int k = 0; k < num_homes; k++) {
        const struct span *other = &spans[homes[k]];
        size_t from = at[homes[k]], to = from + other->floats;
        bool together = other->made_by <= span->last_read && span->made_by <= other->last_read;
        if (!together || to <= place || from >= place + span->floats)
            continue;
        place = to;
        k = -1;
    }
    return place;
}

/* The largest come first: of few sizes that leaves hardly a gap. */
void bs_program_lay(const struct bs_program *p, int tokens, struct bs_frame_layout *layout)
{
    struct span spans[BS_MAX_VALUES];
    int homes[BS_MAX_VALUES], num_homes = 0;
    bool stands[BS_MAX_VALUES] = {false};
    *layout = (struct bs_frame_layout){.floats = 0};
    for (int v = 1; v < p->num_values; v++)
        if (p->values[v].home == v)
            spans[v] = span_of(p, v, tokens);
    for (;;) {
        int next = 0;
        for (int v = 1; v < p->num_values; v++)
            if (p->values[v].home == v && !stands[v] &&
                (!next || spans[v].floats > spans[next].floats))
                next = v;
        if (!next)
            return;
        size_t at = lowest(&spans[next], spans, homes, num_homes, layout->at);
        size_t end = at + spans[next].floats;
        layout->at[next] = at;
        layout->floats = end > layout->floats ? end : layout->floats;
        stands[next] = true;
        homes[num_homes++] = next;
    }
}

/* --- places --- */

int bs_program_places(const struct bs_program *p, struct bs_place places[BS_MAX_PLACES])
{
    int count = 0;
    for (int s = 0; s < p->num_slots; s++)
        places[count++] =
            (struct bs_place){p->slots[s].name, "weight", p->slots[s].out, p->slots[s].in, s};
    for (int v = 0; v < p->num_values; v++)
        if (p->values[v].name)
            places[count++] = (struct bs_place){p->values[v].name, bs_site_word(p->values[v].kind),
                                                0, p->values[v].width, v};
    return count;
}

/* Whether both linears stand in one set of roles, and read the same. */
static bool are_fused(const struct bs_slot *a, const struct bs_slot *b)
{
    static const char *const sets[][4] = {
        {"q", "k", "v", NULL}, {"gate", "up", NULL}, {"shared_gate", "shared_up", NULL}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        int both = 0;
        for (int k = 0; sets[i][k]; k++)
            both += !strcmp(sets[i][k], a->role) + !strcmp(sets[i][k], b->role);
        if (both == 2)
            return a->input == b->input && a->expert == b->expert;
    }
    return false;
}

void bs_program_fused(const struct bs_program *program, int slot, int *first, int *last)
{
    const struct bs_slot *slots = program->slots;
    for (*first = slot; *first > 0 && are_fused(&slots[slot], &slots[*first - 1]);)
        --*first;
    for (*last = slot;
         *last + 1 < program->num_slots && are_fused(&slots[slot], &slots[*last + 1]);)
        ++*last;
}
