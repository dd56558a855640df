/* What of an architecture is in the digest of a model. */
#include "eval/model/model_internal.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"

static void digest_rope(const struct bs_rope_settings *rope, FILE *out)
{
    fprintf(out, " %d %.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %d", (int)rope->kind,
            rope->theta, rope->attention_factor, rope->factor, rope->original_positions,
            rope->low_freq_factor, rope->high_freq_factor, rope->beta_fast, rope->beta_slow,
            rope->truncate);
    for (int j = 0; j < rope->num_factors; j++)
        fprintf(out, " %.9g %.9g", (double)rope->short_factors[j], (double)rope->long_factors[j]);
}

enum bs_status bs_architecture_digest(const struct bs_architecture *a,
                                      struct bs_digest_state *digest, struct bs_error *err)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return bs_fail_memory(err);
    fprintf(out, "%s %d %d %d %d %d %d %d %d %.9g %d %d %d %d", a->family->model_type,
            a->hidden_size, a->intermediate_size, a->num_layers, a->num_heads, a->num_kv_heads,
            a->head_dim, a->vocab_size, a->embedding_size, (double)a->norm_eps, (int)a->wiring,
            (int)a->activation, a->rotary_dim, a->sliding_window);
    digest_rope(&a->rope, out);
    digest_rope(&a->local_rope, out);
    for (int l = 0; l < BS_MAX_LAYERS / 64; l++)
        fprintf(out, " %llx %llx", (unsigned long long)a->local_layers[l],
                (unsigned long long)a->unrotated_layers[l]);
    fprintf(out, " %d %u %d %.9g %d %.9g %.9g", (int)a->norm, a->norms, (int)a->positions,
            (double)a->alibi_exponent, a->attention_scale_by_layer, (double)a->query_scaling.beta,
            (double)a->query_scaling.positions);
    fprintf(out, " %.9g %.9g %.9g %.9g %.9g %.9g %.9g %d %d %u", (double)a->attention_scale,
            (double)a->qkv_clip, (double)a->attention_softcap, (double)a->logit_softcap,
            (double)a->embedding_scale, (double)a->residual_scale, (double)a->logit_scale,
            a->tied_head, a->final_norm, a->biases);
    const struct bs_experts *e = &a->experts;
    if (e->count)
        fprintf(out, " %d %d %d %d %d", e->count, e->per_token, e->size, (int)e->routing,
                e->normed);
    if (e->shared_size || e->groups || e->scale > 0 || e->weighs_input)
        fprintf(out, " %d %d %d %.9g %d", e->shared_size, e->groups, e->groups_per_token,
                (double)e->scale, e->weighs_input);
    uint64_t dense = 0;
    for (int l = 0; l < BS_MAX_LAYERS / 64; l++)
        dense |= a->dense_layers[l];
    for (int l = 0; dense && l < BS_MAX_LAYERS / 64; l++)
        fprintf(out, " %llx", (unsigned long long)a->dense_layers[l]);
    if (a->latent.key_value)
        fprintf(out, " %d %d %d", a->value_dim, a->latent.query, a->latent.key_value);
    if (a->chunked_windows || a->unit_qk || a->query_scaling.unrotated)
        fprintf(out, " %d %d %d %d", a->chunked_windows, a->unit_qk, a->query_scaling.first,
                a->query_scaling.unrotated);
    char *text = bs_print_end(&printing);
    if (!text)
        return bs_fail_memory(err);
    bs_digest_add(digest, text, strlen(text));
    bs_free(text);
    return BS_OK;
}
