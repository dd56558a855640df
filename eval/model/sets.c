/* What follows from an architecture: the sets of linears, and shapes. */
#include "eval/model/model.h"

static void add_linear(struct bs_set *set, const struct bs_architecture *a, enum bs_role role)
{
    if (bs_has_role(a, role))
        set->linears[set->num_linears++] = role;
}

/* A norm takes a factor where it has weights, and where only linears read it. */
static enum bs_before before_branch(const struct bs_architecture *a, enum bs_norm_place place)
{
    bool own = a->wiring == BS_PRE_NORM || a->wiring == BS_PARALLEL;
    return own && bs_has_norm(a, place) && bs_norm_vectors(a->norm) > 0 ? BS_BEFORE_NORM
                                                                        : BS_BEFORE_NOTHING;
}

/* Out of a fused tensor the authors' codes fold nothing, but for some families. */
static enum bs_before before_o(const struct bs_architecture *a)
{
    bool folds = !a->family->fused_qkv || a->family->fused_v_folds;
    return folds && a->qkv_clip == 0 ? BS_BEFORE_LINEAR : BS_BEFORE_NOTHING;
}

/* Factors pass through some activations, and through the gated product's other side. */
static enum bs_before before_down(const struct bs_architecture *a)
{
    bool passes = a->family->gated || bs_nonlinearity_passes_factors(a->activation);
    return passes ? BS_BEFORE_LINEAR : BS_BEFORE_ACTIVATION;
}

void bs_architecture_derive_sets(struct bs_architecture *a)
{
    const struct bs_family *f = a->family;
    bool shared = a->wiring == BS_PARALLEL && !bs_has_norm(a, BS_NORM_MLP);
    struct bs_set attention = {.name = "attn_input",
                               .num_linears = 3,
                               .linears = {BS_Q, BS_K, BS_V},
                               .before = before_branch(a, BS_NORM_ATTENTION),
                               .norm = BS_NORM_ATTENTION,
                               .module = shared ? BS_MODULE_BLOCK : f->attention_module};
    struct bs_set mlp = {.name = "mlp_input",
                         .before = before_branch(a, BS_NORM_MLP),
                         .norm = BS_NORM_MLP,
                         .module = f->mlp_module};
    struct bs_set *up = shared ? &attention : &mlp;
    add_linear(up, a, BS_GATE);
    add_linear(up, a, BS_UP);
    a->num_sets = 0;
    a->sets[a->num_sets++] = attention;
    a->sets[a->num_sets++] = (struct bs_set){.name = "o_input",
                                             .num_linears = 1,
                                             .linears = {BS_O},
                                             .before = before_o(a),
                                             .previous = BS_V,
                                             .module = BS_MODULE_LINEAR};
    if (!shared)
        a->sets[a->num_sets++] = mlp;
    a->sets[a->num_sets++] = (struct bs_set){.name = "down_input",
                                             .num_linears = 1,
                                             .linears = {BS_DOWN},
                                             .before = before_down(a),
                                             .previous = BS_UP,
                                             .module = BS_MODULE_LINEAR};
}

bool bs_has_role(const struct bs_architecture *architecture, enum bs_role role)
{
    return architecture->family->linears[role] != NULL;
}

int bs_num_linears(const struct bs_architecture *architecture)
{
    int count = 0;
    for (int r = 0; r < BS_NUM_ROLES; r++)
        count += bs_has_role(architecture, (enum bs_role)r);
    return count;
}

bool bs_has_bias(const struct bs_architecture *architecture, enum bs_role role)
{
    return bs_has_role(architecture, role) && architecture->biases >> role & 1;
}

int bs_norm_vectors(enum bs_norm_kind kind)
{
    switch (kind) {
    case BS_LAYER_NORM:
        return 2;
    case BS_LAYER_NORM_PLAIN:
        return 0;
    default:
        return 1;
    }
}

static bool is_of_heads(enum bs_norm_place place)
{
    return place == BS_NORM_Q || place == BS_NORM_K;
}

bool bs_has_norm(const struct bs_architecture *architecture, enum bs_norm_place place)
{
    return architecture->norms >> place & 1;
}

enum bs_norm_kind bs_norm_kind_at(const struct bs_architecture *architecture,
                                  enum bs_norm_place place)
{
    return is_of_heads(place) ? architecture->family->qk_norm_kind : architecture->norm;
}

int bs_norm_width(const struct bs_architecture *architecture, enum bs_norm_place place)
{
    if (!is_of_heads(place))
        return architecture->hidden_size;
    if (architecture->family->qk_norm == BS_QK_NORM_HEAD)
        return architecture->head_dim;
    return bs_out_features(architecture, place == BS_NORM_Q ? BS_Q : BS_K);
}

void bs_tensor_roles(const struct bs_architecture *architecture, enum bs_role role,
                     enum bs_role *first, enum bs_role *last)
{
    *first = *last = role;
    if (architecture->family->fused_qkv && role <= BS_V) {
        *first = BS_Q;
        *last = BS_V;
    } else if (architecture->family->fused_gate_up && (role == BS_GATE || role == BS_UP)) {
        *first = BS_GATE;
        *last = BS_UP;
    }
}

bool bs_is_local(const struct bs_architecture *architecture, int layer)
{
    return architecture->local_layers[layer / 64] >> layer % 64 & 1;
}

bool bs_is_rotated(const struct bs_architecture *architecture, int layer)
{
    return !(architecture->unrotated_layers[layer / 64] >> layer % 64 & 1);
}

int bs_out_features(const struct bs_architecture *architecture, enum bs_role role)
{
    switch (role) {
    case BS_Q:
        return architecture->num_heads * architecture->head_dim;
    case BS_K:
    case BS_V:
        return architecture->num_kv_heads * architecture->head_dim;
    case BS_GATE:
    case BS_UP:
        return architecture->intermediate_size;
    default: /* BS_O, BS_DOWN */
        return architecture->hidden_size;
    }
}

int bs_in_features(const struct bs_architecture *architecture, enum bs_role role)
{
    switch (role) {
    case BS_O:
        return architecture->num_heads * architecture->head_dim;
    case BS_DOWN:
        return architecture->intermediate_size;
    default:
        return architecture->hidden_size;
    }
}

static double linears_weights(const struct bs_architecture *a, enum bs_role first,
                              enum bs_role last)
{
    double weights = 0;
    for (int r = (int)first; r <= (int)last; r++)
        if (bs_has_role(a, (enum bs_role)r))
            weights +=
                (double)bs_out_features(a, (enum bs_role)r) * bs_in_features(a, (enum bs_role)r);
    return weights;
}

double bs_block_weights(const struct bs_architecture *architecture)
{
    return linears_weights(architecture, BS_Q, BS_DOWN);
}

double bs_set_weights(const struct bs_architecture *a, int set)
{
    double weights = 0;
    for (int k = 0; k < a->sets[set].num_linears; k++) {
        enum bs_role role = a->sets[set].linears[k];
        weights += (double)bs_out_features(a, role) * bs_in_features(a, role);
    }
    return weights;
}

double bs_module_flops(const struct bs_architecture *a, enum bs_module module, int tokens)
{
    double pairs = (double)tokens * tokens / 2; /* each in q k^T and in p v */
    double attention = 2 * 2 * pairs * a->num_heads * a->head_dim, flops = 0;
    if (module != BS_MODULE_MLP)
        flops += 2 * (double)tokens * linears_weights(a, BS_Q, BS_O) + attention;
    if (module != BS_MODULE_ATTENTION)
        flops += 2 * (double)tokens * linears_weights(a, BS_GATE, BS_DOWN);
    return flops;
}
