#include "eval/export/gguf_metadata.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/model/rope.h"

enum { KEY_BYTES = 128 };

/* --- of a file --- */

/* What says how the other file is written, not what the model is. */
static bool is_of_the_file(struct bs_gguf_text key)
{
    static const char *const names[] = {
        "general.alignment", "general.file_type", "general.quantization_version", "split.",
        "quantize.",         "bitsweep."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        bool family = names[i][length - 1] == '.';
        if (key.length >= length && !memcmp(key.bytes, names[i], length) &&
            (family || key.length == length))
            return true;
    }
    return false;
}

enum bs_status bs_gguf_copy_metadata(const char *path, struct bs_gguf_writer *w,
                                     struct bs_error *err)
{
    struct bs_gguf_model model;
    char *file = NULL;
    enum bs_status status = bs_gguf_place(path, &file, err);
    if (status)
        return status;
    status = bs_gguf_open(file ? file : path, &model, err);
    for (size_t i = 0; !status && i < model.parts->gguf.num_values; i++) {
        const struct bs_gguf_value *value = &model.parts->gguf.values[i];
        if (!is_of_the_file(value->key))
            status = bs_gguf_put_value(w, value, err);
    }
    bs_gguf_close(&model);
    bs_free(file);
    return status;
}

/* --- of an architecture --- */

/* Metadata on their way. */
struct putting {
    const struct bs_gguf_target *target;
    const struct bs_architecture *a;
    struct bs_gguf_writer *w;
    struct bs_error *err;
    bool failed;
};

static const char *key_of(const struct putting *p, const char *name, char key[KEY_BYTES])
{
    snprintf(key, KEY_BYTES, "%s.%s", p->target->arch, name);
    return key;
}

static void count(struct putting *p, const char *name, int value)
{
    char key[KEY_BYTES];
    p->failed = p->failed || bs_gguf_put_count(p->w, key_of(p, name, key), (uint32_t)value, p->err);
}

static void number(struct putting *p, const char *name, double value)
{
    char key[KEY_BYTES];
    p->failed = p->failed || bs_gguf_put_float(p->w, key_of(p, name, key), value, p->err);
}

static void text(struct putting *p, const char *name, const char *value)
{
    char key[KEY_BYTES];
    p->failed = p->failed || bs_gguf_put_text(p->w, key_of(p, name, key), value, p->err);
}

static bool is_arch(const struct putting *p, const char *names)
{
    size_t length = strlen(p->target->arch);
    for (const char *at = strstr(names, p->target->arch); at; at = strstr(at + 1, p->target->arch))
        if ((at == names || at[-1] == ' ') && (!at[length] || at[length] == ' '))
            return true;
    return false;
}

static void put_sizes(struct putting *p)
{
    const struct bs_architecture *a = p->a;
    const int unlimited = 2048; /* a reader wants a number where nothing limits positions */
    count(p, "context_length", a->max_positions == INT_MAX ? unlimited : a->max_positions);
    count(p, "embedding_length", a->hidden_size);
    count(p, "block_count", a->num_layers);
    count(p, "feed_forward_length", a->intermediate_size);
    count(p, "attention.head_count", a->num_heads);
    count(p, "attention.head_count_kv", a->num_kv_heads);
    count(p, "vocab_size", a->vocab_size);
    count(p, "attention.key_length", a->head_dim);
    count(p, "attention.value_length", a->value_dim);
    number(p,
           a->norm == BS_RMS_NORM ? "attention.layer_norm_rms_epsilon"
                                  : "attention.layer_norm_epsilon",
           (double)a->norm_eps);
}

/* By what scores grow, of latent attention: a tenth of mscale_all_dim, which they follow from. */
static void put_log_multiplier(struct putting *p)
{
    const struct bs_rope_settings *rope = &p->a->rope;
    const double tenth = 0.1, digits = 1e6;
    if (!p->a->latent.key_value || rope->scores_factor <= 0 || rope->factor <= 1)
        return;
    double mscale = (sqrt(rope->scores_factor) - 1) / (tenth * bs_log(rope->factor));
    number(p, "rope.scaling.yarn_log_multiplier", tenth * round(mscale * digits) / digits);
}

