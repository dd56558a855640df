/* Attention in a block's program. */
#include "eval/model/program_build.h"

/* q, k and v, the last three linears, stand in one tensor: for each key-value head the rows of its
 * queries, its k, its v. */
static void interleave_heads(struct bs_builder *b)
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
static void pair_rows(struct bs_builder *b)
{
    for (int i = 0; i < 2 && !b->full; i++)
        b->p->slots[b->p->num_slots - 3 + i].rows.paired = b->a->head_dim;
}

/* q, k and v, in this order, as linears make them: rows of all three side by side. Of one tensor
 * they are one site. */
static void project(struct bs_builder *b, int in, int qkv[3])
{
    static const char *const names[3] = {"q", "k", "v"};
    const struct bs_architecture *a = b->a;
    struct bs_program *p = b->p;
    const int queries = a->num_heads * a->head_dim, keys = a->num_kv_heads * a->head_dim;
    const struct bs_call calls[3] = {
        {"q", queries, BS_BIASES_QKV}, {"k", keys, BS_BIASES_QKV}, {"v", keys, BS_BIASES_QKV}};
    bool fused = a->family->fused_qkv != NULL;
    int all = 0, channel = 0;
    if (fused) {
        all = bs_build_site(b, bs_build_linears(b, calls, 3, in), "qkv", BS_SITE_QKV);
        if (a->qkv_clip > 0)
            all = bs_build_like(b, BS_OP_CLIP, all, 0);
    } else {
        all = bs_build_value(b, queries + 2 * keys);
    }
    for (int i = 0; i < 3; i++) {
        const struct bs_op part = {
            .kind = BS_OP_PART, .in = {all, -1, -1}, .slot = -1, .detail = channel};
        qkv[i] = fused ? bs_build_op(b, part, calls[i].out) : bs_build_linear(b, calls[i], in);
        struct bs_value *value = &p->values[qkv[i]];
        value->heads = i ? a->num_kv_heads : a->num_heads;
        value->home = all;
        value->channel = channel;
        channel += calls[i].out;
        if (!fused)
            bs_build_site(b, qkv[i], names[i], BS_SITE_QKV);
    }
    if (a->stored.fused_qkv)
        bs_build_share(b, 3, a->stored.fused_qkv);
    if (a->stored.fused == BS_FUSED_GROUPS)
        interleave_heads(b);
    if (a->stored.paired_rows)
        pair_rows(b);
}

/* q, k and v with their norms, clipped and at their positions. */
static void prepare(struct bs_builder *b, int in, int qkv[3])
{
    const struct bs_architecture *a = b->a;
    project(b, in, qkv);
    qkv[0] = bs_build_norm(b, BS_NORM_Q, qkv[0]);
    qkv[1] = bs_build_norm(b, BS_NORM_K, qkv[1]);
    for (int i = 0; i < 3 && a->qkv_clip > 0 && !a->family->fused_qkv; i++)
        qkv[i] = bs_build_like(b, BS_OP_CLIP, qkv[i], 0);
    for (int i = 0; i < 2 && a->rotary_dim; i++)
        qkv[i] = bs_build_like(b, BS_OP_ROTARY, qkv[i], 0);
    for (int i = 0; i < 2 && a->unit_qk; i++)
        qkv[i] = bs_build_like(b, BS_OP_UNIT, qkv[i], 0);
}

/* --- latent attention --- */

/* Some channels of each head, `first` and on. */
static int head_part(struct bs_builder *b, int in, int first, int width)
{
    const struct bs_op op = {.kind = BS_OP_HEADS, .in = {in, -1, -1}, .slot = -1, .detail = first};
    int heads = b->p->values[in].heads, value = bs_build_op(b, op, heads * width);
    b->p->values[value].heads = heads;
    return value;
}

/* Channels `first` and on of what one linear made. */
static int part(struct bs_builder *b, int in, int first, int width)
{
    const struct bs_op op = {.kind = BS_OP_PART, .in = {in, -1, -1}, .slot = -1, .detail = first};
    return bs_build_op(b, op, width);
}

