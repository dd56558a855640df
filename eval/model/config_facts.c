#include "eval/model/config_facts.h"

#include <string.h>

#include "eval/model/config_reader.h"

/* What of an architecture a key tells. */
enum subject {
    HIDDEN_SIZE,
    EMBEDDING_SIZE,
    VOCAB_SIZE,
    INTERMEDIATE_SIZE,
    NUM_LAYERS,
    NUM_HEADS,
    NUM_KV_HEADS,
    HEAD_DIM,
    ROTARY_DIM,
    ROTARY_SHARE,
    ROPE_THETA,
    NORM_EPS,
    SLIDING_WINDOW,
    ATTENTION_BIASES,
    QKV_BIASES,
    MLP_BIASES,
    ALL_BIASES,
    ACTIVATION,
    NUM_EXPERTS,
    LAYER_TYPES,
    POSITIONS,
    /* true or false */
    IS_CAUSAL,
    IS_ROTARY,
    IS_ALIBI,
    IS_RMS,
    IS_PRE_NORM,
    IS_PARALLEL,
    HAS_FINAL_NORM,
    IS_GATED,
    IS_TIED,
    IS_UNTIED,
};

static const struct {
    const char *name;
    enum subject subject;
} facts[] = {
    {"hidden_size", HIDDEN_SIZE},
    {"n_embd", HIDDEN_SIZE},
    {"n_embed", HIDDEN_SIZE},
    {"d_model", HIDDEN_SIZE},
    {"dim", HIDDEN_SIZE},
    {"embed_dim", HIDDEN_SIZE},
    {"embedding_size", EMBEDDING_SIZE},
    {"word_embed_proj_dim", EMBEDDING_SIZE},
    {"n_vocab", VOCAB_SIZE},
    {"padded_vocab_size", VOCAB_SIZE},
    {"vocab_size_padded", VOCAB_SIZE},
    {"intermediate_size", INTERMEDIATE_SIZE},
    {"ffn_dim", INTERMEDIATE_SIZE},
    {"ffn_hidden_size", INTERMEDIATE_SIZE},
    {"n_inner", INTERMEDIATE_SIZE},
    {"d_ff", INTERMEDIATE_SIZE},
    {"num_hidden_layers", NUM_LAYERS},
    {"num_layers", NUM_LAYERS},
    {"n_layer", NUM_LAYERS},
    {"n_layers", NUM_LAYERS},
    {"num_attention_heads", NUM_HEADS},
    {"num_heads", NUM_HEADS},
    {"n_head", NUM_HEADS},
    {"n_heads", NUM_HEADS},
    {"num_key_value_heads", NUM_KV_HEADS},
    {"num_kv_heads", NUM_KV_HEADS},
    {"n_kv_heads", NUM_KV_HEADS},
    {"n_head_kv", NUM_KV_HEADS},
    {"num_query_groups", NUM_KV_HEADS},
    {"head_dim", HEAD_DIM},
    {"d_head", HEAD_DIM},
    {"head_size", HEAD_DIM},
    {"kv_channels", HEAD_DIM},
    {"rotary_dim", ROTARY_DIM},
    {"rotary_ndims", ROTARY_DIM},
    {"rotary_pct", ROTARY_SHARE},
    {"rope_pct", ROTARY_SHARE},
    {"rope_percent", ROTARY_SHARE},
    {"rotary_percent", ROTARY_SHARE},
    {"partial_rotary_factor", ROTARY_SHARE},
    {"rope_theta", ROPE_THETA},
    {"rotary_emb_base", ROPE_THETA},
    {"rotary_base", ROPE_THETA},
    {"rope_base", ROPE_THETA},
    {"rms_norm_eps", NORM_EPS},
    {"layer_norm_eps", NORM_EPS},
    {"layer_norm_epsilon", NORM_EPS},
    {"layernorm_epsilon", NORM_EPS},
    {"norm_eps", NORM_EPS},
    {"norm_epsilon", NORM_EPS},
    {"sliding_window", SLIDING_WINDOW},
    {"sliding_window_size", SLIDING_WINDOW},
    {"attention_bias", ATTENTION_BIASES},
    {"attn_bias", ATTENTION_BIASES},
    {"qkv_bias", QKV_BIASES},
    {"add_qkv_bias", QKV_BIASES},
    {"mlp_bias", MLP_BIASES},
    {"use_bias", ALL_BIASES},
    {"bias", ALL_BIASES},
    {"enable_bias", ALL_BIASES},
    {"add_bias_linear", ALL_BIASES},
    {"hidden_act", ACTIVATION},
    {"hidden_activation", ACTIVATION},
    {"activation_function", ACTIVATION},
    {"activation", ACTIVATION},
    {"num_experts", NUM_EXPERTS},
    {"num_local_experts", NUM_EXPERTS},
    {"n_routed_experts", NUM_EXPERTS},
    {"layer_types", LAYER_TYPES},
    {"position_embedding_type", POSITIONS},
    {"is_causal", IS_CAUSAL},
    {"causal", IS_CAUSAL},
    {"use_rope", IS_ROTARY},
    {"use_rotary", IS_ROTARY},
    {"rotary", IS_ROTARY},
    {"use_rotary_embeddings", IS_ROTARY},
    {"use_rotary_position_embeddings", IS_ROTARY},
    {"rope", IS_ROTARY},
    {"alibi", IS_ALIBI},
    {"use_alibi", IS_ALIBI},
    {"use_rms_norm", IS_RMS},
    {"rms_norm", IS_RMS},
    {"rmsnorm", IS_RMS},
    {"do_layer_norm_before", IS_PRE_NORM},
    {"pre_norm", IS_PRE_NORM},
    {"norm_first", IS_PRE_NORM},
    {"prenorm", IS_PRE_NORM},
    {"use_parallel_residual", IS_PARALLEL},
    {"parallel_residual", IS_PARALLEL},
    {"parallel_attn", IS_PARALLEL},
    {"use_parallel_attn", IS_PARALLEL},
    {"parallel_block", IS_PARALLEL},
    {"final_norm", HAS_FINAL_NORM},
    {"use_final_norm", HAS_FINAL_NORM},
    {"use_swiglu", IS_GATED},
    {"use_glu", IS_GATED},
    {"gated_mlp", IS_GATED},
    {"tie_embeddings", IS_TIED},
    {"weight_tying", IS_TIED},
    {"use_embedding_sharing", IS_TIED},
    {"shared_input_output_embedding", IS_TIED},
    {"share_embeddings_and_output_weights", IS_TIED},
    {"untie_embeddings_and_output_weights", IS_UNTIED},
};