static void put_scaling(struct putting *p)
{
    const struct bs_rope_settings *rope = &p->a->rope;
    const double usual_fast = 32, usual_slow = 1;
    switch (rope->kind) {
    case BS_ROPE_DEFAULT:
        if (is_arch(p, "phi3")) /* which asks for it */
            count(p, "rope.scaling.original_context_length", p->a->max_positions);
        break;
    case BS_ROPE_LLAMA3: /* factors in a tensor */
        break;
    case BS_ROPE_LINEAR:
        text(p, "rope.scaling.type", "linear");
        number(p, "rope.scaling.factor", rope->factor);
        break;
    case BS_ROPE_YARN:
        text(p, "rope.scaling.type", "yarn");
        number(p, "rope.scaling.factor", rope->factor);
        count(p, "rope.scaling.original_context_length", (int)rope->original_positions);
        if (rope->beta_fast != usual_fast)
            number(p, "rope.scaling.yarn_beta_fast", rope->beta_fast);
        if (rope->beta_slow != usual_slow)
            number(p, "rope.scaling.yarn_beta_slow", rope->beta_slow);
        put_log_multiplier(p);
        break;
    case BS_ROPE_LONGROPE:
        number(p, "rope.scaling.attn_factor", rope->attention_factor);
        count(p, "rope.scaling.original_context_length", (int)rope->original_positions);
        break;
    case BS_ROPE_DYNAMIC:
        p->failed =
            p->failed || bs_fail(p->err, BS_EUNSUPPORTED,
                                 "rotary positions scaled as 'dynamic' are not written as GGUF: "
                                 "llama.cpp does not compute them");
        break;
    }
}

static void put_rope(struct putting *p)
{
    if (p->a->positions != BS_ROTARY)
        return;
    count(p, "rope.dimension_count", p->a->rotary_dim);
    number(p, "rope.freq_base", p->a->rope.theta);
    put_scaling(p);
}

/* Which layers have the window, for architectures that do not take it for granted. */
static void put_pattern(struct putting *p)
{
    char key[KEY_BYTES];
    json_t *list = json_array();
    for (int l = 0; l < p->a->num_layers; l++)
        json_array_append_new(list, json_boolean(bs_is_local(p->a, l)));
    p->failed = p->failed || bs_gguf_put(p->w, key_of(p, "attention.sliding_window_pattern", key),
                                         BS_GGUF_BOOL, list, p->err);
    json_decref(list);
}

static void put_windows(struct putting *p)
{
    const struct bs_architecture *a = p->a;
    if (a->sliding_window > 0 && is_arch(p, "llama"))
        p->failed =
            p->failed || bs_fail(p->err, BS_EUNSUPPORTED,
                                 "GGUF files of architecture llama cannot say the model's sliding "
                                 "window of %d",
                                 a->sliding_window);
    if (is_arch(p, "llama4")) /* whose windows are in llama.cpp's code */
        return;
    if (a->sliding_window > 0 || is_arch(p, "phi3")) /* which asks for it */
        count(p, "attention.sliding_window", a->sliding_window);
    if (a->sliding_window <= 0)
        return;
    if (is_arch(p, "gemma3 olmo2") && a->local_rope.theta > 0)
        number(p, "rope.freq_base_swa", a->local_rope.theta);
    if (is_arch(p, "exaone4 olmo2"))
        put_pattern(p);
}

static void put_scales(struct putting *p)
{
    const struct bs_architecture *a = p->a;
    if (a->attention_softcap > 0)
        number(p, "attn_logit_softcapping", (double)a->attention_softcap);
    if (a->logit_softcap > 0)
        number(p, "final_logit_softcapping", (double)a->logit_softcap);
    if (is_arch(p, "olmoe") && a->num_kv_heads != a->num_heads) /* it expects as wide norms */
        p->failed = p->failed || bs_fail(p->err, BS_EUNSUPPORTED,
                                         "GGUF files of architecture olmoe have as many heads of "
                                         "keys as of queries, and the model has %d of %d",
                                         a->num_kv_heads, a->num_heads);
    if (a->qkv_clip > 0 && is_arch(p, "olmoe")) /* where llama.cpp's code does not clip */
        p->failed =
            p->failed || bs_fail(p->err, BS_EUNSUPPORTED,
                                 "GGUF files of architecture olmoe cannot say the model's limits "
                                 "of q, k and v");
    if (a->qkv_clip > 0)
        number(p, "attention.clamp_kqv", (double)a->qkv_clip);
    if (a->positions == BS_ALIBI && is_arch(p, "mpt"))
        number(p, "attention.max_alibi_bias", (double)a->alibi_exponent);
    if (is_arch(p, "granite granitemoe")) {
        number(p, "attention.scale", (double)a->attention_scale);
        number(p, "embedding_scale", (double)a->embedding_scale);
        number(p, "residual_scale", (double)a->residual_scale);
        number(p, "logit_scale", 1 / (double)a->logit_scale);
    } else if (is_arch(p, "command-r cohere2")) {
        number(p, "logit_scale", (double)a->logit_scale);
    }
    if (is_arch(p, "gptneox stablelm")) {
        char key[KEY_BYTES];
        p->failed = p->failed || bs_gguf_put_switch(p->w, key_of(p, "use_parallel_residual", key),
                                                    a->wiring == BS_PARALLEL, p->err);
    }
}

