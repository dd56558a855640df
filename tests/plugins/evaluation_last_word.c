/* Of every document of a text two spans: its beginning, and its last word, whose every token must
 * be the likeliest for it to be right (as in LAMBADA, Paperno et al. 2016). Documents are of
 * whatever length. */
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/tasks/evaluation.h"

/* The options of an entry. */
struct last_word {
    int least; /* a shorter document is passed over */
};

static const struct bs_option options[] = {
    BS_OPT(struct last_word, least, 4, 4, 1000, "tokens of a document, which else is passed over"),
    {.name = NULL},
};

enum { ACCURACY, LAST_WORD_NLL, BEGINNING_NLL };

static const struct bs_value_type values[] = {
    [ACCURACY] = {.name = "last_word_accuracy",
                  .direction = 1,
                  .unit = "",
                  .meaning = "share of last words whose every token is the likeliest",
                  .heading = "last word\n%",
                  .scale = 100,
                  .uncertain = true},
    [LAST_WORD_NLL] = {.name = "last_word_nll",
                       .direction = -1,
                       .unit = "nats",
                       .meaning = "mean over documents",
                       .uncertain = true},
    [BEGINNING_NLL] = {.name = "beginning_nll",
                       .direction = -1,
                       .unit = "nats",
                       .meaning = "mean over documents",
                       .uncertain = true},
    {.name = NULL},
};

/* A document's ids, of which the last word begins at *last. */
static enum bs_status encode(const struct bs_tokenizer *tokenizer, const char *text, size_t size,
                             int32_t **ids, size_t *count, size_t *last, struct bs_error *err)
{
    size_t end = size;
    while (end > 0 && text[end - 1] != ' ')
        end--;
    int32_t *before;
    size_t prefix = end ? end - 1 : 0; /* a space belongs to the word after it */
    if (bs_tokenizer_encode(tokenizer, text, prefix, false, &before, last, err))
        return err->status;
    bs_free(before);
    return bs_tokenizer_encode(tokenizer, text, size, false, ids, count, err);
}

/* Takes a document where it is as long as is asked for. */
static void take(struct bs_windows *out, const int32_t *ids, int count, int last)
{
    int w = out->windows++;
    memcpy(out->ids + (size_t)w * (size_t)out->tokens, ids, (size_t)count * sizeof *ids);
    out->lengths[w] = count;
    struct bs_span *spans = out->spans + out->num_spans;
    spans[0] = (struct bs_span){.window = w, .first = 0, .count = last / 2, .item = w};
    spans[1] = (struct bs_span){
        .window = w, .first = last - 1, .count = count - last, .item = w, .choice = 1};
    out->num_spans += 2;
    out->num_scored += (size_t)(spans[0].count + spans[1].count);
}

static enum bs_status cut(const struct last_word *o, const struct bs_tokenizer *tokenizer,
                          const struct bs_text *text, int most, struct bs_windows *out,
                          struct bs_error *err)
{
    for (size_t d = 0; d < text->num_documents && out->windows < most; d++) {
        size_t size, count = 0, last = 0;
        const char *document = bs_text_document(text, d, &size);
        int32_t *ids = NULL;
        if (encode(tokenizer, document, size, &ids, &count, &last, err))
            return err->status;
        if (count >= (size_t)o->least && count <= (size_t)out->tokens && last >= 2 && last < count)
            take(out, ids, (int)count, (int)last);
        bs_free(ids);
    }
    if (!out->windows)
        return bs_fail(err, BS_ECONFIG, "no document has %d to %d tokens", o->least, out->tokens);
    return bs_windows_take_digest(out, err);
}

static enum bs_status request(const void *own, const struct bs_evaluation_source *source,
                              const struct bs_tokenizer *tokenizer, int vocab_size,
                              struct bs_windows *out, struct bs_error *err)
{
    (void)vocab_size;
    struct bs_text text;
    const struct bs_corpus_part *part;
    *out = (struct bs_windows){.tokens = source->tokens};
    if (bs_corpus_read(&source->text, BS_FOR_EVALUATION, &text, &part, err))
        return err->status;
    size_t most = source->windows ? (size_t)source->windows : text.num_documents;
    out->ids = bs_alloc(most, (size_t)out->tokens * sizeof *out->ids);
    out->lengths = bs_alloc(most, sizeof *out->lengths);
    out->spans = bs_alloc(2 * most, sizeof *out->spans);
    enum bs_status status = out->ids && out->lengths && out->spans ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = cut(own, tokenizer, &text, (int)most, out, err);
    out->all = out->windows;
    out->text_digest = bs_text_digest(&text);
    bs_text_release(&text);
    if (status)
        bs_windows_release(out);
    return status;
}

/* The mean of x [count] and its standard error, documents being independent. */
static struct bs_measured mean_of(int type, const double *x, int count)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < count; i++)
        mean += x[i] / count;
    for (int i = 0; i < count; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    double se = count > 1 ? sqrt(squares / (count - 1) / count) : (double)NAN;
    return (struct bs_measured){&values[type], mean, se, count - 1, count};
}

static enum bs_status summarise(const void *own, const struct bs_scores *scores,
                                struct bs_measured *out, int *count, struct bs_error *err)
{
    (void)own;
    const struct bs_windows *r = scores->requests;
    const float *nll = bs_figure_floats(scores->figures, BS_NLL);
    const uint8_t *top = bs_figure_flags(scores->figures, BS_TARGET_IS_TOP);
    double *x = bs_calloc((size_t)r->windows, 3 * sizeof *x);
    if (!x)
        return bs_fail_memory(err);
    double *right = x, *last = x + r->windows, *beginning = last + r->windows;
    for (int s = 0; s < r->num_spans; s++) {
        const struct bs_span *span = &r->spans[s];
        size_t at = (size_t)span->window * (size_t)(r->tokens - 1) + (size_t)span->first;
        double sum = 0, all = 1;
        for (size_t k = at; k < at + (size_t)span->count; k++) {
            sum += (double)nll[k];
            all *= top[k];
        }
        (span->choice ? last : beginning)[span->item] = sum;
        if (span->choice)
            right[span->item] = all;
    }
    out[0] = mean_of(ACCURACY, right, r->windows);
    out[1] = mean_of(LAST_WORD_NLL, last, r->windows);
    out[2] = mean_of(BEGINNING_NLL, beginning, r->windows);
    *count = 3;
    bs_free(x);
    return BS_OK;
}

extern const struct bs_evaluation bs_evaluation_last_word;
const struct bs_evaluation bs_evaluation_last_word = {
    .plugin = {.name = "last_word",
               .summary = "whether the last word of a document is what the model would say",
               .reference = "Paperno et al. 2016, arXiv 1606.06031",
               .options_size = sizeof(struct last_word),
               .options = options},
    .figures = 1u << BS_NLL | 1u << BS_TARGET_IS_TOP,
    .values = values,
    .request = request,
    .summarise = summarise,
};
