/* Perplexity of a text by one of the protocols, and what quantization does to the distribution of
 * every next token. */
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/tasks/evaluation.h"
#include "eval/tasks/uncertainty.h"

struct perplexity {
    int protocol; /* enum bs_protocol */
    int stride;   /* 0 = half of tokens where the protocol slides, else tokens */
};

enum { MOST_TOKENS = 1 << 20 };

static const char *const stride_words[] = {"half", NULL};

static const struct bs_option options[] = {
    BS_OPT_WORDS(struct perplexity, protocol, BS_CHOICE, BS_PROTOCOL_GPTQ, 0, BS_NUM_PROTOCOLS - 1,
                 bs_protocol_names, "which predictions are scored, see protocols"),
    BS_OPT_WORDS(struct perplexity, stride, BS_INT, 0, 1, MOST_TOKENS, stride_words,
                 "of protocol sliding: tokens from the start of a window to that of the next; half "
                 "= of tokens"),
    {.name = NULL},
};

enum {
    PERPLEXITY,
    NLL,
    WORD_PERPLEXITY,
    BYTE_PERPLEXITY,
    BITS_PER_BYTE,
    PERPLEXITY_DELTA,
    NLL_DELTA,
    KLD_MEAN,
    KLD_MEDIAN,
    KLD_P90,
    KLD_P95,
    KLD_P99,
    KLD_P999,
    KLD_MAX,
    SAME_TOP,
};

#define KLD(which, text)                                                                           \
    {                                                                                              \
        .name = "kld_" which, .direction = -1, .unit = "nats", .meaning = text, .scale = 1000      \
    }

static const struct bs_value_type values[] = {
    [PERPLEXITY] = {.name = "perplexity",
                    .direction = -1,
                    .unit = "",
                    .meaning = "exp(mean NLL)",
                    .decimals = 2,
                    .uncertain = true},
    [NLL] = {.name = "nll",
             .direction = -1,
             .unit = "nats",
             .meaning = "mean negative log-likelihood of a token",
             .uncertain = true},
    [WORD_PERPLEXITY] = {.name = "word_perplexity",
                         .direction = -1,
                         .unit = "",
                         .meaning = "exp(nll T / N), T tokens and N words of the whole text",
                         .heading = "word\nperplexity"},
    [BYTE_PERPLEXITY] = {.name = "byte_perplexity",
                         .direction = -1,
                         .unit = "",
                         .meaning = "exp(nll T / N), T tokens and N bytes of the whole text",
                         .heading = "byte\nperplexity"},
    [BITS_PER_BYTE] = {.name = "bits_per_byte",
                       .direction = -1,
                       .unit = "bits",
                       .meaning = "nll T / N / ln 2, N bytes",
                       .heading = "bits/\nbyte"},
    [PERPLEXITY_DELTA] = {.name = "perplexity_delta",
                          .direction = -1,
                          .unit = "",
                          .meaning = "minus the unquantized model's, paired by token",
                          .heading = "\xce\x94\nperplexity",
                          .uncertain = true,
                          .signed_ = true},
    [NLL_DELTA] = {.name = "nll_delta",
                   .direction = -1,
                   .unit = "nats",
                   .meaning = "minus the unquantized model's, paired by token",
                   .heading = "\xce\x94 NLL\nnats",
                   .uncertain = true,
                   .signed_ = true},
    [KLD_MEAN] = {.name = "kld_mean",
                  .direction = -1,
                  .unit = "nats",
                  .meaning = "mean divergence from the unquantized model's distribution",
                  .heading = "KL mean\n10\xe2\x81\xbb\xc2\xb3 nats",
                  .scale = 1000,
                  .uncertain = true},
    [KLD_MEDIAN] = KLD("median", "its median"),
    [KLD_P90] = KLD("p90", "its quantile 0.9"),
    [KLD_P95] = KLD("p95", "its quantile 0.95"),
    [KLD_P99] = KLD("p99", "its quantile 0.99"),
    [KLD_P999] = {.name = "kld_p999",
                  .direction = -1,
                  .unit = "nats",
                  .meaning = "its quantile 0.999",
                  .heading = "KL\np99.9",
                  .scale = 1000},
    [KLD_MAX] = KLD("max", "its largest"),
    [SAME_TOP] = {.name = "same_top",
                  .direction = 1,
                  .unit = "",
                  .meaning = "share of tokens where both models' likeliest next token agree",
                  .heading = "top-1\n%",
                  .scale = 100,
                  .uncertain = true},
    {.name = NULL},
};

static enum bs_status settle(void *own, int tokens, struct bs_error *err)
{
    struct perplexity *o = own;
    bool slides = bs_protocols[o->protocol].slides;
    if (o->stride && !slides)
        return bs_fail(err, BS_ECONFIG,
                       "stride is for protocol sliding only, expected protocol: sliding or no "
                       "stride");
    if (o->stride > tokens)
        return bs_fail(err, BS_ECONFIG, "stride is %d, expected at most tokens, which is %d",
                       o->stride, tokens);
    if (!o->stride)
        o->stride = slides ? tokens / 2 : tokens;
    return BS_OK;
}

static struct bs_protocol_used protocol(const void *own, int tokens)
{
    (void)tokens;
    const struct perplexity *o = own;
    struct bs_protocol_used used = {.stride = o->stride};
    snprintf(used.name, sizeof used.name, "%s", bs_protocol_names[o->protocol]);
    return used;
}