static enum bs_fact of(bool same) { return same ? BS_FACT_SAME : BS_FACT_OTHER; }

static enum bs_fact compare_number(const json_t *value, double number)
{
    return of(json_is_number(value) && json_number_value(value) == number);
}

static enum bs_fact compare_float(const json_t *value, float number)
{
    return of(json_is_number(value) && (float)json_number_value(value) == number);
}

static enum bs_fact compare_bool(const json_t *value, bool truth)
{
    return of(json_is_boolean(value) && json_is_true(value) == truth);
}

/* True means that all of these linears have biases, false that none has. */
static enum bs_fact compare_biases(const struct bs_architecture *a, const json_t *value,
                                   enum bs_biases linears)
{
    unsigned biased = a->biases & linears;
    return of(json_is_true(value) ? biased == linears : json_is_false(value) && !biased);
}

static enum bs_fact compare_layer_types(const struct bs_architecture *a, const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) != (size_t)a->num_layers)
        return BS_FACT_OTHER;
    for (int l = 0; l < a->num_layers; l++) {
        const char *word = json_string_value(json_array_get(value, (size_t)l));
        const char *own = bs_is_local(a, l) ? "sliding_attention" : "full_attention";
        if (!word || strcmp(word, own))
            return BS_FACT_OTHER;
    }
    return BS_FACT_SAME;
}

