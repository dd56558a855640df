/* What follows from an architecture: which tensors there are, and their shapes. */
#include "eval/model/model.h"

bool bs_has_role(const struct bs_architecture *architecture, enum bs_role role)
{
    return architecture->family->linears[role] != NULL;
}

int bs_num_linears(const struct bs_architecture *architecture)
{
    return architecture->program.num_slots;
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

double bs_block_weights(const struct bs_architecture *architecture)
{
    return bs_program_weights(&architecture->program);
}

double bs_block_flops(const struct bs_architecture *architecture, int tokens)
{
    const struct bs_program *p = &architecture->program;
    return bs_part_flops(p, bs_program_whole(p), tokens);
}
