/* What follows from an architecture: which tensors there are, and their shapes. */
#include "eval/model/model.h"

int bs_num_linears(const struct bs_architecture *architecture)
{
    return architecture->program.num_slots;
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

double bs_block_weights(const struct bs_architecture *architecture)
{
    return bs_program_weights(&architecture->program);
}

double bs_block_flops(const struct bs_architecture *architecture, int tokens)
{
    const struct bs_program *p = &architecture->program;
    return bs_part_flops(p, bs_program_whole(p), tokens);
}