static enum bs_fact compare_positions(enum bs_position_kind kind, const json_t *value)
{
    static const char *const words[][4] = {
        [BS_ROTARY] = {"rope", "rotary", NULL},
        [BS_LEARNED] = {"learned", "absolute", "learned_absolute", NULL},
        [BS_ALIBI] = {"alibi", NULL},
    };
    const char *word = json_string_value(value);
    return of(word && bs_word_in(word, words[kind]));
}

static enum bs_fact compare_activation(const struct bs_architecture *a, const json_t *value)
{
    enum bs_nonlinearity function;
    return of(bs_nonlinearity_find(json_string_value(value), &function) &&
              function == a->activation);
}

static enum bs_fact compare(const struct bs_architecture *a, enum subject subject,
                            const json_t *value)
{
    bool rotary = a->positions == BS_ROTARY;
    switch (subject) {
    case HIDDEN_SIZE:
        return compare_number(value, a->hidden_size);
    case EMBEDDING_SIZE:
        return compare_number(value, a->embedding_size);
    case VOCAB_SIZE:
        return compare_number(value, a->vocab_size);
    case INTERMEDIATE_SIZE:
        return compare_number(value, a->intermediate_size);
    case NUM_LAYERS:
        return compare_number(value, a->num_layers);
    case NUM_HEADS:
        return compare_number(value, a->num_heads);
    case NUM_KV_HEADS:
        return compare_number(value, a->num_kv_heads);
    case HEAD_DIM:
        return compare_number(value, a->head_dim);
    case ROTARY_DIM:
        return compare_number(value, a->rotary_dim);
    case ROTARY_SHARE:
        return of(rotary && json_is_number(value) &&
                  (int)(a->head_dim * json_number_value(value)) == a->rotary_dim);
    case ROPE_THETA:
        return rotary ? compare_number(value, a->rope.theta) : BS_FACT_OTHER;
    case NORM_EPS:
        return compare_float(value, a->norm_eps);
    case SLIDING_WINDOW:
        return compare_number(value, a->sliding_window);
    case ATTENTION_BIASES:
        return compare_biases(a, value, BS_BIASES_QKV | BS_BIASES_O);
    case QKV_BIASES:
        return compare_biases(a, value, BS_BIASES_QKV);
    case MLP_BIASES:
        return compare_biases(a, value, BS_BIASES_MLP);
    case ALL_BIASES:
        return compare_biases(a, value, BS_BIASES_ALL);
    case ACTIVATION:
        return compare_activation(a, value);
    case NUM_EXPERTS:
        return a->experts.count ? compare_number(value, a->experts.count) : BS_FACT_UNKNOWN;
    case LAYER_TYPES:
        return compare_layer_types(a, value);
    case POSITIONS:
        return compare_positions(a->positions, value);
    case IS_CAUSAL:
        return compare_bool(value, true);
    case IS_ROTARY:
        return compare_bool(value, rotary);
    case IS_ALIBI:
        return compare_bool(value, a->positions == BS_ALIBI);
    case IS_RMS:
        return compare_bool(value, a->norm == BS_RMS_NORM);
    case IS_PRE_NORM:
        return compare_bool(value, a->wiring != BS_POST_NORM);
    case IS_PARALLEL:
        return compare_bool(value, a->wiring == BS_PARALLEL);
    case HAS_FINAL_NORM:
        return compare_bool(value, a->final_norm);
    case IS_GATED:
        return compare_bool(value, a->family->gated);
    case IS_TIED:
        return compare_bool(value, a->tied_head);
    case IS_UNTIED:
        return compare_bool(value, !a->tied_head);
    }
    return BS_FACT_UNKNOWN;
}

enum bs_fact bs_config_compare_fact(const struct bs_architecture *a, const char *key,
                                    const json_t *value)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (!strcmp(facts[i].name, key))
            return compare(a, facts[i].subject, value);
    return BS_FACT_UNKNOWN;
}
