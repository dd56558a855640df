/* What follows from an architecture: which tensors there are, and their shapes. */
#include "eval/model/model.h"

const struct bs_program *bs_program_of(const struct bs_architecture *architecture, int layer)
{
    return &architecture->programs[architecture->kinds[layer]];
}

int bs_first_of_kind(const struct bs_architecture *architecture, int kind)
{
    int layer = 0;
    while (architecture->kinds[layer] != kind)
        layer++;
    return layer;
}

int bs_num_linears(const struct bs_architecture *architecture, int layer)
{
    return bs_program_of(architecture, layer)->num_slots;
}

int bs_most_linears(const struct bs_architecture *architecture)
{
    int most = 0;
    for (int k = 0; k < architecture->num_kinds; k++)
        if (architecture->programs[k].num_slots > most)
            most = architecture->programs[k].num_slots;
    return most;
}

int bs_total_linears(const struct bs_architecture *architecture)
{
    int linears = 0;
    for (int l = 0; l < architecture->num_layers; l++)
        linears += bs_num_linears(architecture, l);
    return linears;
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

bool bs_is_latent(int place)
{
    return place == BS_NORM_QUERY_LATENT || place == BS_NORM_KEY_VALUE_LATENT;
}

int bs_vector_width(const struct bs_architecture *architecture, int layer, enum bs_vector which)
{
    if (!architecture->family->vectors[which])
        return 0;
    if (which == BS_VECTOR_ROUTING)
        return bs_has_experts(architecture, layer) ? architecture->experts.count : 0;
    return architecture->num_heads;
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
    if (bs_is_latent((int)place))
        return place == BS_NORM_QUERY_LATENT ? architecture->latent.query
                                             : architecture->latent.key_value;
    if (!is_of_heads(place))
        return architecture->hidden_size;
    if (architecture->family->qk_norm == BS_QK_NORM_HEAD)
        return architecture->head_dim;
    return architecture->head_dim *
           (place == BS_NORM_Q ? architecture->num_heads : architecture->num_kv_heads);
}

bool bs_is_local(const struct bs_architecture *architecture, int layer)
{
    return architecture->local_layers[layer / 64] >> layer % 64 & 1;
}

bool bs_is_rotated(const struct bs_architecture *architecture, int layer)
{
    return !(architecture->unrotated_layers[layer / 64] >> layer % 64 & 1);
}

bool bs_has_experts(const struct bs_architecture *architecture, int layer)
{
    return architecture->experts.count &&
           !(architecture->dense_layers[layer / 64] >> layer % 64 & 1);
}

double bs_block_weights(const struct bs_architecture *architecture, int layer)
{
    return bs_program_weights(bs_program_of(architecture, layer));
}

double bs_most_weights(const struct bs_architecture *architecture)
{
    double most = 0;
    for (int k = 0; k < architecture->num_kinds; k++) {
        double weights = bs_program_weights(&architecture->programs[k]);
        most = weights > most ? weights : most;
    }
    return most;
}

/* Layers of a kind. */
static int count_kind(const struct bs_architecture *architecture, int kind)
{
    int count = 0;
    for (int l = 0; l < architecture->num_layers; l++)
        count += architecture->kinds[l] == kind;
    return count;
}

double bs_total_weights(const struct bs_architecture *architecture)
{
    double weights = 0;
    for (int k = 0; k < architecture->num_kinds; k++)
        weights += count_kind(architecture, k) * bs_program_weights(&architecture->programs[k]);
    return weights;
}

double bs_block_flops(const struct bs_architecture *architecture, int layer, int tokens)
{
    const struct bs_program *p = bs_program_of(architecture, layer);
    return bs_part_flops(p, bs_program_whole(p), tokens);
}

double bs_total_flops(const struct bs_architecture *architecture, int tokens)
{
    double flops = 0;
    for (int k = 0; k < architecture->num_kinds; k++)
        flops += count_kind(architecture, k) *
                 bs_block_flops(architecture, bs_first_of_kind(architecture, k), tokens);
    return flops;
}