/* Layers before the first that has experts, and every how manieth of the others has them. */
static void experts_in(const struct bs_architecture *a, int *first, int *step)
{
    *first = 0;
    while (*first < a->num_layers && !bs_has_experts(a, *first))
        ++*first;
    *step = *first + 1;
}

/* Of experts; what more there is of latent attention, in the older of the two ways in which
 * llama.cpp reads it, where kv_b is one matrix. */
static void put_experts(struct putting *p)
{
    const struct bs_experts *e = &p->a->experts;
    bool deepseek = is_arch(p, "deepseek2"), llama4 = is_arch(p, "llama4");
    bool sigmoid = e->routing == BS_ROUTE_SIGMOID;
    int first, step;
    if (!e->count)
        return;
    experts_in(p->a, &first, &step);
    count(p, "expert_count", e->count);
    count(p, "expert_used_count", e->per_token);
    if (is_arch(p, "qwen2moe qwen3moe gpt-oss deepseek2 llama4"))
        count(p, "expert_feed_forward_length", e->size);
    if (e->shared_size && is_arch(p, "qwen2moe granitemoe"))
        count(p, "expert_shared_feed_forward_length", e->shared_size);
    if (llama4)
        count(p, "interleave_moe_layer_step", step);
    if (!deepseek)
        return;
    count(p, "leading_dense_block_count", first);
    count(p, "expert_shared_count", e->shared_size / e->size);
    count(p, "expert_gating_func", sigmoid ? 2 : 1);
    number(p, "expert_weights_scale", e->scale > 0 ? (double)e->scale : 1);
    if (e->groups > 1) {
        count(p, "expert_group_count", e->groups);
        count(p, "expert_group_used_count", e->groups_per_token);
    }
    char key[KEY_BYTES];
    p->failed = p->failed ||
                bs_gguf_put_switch(p->w, key_of(p, "expert_weights_norm", key), e->normed, p->err);
    count(p, "attention.kv_lora_rank", p->a->latent.key_value);
    if (p->a->latent.query)
        count(p, "attention.q_lora_rank", p->a->latent.query);
}

enum bs_status bs_gguf_put_architecture(const struct bs_gguf_target *target,
                                        struct bs_gguf_writer *w, struct bs_error *err)
{
    struct putting p = {.target = target, .a = &target->architecture, .w = w, .err = err};
    put_sizes(&p);
    put_rope(&p);
    put_windows(&p);
    put_scales(&p);
    put_experts(&p);
    return p.failed ? err->status : BS_OK;
}

/* --- factors of frequencies --- */

void bs_gguf_find_factors(const struct bs_model *model, const struct bs_architecture *a,
                          struct bs_gguf_factors *factors)
{
    const struct bs_rope_settings *rope = &a->rope;
    *factors = (struct bs_gguf_factors){.count = 0};
    if (a->positions != BS_ROTARY)
        return;
    if (rope->kind == BS_ROPE_LONGROPE) {
        factors->count = rope->num_factors;
        factors->both = !bs_gguf_has_joint_factors(model);
        memcpy(factors->near, rope->short_factors, sizeof factors->near);
        memcpy(factors->far, rope->long_factors, sizeof factors->far);
    }
    if (rope->kind == BS_ROPE_LLAMA3) {
        factors->count = a->rotary_dim / 2;
        for (int j = 0; j < factors->count && j < BS_MAX_ROPE_PAIRS; j++)
            factors->near[j] = bs_rope_factor(rope, j, a->rotary_dim);
    }
}
