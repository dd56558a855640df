/* The model families: what their checkpoints call the tensors, and how their linears hang together.
 * A new family with the same kind of block is one row. */
#include "eval/model/model.h"

#include <string.h>

static const struct bs_family families[] = {
    {
        .model_type = "llama",
        .embedding = "model.embed_tokens.weight",
        .final_norm = "model.norm.weight",
        .head = "lm_head.weight",
        .block = "model.layers.%d.",
        .norms = {"input_layernorm.weight", "post_attention_layernorm.weight"},
        .linears =
            {
                [BS_Q] = "self_attn.q_proj",
                [BS_K] = "self_attn.k_proj",
                [BS_V] = "self_attn.v_proj",
                [BS_O] = "self_attn.o_proj",
                [BS_GATE] = "mlp.gate_proj",
                [BS_UP] = "mlp.up_proj",
                [BS_DOWN] = "mlp.down_proj",
            },
        .num_sets = 4,
        .sets =
            {
                {"attn_input", 3, {BS_Q, BS_K, BS_V}, 0, -1, BS_MODULE_ATTENTION},
                {"o_input", 1, {BS_O}, -1, BS_V, BS_MODULE_LINEAR},
                {"mlp_input", 2, {BS_GATE, BS_UP}, 1, -1, BS_MODULE_MLP},
                {"down_input", 1, {BS_DOWN}, -1, BS_UP, BS_MODULE_LINEAR},
            },
    },
};

enum { NUM_FAMILIES = sizeof families / sizeof families[0] };

/* The model types of the rows above, in their order. */
const char *const bs_family_names[] = {"llama", NULL};

_Static_assert(sizeof bs_family_names / sizeof bs_family_names[0] == NUM_FAMILIES + 1,
               "one name for each row");

const struct bs_family *bs_family_find(const char *model_type)
{
    for (int f = 0; f < NUM_FAMILIES; f++)
        if (!strcmp(families[f].model_type, model_type))
            return &families[f];
    return NULL;
}