static enum bs_status request(const void *own, const struct bs_evaluation_source *source,
                              const struct bs_tokenizer *tokenizer, int vocab_size,
                              struct bs_windows *out, struct bs_error *err)
{
    const struct perplexity *o = own;
    const struct bs_evaluation_choice choice = {.text = source->text,
                                                .protocol = (enum bs_protocol)o->protocol,
                                                .tokens = source->tokens,
                                                .stride = o->stride,
                                                .windows = source->windows,
                                                .pick = source->pick};
    return bs_windows_evaluate(tokenizer, &choice, vocab_size, out, err);
}

/* ---- values ---- */

/* A list of values on its way. */
struct summary {
    struct bs_measured *out;
    int *count;
    int n;
};

static void add(const struct summary *s, int type, double value)
{
    s->out[(*s->count)++] = bs_measured_plainly(&values[type], value, s->n);
}

static void add_mean(const struct summary *s, int type, struct bs_mean mean)
{
    s->out[(*s->count)++] = (struct bs_measured){&values[type], mean.mean, mean.se, mean.df, s->n};
}

/* The mean NLL of a token, spread over the words and bytes of the text. */
static void add_units(const struct summary *s, double nll, const struct bs_text_size *text)
{
    double all = nll * (double)text->tokens;
    add(s, WORD_PERPLEXITY, bs_exp(all / (double)text->words));
    add(s, BYTE_PERPLEXITY, bs_exp(all / (double)text->bytes));
    add(s, BITS_PER_BYTE, all / (double)text->bytes / bs_log(2));
}

static size_t values_of(const struct bs_layout *layout)
{
    return (size_t)layout->windows * (size_t)layout->per_window;
}

static enum bs_status add_divergence(const struct summary *s, const float *kld,
                                     const struct bs_layout *layout, struct bs_error *err)
{
    size_t all = values_of(layout), count = layout->scored;
    float *sorted = bs_alloc(all, sizeof *sorted);
    if (!sorted)
        return bs_fail_memory(err);
    memcpy(sorted, kld, all * sizeof *sorted);
    bs_sort(sorted, all); /* what is not scored comes last */
    add_mean(s, KLD_MEAN, bs_mean_of(kld, layout));
    add(s, KLD_MEDIAN, bs_quantile(sorted, count, 0.5));
    add(s, KLD_P90, bs_quantile(sorted, count, 0.9));
    add(s, KLD_P95, bs_quantile(sorted, count, 0.95));
    add(s, KLD_P99, bs_quantile(sorted, count, 0.99));
    add(s, KLD_P999, bs_quantile(sorted, count, 0.999));
    add(s, KLD_MAX, (double)sorted[count - 1]);
    bs_free(sorted);
    return BS_OK;
}

static enum bs_status add_agreement(const struct summary *s, const struct bs_figures *figures,
                                    const struct bs_layout *layout, struct bs_error *err)
{
    size_t count = values_of(layout);
    const float *nll = bs_figure_floats(figures, BS_NLL);
    const uint8_t *same_top = bs_figure_flags(figures, BS_SAME_TOP);
    float *share = bs_alloc(count, sizeof *share);
    if (!share)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        share[i] = isnan(nll[i]) ? (float)NAN : (float)same_top[i];
    add_mean(s, SAME_TOP, bs_mean_of(share, layout));
    bs_free(share);
    return BS_OK;
}

static enum bs_status summarise(const void *own, const struct bs_scores *scores,
                                struct bs_measured *out, int *count, struct bs_error *err)
{
    (void)own;
    const struct bs_windows *text = scores->requests;
    const struct bs_layout layout = {
        .windows = text->windows, .per_window = text->tokens - 1, .scored = text->num_scored};
    const struct summary s = {out, count, (int)text->num_scored};
    const float *nll = bs_figure_floats(scores->figures, BS_NLL);
    struct bs_mean mean = bs_mean_of(nll, &layout);
    *count = 0;
    add_mean(&s, PERPLEXITY, bs_perplexity_of(nll, &layout));
    add_mean(&s, NLL, mean);
    add_units(&s, mean.mean, &text->text);
    if (!scores->reference)
        return BS_OK;
    const float *reference = bs_figure_floats(scores->reference, BS_NLL);
    add_mean(&s, PERPLEXITY_DELTA, bs_perplexity_difference(nll, reference, &layout));
    add_mean(&s, NLL_DELTA, bs_mean_difference(nll, reference, &layout));
    if (add_divergence(&s, bs_figure_floats(scores->figures, BS_KLD), &layout, err))
        return err->status;
    return add_agreement(&s, scores->figures, &layout, err);
}

const struct bs_evaluation bs_evaluation_perplexity = {
    .plugin = {.name = "perplexity",
               .summary = "perplexity of a text, and the divergence of every next token's "
                          "distribution from the unquantized model's",
               .reference = "",
               .options_size = sizeof(struct perplexity),
               .options = options},
    .figures = 1u << BS_NLL | 1u << BS_KLD | 1u << BS_SAME_TOP,
    .values = values,
    .settle = settle,
    .protocol = protocol,
    .request = request,
    .summarise = summarise,
};
