/* The MLP in a block's program, and the experts that stand in its place. */
#include "eval/model/program_build.h"

#include <string.h>

#include "eval/linalg/nonlinearity.h"
#include "eval/model/experts.h"

/* act(gate x) * up x. */
static int gated(struct bs_builder *b, const struct bs_call *gate, const struct bs_call *up, int in)
{
    struct bs_op act = {.kind = b->a->family->clamped_gate ? BS_OP_CLAMPED_GATE : BS_OP_ACTIVATE,
                        .in = {-1, -1, -1},
                        .slot = -1};
    act.in[0] = bs_build_linear(b, *gate, in);
    act.in[1] = bs_build_linear(b, *up, in);
    return bs_build_op(b, act, gate->out);
}

/* What an expert makes of its rows. */
static int expert_mlp(struct bs_builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    const struct bs_call gate = {"gate", a->experts.size, BS_BIASES_MLP};
    const struct bs_call up = {"up", a->experts.size, BS_BIASES_MLP};
    const struct bs_call down = {"down", a->hidden_size, BS_BIASES_MLP};
    in = bs_build_site(b, in, bs_expert_places[b->expert].input, BS_SITE_INPUT);
    int hidden = gated(b, &gate, &up, in);
    hidden = bs_build_site(b, hidden, bs_expert_places[b->expert].down_input, BS_SITE_INPUT);
    return bs_build_linear(b, down, hidden);
}

/* Whether the family's row names a linear of this role. */
static bool has_role(const struct bs_family *family, const char *role)
{
    for (int i = 0; i < BS_MAX_ROLES && family->linears[i].role; i++)
        if (!strcmp(family->linears[i].role, role))
            return true;
    return false;
}

/* A linear that decides how much of something there is: rounded only where it is named. */
static int router(struct bs_builder *b, struct bs_call call, int in)
{
    int products = bs_build_linear(b, call, in);
    b->p->slots[b->p->num_slots - 1].routes = true;
    return products;
}

/* The sum of the chosen experts and of the one that all tokens go to, perhaps weighted. */
static int add_shared(struct bs_builder *b, int in, int sum)
{
    const struct bs_architecture *a = b->a;
    const struct bs_call gate = {"shared_gate", a->experts.shared_size, BS_BIASES_SHARED};
    const struct bs_call up = {"shared_up", a->experts.shared_size, BS_BIASES_SHARED};
    const struct bs_call down = {"shared_down", a->hidden_size, BS_BIASES_SHARED};
    const struct bs_call weight = {"shared_router", 1, 0};
    int hidden = gated(b, &gate, &up, in);
    if (a->stored.fused_shared)
        bs_build_share(b, 2, a->stored.fused_shared);
    hidden = bs_build_site(b, hidden, "mlp.shared_expert.down_input", BS_SITE_INPUT);
    int out = bs_build_linear(b, down, hidden);
    if (has_role(a->family, "shared_router")) {
        const struct bs_op weigh = {
            .kind = BS_OP_WEIGH, .in = {out, router(b, weight, in), -1}, .slot = -1};
        out = bs_build_op(b, weigh, a->hidden_size);
    }
    const struct bs_op add = {
        .kind = BS_OP_ADD, .in = {sum, out, -1}, .slot = -1, .detail = BS_ADD_PLAIN};
    return bs_build_op(b, add, a->hidden_size);
}

/* The weighted sum of what experts make of the tokens that go to them. */
static int experts(struct bs_builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    const struct bs_call call = {"router", a->experts.count, BS_BIASES_ROUTER};
    int products = router(b, call, in), sum = -1;
    b->p->slots[b->p->num_slots - 1].tensor = NULL;
    int routing = bs_build_like(b, BS_OP_ROUTE, products, 0);
    for (int e = 0; e < a->experts.count && !b->full; e++) {
        int first = b->p->num_values;
        b->expert = e;
        const struct bs_op gather = {
            .kind = BS_OP_GATHER, .in = {in, routing, -1}, .slot = -1, .detail = e};
        int out = expert_mlp(b, bs_build_op(b, gather, a->hidden_size));
        b->expert = -1;
        const struct bs_op scatter = {
            .kind = BS_OP_SCATTER, .in = {out, routing, sum}, .slot = -1, .detail = e};
        sum = bs_build_op(b, scatter, a->hidden_size);
        b->expert_values = b->p->num_values - first;
    }
    b->p->num_experts = a->experts.count;
    b->p->share = (double)a->experts.per_token / a->experts.count;
    if (a->experts.shared_size)
        sum = add_shared(b, in, sum);
    return bs_build_site(b, sum, "mlp_output", BS_SITE_OUTPUT);
}

int bs_build_mlp(struct bs_builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    const struct bs_call gate = {"gate", a->intermediate_size, BS_BIASES_MLP};
    const struct bs_call up = {"up", a->intermediate_size, BS_BIASES_MLP};
    const struct bs_call down = {"down", a->hidden_size, BS_BIASES_MLP};
    int hidden;
    if (b->has_experts)
        return experts(b, in);
    if (a->family->gated)
        hidden = gated(b, &gate, &up, in);
    else
        hidden = bs_build_like(b, BS_OP_ACTIVATE, bs_build_linear(b, up, in), 0);
    if (a->stored.fused_gate_up)
        bs_build_share(b, 2, a->stored.fused_gate_up);
    if (!a->family->gated && !bs_nonlinearity_passes_factors(a->activation))
        hidden = bs_build_like(b, BS_OP_DIVIDE, hidden, 0);
    hidden = bs_build_site(b, hidden, "down_input", BS_SITE_INPUT);
    return bs_build_site(b, bs_build_linear(b, down, hidden), "mlp_output", BS_SITE_OUTPUT);
}
