/* The keys of a grid. */
#include "eval/config/axes.h"

const struct bs_option bs_recipe_options[] = {
    BS_OPT_WORDS(struct bs_recipe, calibrate_on, BS_CHOICE, BS_ON_AUTO, 0, 2, bs_calibrate_on_names,
                 "whose inputs calibrate a block; auto = as the algorithm's authors do"),
    BS_OPT_WORDS(
        struct bs_recipe, compute, BS_CHOICE, BS_FLOAT32, 0, 2, bs_compute_names,
        "what evaluation multiplies in, where activations are not quantized; bfloat16 rounds "
        "inputs and weights of linears and head, and is faster by native numerics with AVX-512; as "
        "llama.cpp rounds the inputs to blocks of 8 bits, for weights in GGUF's types"),
    {.name = NULL},
};

const struct bs_config_key bs_sweep_keys[] = {
    {"algorithm", "a name, or a list of names and chains",
     "what is done to the weights; a chain is a list within the list", true},
    {"model", "a name, or a list of names, of the file's models",
     "the models that this grid is for; without it all of them", false},
    {"weights", "a mapping, see weights, or none", "the format of the weights", false},
    {"activations", "a mapping, see activations, or none", "the format of the activations", false},
    {"kv_cache", "a mapping, see kv_cache, or none", "the format of the keys and values in a cache",
     false},
    {"except", "a list of mappings, see except", "places where it is another one", false},
    {"sensitivity", "a mapping, see sensitivity",
     "each point of the grid is a candidate, and its recipes are as many as the model has places: "
     "each quantizes one place and leaves the rest as it is",
     false},
    {"budget", "a mapping, see budget",
     "of a grid with sensitivity: recipes that give each place the candidate by which the sum of "
     "what was measured is least, for so many bits; they are run once that is measured",
     false},
    {.name = NULL},
};

const struct bs_config_key bs_except_keys[] = {
    {"where", "a place, or a list of them",
     "as `bitsweep plan --places` lists them: down_input, \"*.down_proj\", \"layer[0,-1].*\"; "
     "embedding and head, which weights alone leaves as they are",
     true},
    {"weights", "a mapping, see weights, or none",
     "what differs from the grid's own; the last exception that has a place holds", false},
    {"activations", "a mapping, see activations, or none", "the same", false},
    {.name = NULL},
};

const struct bs_config_key bs_setting_keys[] = {
    {"format", "a name, see format, or none", "the number format; where only options are set, int",
     false},
    {"range", "a name, see range",
     "what finds the extremes that a scale is fitted to; formats with a search of their own have "
     "none",
     false},
    {.name = NULL},
};

const struct bs_config_key bs_cached_keys[] = {
    {"key", "a mapping", "what differs for keys; it may have any of these keys", false},
    {"value", "a mapping", "what differs for values", false},
    {.name = NULL},
};

const struct bs_config_key bs_where_keys[] = {
    {"where", "inputs, qkv, a place, or a list of them",
     "inputs = of linears; qkv = outputs of q, k and v, before rotary positions; attn_probs = what "
     "attention's softmax makes",
     false},
    {.name = NULL},
};