/* The query: of the input itself, or of what is left of it. */
static int latent_query(struct bs_builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    const struct bs_call direct = {"q", a->num_heads * a->head_dim, 0};
    const struct bs_call down = {"q_a", a->latent.query, BS_BIASES_QKV};
    const struct bs_call up = {"q_b", a->num_heads * a->head_dim, 0};
    int q;
    if (a->latent.query) {
        q = bs_build_site(b, bs_build_linear(b, down, in), "q_a", BS_SITE_QKV);
        q = bs_build_norm(b, BS_NORM_QUERY_LATENT, q);
        in = bs_build_site(b, q, "q_b_input", BS_SITE_INPUT);
    }
    q = bs_build_linear(b, a->latent.query ? up : direct, in);
    b->p->values[q].heads = a->num_heads;
    q = bs_build_site(b, q, "q", BS_SITE_QKV);
    return bs_build_like(b, BS_OP_ROTARY, q, 0);
}

/* q, k and v where keys and values are made of one narrow vector, beside which a part of the key
 * stands that has the positions and is the same for all heads (DeepSeek-V2). */
static void prepare_latent(struct bs_builder *b, int in, int qkv[3])
{
    const struct bs_architecture *a = b->a;
    int narrow = a->latent.key_value, plain = a->head_dim - a->rotary_dim;
    const struct bs_call down = {"kv_a", narrow + a->rotary_dim, BS_BIASES_QKV};
    const struct bs_call up = {"kv_b", a->num_heads * (plain + a->value_dim), 0};
    qkv[0] = latent_query(b, in);
    int all = bs_build_site(b, bs_build_linear(b, down, in), "kv_a", BS_SITE_QKV);
    int turned = bs_build_like(b, BS_OP_ROTARY, part(b, all, narrow, a->rotary_dim), 0);
    int latent = bs_build_norm(b, BS_NORM_KEY_VALUE_LATENT, part(b, all, 0, narrow));
    latent = bs_build_site(b, latent, "kv_b_input", BS_SITE_INPUT);
    int both = bs_build_linear(b, up, latent);
    b->p->values[both].heads = a->num_heads;
    both = bs_build_site(b, both, "kv_b", BS_SITE_QKV);
    const struct bs_op join = {
        .kind = BS_OP_JOIN, .in = {head_part(b, both, 0, plain), turned, -1}, .slot = -1};
    qkv[1] = bs_build_op(b, join, a->num_heads * a->head_dim);
    b->p->values[qkv[1]].heads = a->num_heads;
    qkv[2] = head_part(b, both, plain, a->value_dim);
}

/* What attention makes on its way and of which no more than a tile is ever there. */
static int probabilities(struct bs_builder *b)
{
    int value = bs_build_value(b, 0);
    b->p->values[value].heads = b->a->num_heads;
    b->p->values[value].home = 0; /* nowhere */
    b->p->values[value].name = bs_probabilities_name;
    b->p->values[value].kind = BS_SITE_PROBABILITIES;
    return value;
}

int bs_build_attention(struct bs_builder *b, int in)
{
    const struct bs_architecture *a = b->a;
    int qkv[3];
    if (a->latent.key_value)
        prepare_latent(b, in, qkv);
    else
        prepare(b, in, qkv);
    if (a->query_scaling.beta > 0)
        qkv[0] = bs_build_like(b, BS_OP_SCALE, qkv[0], 0);
    struct bs_op attend = {.kind = BS_OP_ATTEND,
                           .in = {bs_build_site(b, qkv[0], "query", BS_SITE_QUERY),
                                  bs_build_site(b, qkv[1], "key", BS_SITE_CACHE),
                                  bs_build_site(b, qkv[2], "value", BS_SITE_CACHE)},
                           .slot = -1};
    attend.detail = probabilities(b);
    int heads = bs_build_op(b, attend, a->num_heads * a->value_dim);
    b->p->values[heads].heads = a->num_heads;
    heads = bs_build_site(b, heads, "o_input", BS_SITE_INPUT);
    const struct bs_call o = {"o", a->hidden_size, BS_BIASES_O};
    return bs_build_site(b, bs_build_linear(b, o, heads), "attn_output", BS_SITE_OUTPUT);
}
