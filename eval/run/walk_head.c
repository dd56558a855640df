/* The end of a walk: final norm, output matrix and the figures of every token. */
#include "eval/run/walk_state.h"

#include <assert.h>

#include "eval/recipe/assign.h"
#include "eval/run/walk_cost.h"
#include "eval/run/walk_keep.h"

/* The head over one window of one text: every variant against stream 0. */
struct heading {
    struct bs_walk_state *state;
    int text, first_window;
};

/* One variant at the rows at hand. */
struct head_variant {
    float *in;                    /* [rows][embedding_size], what the output matrix multiplies */
    struct bs_distribution *seen; /* [rows] */
    double *apart;                /* [rows] */
};

/* Some rows of a window on their way along the vocabulary. */
struct head_rows {
    const struct heading *heading;
    struct bs_scratch *scratch;
    int window, first, rows;
    struct head_variant reference, *variants; /* in NULL for those that have no part in it */
    double *factors;                          /* [rows] */
    float *wanted, *logits;                   /* [rows][ids of a run] */
    double *p;                                /* the same; NULL where nobody is compared */
};

/* `count` doubles; twice the floats. */
static double *take_doubles(struct bs_scratch *scratch, size_t count)
{
    return (double *)(void *)bs_scratch_take(scratch, 2 * count);
}

static void enter_head(const struct head_rows *h, const struct bs_head *head,
                       const struct bs_stream *stream, struct head_variant *variant)
{
    const struct bs_walk_state *s = h->heading->state;
    size_t rows = (size_t)h->rows;
    size_t at = (size_t)h->first * (size_t)stream->width;
    variant->in = bs_scratch_take(h->scratch, rows * (size_t)s->architecture->embedding_size);
    variant->apart = take_doubles(h->scratch, rows);
    variant->seen = (struct bs_distribution *)(void *)bs_scratch_take(
        h->scratch, rows * sizeof(struct bs_distribution) / sizeof(float));
    for (size_t r = 0; r < rows; r++) {
        variant->seen[r] = bs_distribution_none();
        variant->apart[r] = 0;
    }
    bs_head_inputs(head, bs_stream_window(stream, h->window) + at, h->rows, variant->in,
                   h->scratch);
    bs_stream_forget(stream, h->window);
}

static void begin_rows(struct head_rows *h)
{
    const struct bs_walk_state *s = h->heading->state;
    int text = h->heading->text, ids = bs_walk_head_ids(s->architecture);
    size_t rows = (size_t)h->rows, tile = rows * (size_t)ids;
    size_t variants = (size_t)s->num_variants * sizeof *h->variants;
    h->variants =
        (struct head_variant *)(void *)bs_scratch_take(h->scratch, variants / sizeof(float));
    h->factors = take_doubles(h->scratch, rows);
    h->p = NULL;
    h->wanted = bs_scratch_take(h->scratch, tile);
    h->logits = bs_scratch_take(h->scratch, tile);
    enter_head(h, &s->head, &s->reference.texts[text], &h->reference);
    for (int i = 0; i < s->num_variants; i++) {
        const struct bs_variant *variant = &s->variants[i];
        h->variants[i].in = NULL;
        if (!variant->status && variant->wanted[text] && !bs_walk_is_reference(variant))
            enter_head(h, s->carried[i].head, bs_walk_text(s, i, text), &h->variants[i]);
        if (h->variants[i].in && !h->p)
            h->p = take_doubles(h->scratch, tile);
    }
}

static const int32_t *targets_of(const struct head_rows *h)
{
    const struct heading *heading = h->heading;
    return bs_windows_targets(&heading->state->walk->texts[heading->text], h->window, h->first);
}

/* The run of ids that begins with `first`, for all rows. Returns how many ids it has. */
static int add_ids(const struct head_rows *h, int first)
{
    const struct bs_walk_state *s = h->heading->state;
    const int32_t *targets = targets_of(h);
    int count = bs_head_logits(&s->head, BS_FLOAT32, h->reference.in, h->rows, first, h->wanted,
                               h->scratch);
    size_t ids = (size_t)count;
    for (size_t r = 0; r < (size_t)h->rows; r++) {
        struct bs_distribution *seen = &h->reference.seen[r];
        h->factors[r] = bs_distribution_add(seen, h->wanted + r * ids, first, count, targets[r],
                                            h->p ? h->p + r * ids : NULL);
    }
    for (int i = 0; i < s->num_variants; i++) {
        const struct head_variant *variant = &h->variants[i];
        if (!variant->in)
            continue;
        bs_head_logits(s->carried[i].head, (enum bs_compute)s->variants[i].recipe->compute,
                       variant->in, h->rows, first, h->logits, h->scratch);
        for (size_t r = 0; r < (size_t)h->rows; r++) {
            const float *logits = h->logits + r * ids;
            bs_distribution_add(&variant->seen[r], logits, first, count, targets[r], NULL);
            bs_apart_add(&variant->apart[r], h->factors[r], h->p + r * ids, h->wanted + r * ids,
                         logits, count);
        }
    }
    return count;
}

static void store_rows(const struct head_rows *h)
{
    struct bs_walk_state *s = h->heading->state;
    int text = h->heading->text, predictions = s->reference.texts[text].tokens - 1;
    size_t at = (size_t)h->window * (size_t)predictions + (size_t)h->first;
    const int32_t *targets = targets_of(h);
    for (int i = 0; i < s->num_variants; i++) {
        struct bs_variant *variant = &s->variants[i];
        if (variant->status || !variant->wanted[text])
            continue;
        const struct head_variant *own =
            bs_walk_is_reference(variant) ? &h->reference : &h->variants[i];
        assert(own->apart);
        for (int r = 0; r < h->rows; r++) {
            const struct bs_prediction prediction = {.reference = &h->reference.seen[r],
                                                     .own = &own->seen[r],
                                                     .apart = own->apart[r],
                                                     .target = targets[r]};
            bs_figures_put(&variant->figures[text], at + (size_t)r, &prediction);
        }
    }
}

static void measure_span(const struct heading *h, struct bs_scratch *scratch,
                         const struct bs_span *span)
{
    int end = span->first + span->count, vocab = h->state->architecture->vocab_size;
    for (int first = span->first; first < end; first += BS_HEAD_ROWS) {
        size_t mark = scratch->used;
        int left = end - first;
        struct head_rows rows = {.heading = h,
                                 .scratch = scratch,
                                 .window = span->window,
                                 .first = first,
                                 .rows = left < BS_HEAD_ROWS ? left : BS_HEAD_ROWS};
        begin_rows(&rows);
        for (int id = 0; id < vocab;)
            id += add_ids(&rows, id);
        store_rows(&rows);
        scratch->used = mark;
    }
}

static enum bs_status measure_window(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct heading *h = context;
    int count;
    const struct bs_span *spans =
        bs_windows_spans(&h->state->walk->texts[h->text], h->first_window + index, &count);
    for (int k = 0; k < count; k++)
        measure_span(h, &h->state->scratch[thread], &spans[k]);
    return BS_OK;
}

/* A value that is not finite never reaches a mean. */
static void check_span(struct bs_walk_state *s, int i, int text, const struct bs_span *span)
{
    size_t predictions = (size_t)(s->walk->texts[text].tokens - 1), count = (size_t)span->count;
    size_t at = (size_t)span->window * predictions + (size_t)span->first;
    size_t bad = bs_figures_not_finite(&s->variants[i].figures[text], at, count);
    struct bs_error err;
    if (bad == count)
        return;
    bs_fail(&err, BS_ENUMERIC, "evaluation text %d: the loss is not finite at window %d, token %d",
            text + 1, span->window, span->first + (int)bad);
    bs_walk_fail_variant(s, i, &err);
}

static void check_figures(struct bs_walk_state *s, int text)
{
    for (int i = 0; i < s->num_variants; i++)
        for (int k = 0; k < s->walk->texts[text].num_spans; k++)
            if (!s->variants[i].status && s->variants[i].wanted[text])
                check_span(s, i, text, &s->walk->texts[text].spans[k]);
}

/* The next windows of the text at hand: few where the walk is kept, so that it can be in between,
 * yet enough for threads to seldom wait for the last. */
static enum bs_status measure_some(struct bs_walk_state *s, int *batch, struct bs_error *err)
{
    const double enough = 10;
    int left = s->walk->texts[s->at.text].windows - s->at.window;
    int count = *batch < left ? *batch : left;
    struct heading heading = {.state = s, .text = s->at.text, .first_window = s->at.window};
    double start = bs_seconds();
    if (bs_parallel(count, measure_window, &heading, err))
        return err->status;
    /* The head is one pass for all; each variant's share of its time is the same. */
    double seconds = bs_seconds() - start;
    for (int i = 0; i < s->num_variants; i++)
        s->variants[i].seconds_evaluate += seconds / s->num_variants;
    s->at.window += count;
    if (seconds < enough && s->walk->keeping && s->walk->keeping->interval)
        *batch *= 2;
    return bs_walk_pause(s, err);
}

/* The text at hand, from its next window to its last. */
static enum bs_status measure_text(struct bs_walk_state *s, struct bs_error *err)
{
    int windows = s->walk->texts[s->at.text].windows;
    int batch = s->walk->keeping ? s->threads : windows;
    while (s->at.window < windows)
        if (measure_some(s, &batch, err))
            return err->status;
    check_figures(s, s->at.text);
    if (bs_walk_measured(s, s->at.text, err))
        return err->status;
    s->at.text++;
    s->at.window = 0;
    /* After the last text nothing is left to be kept. */
    return s->at.text < s->walk->num_texts ? bs_walk_pause(s, err) : BS_OK;
}

static const struct bs_setting *head_setting(const struct bs_walk_state *s, int i)
{
    struct bs_outer_assignment outer;
    bs_recipe_assign_outer(s->variants[i].recipe, s->architecture, &outer);
    return outer.of[BS_HEAD];
}

static bool same_basis(const struct bs_walk_state *s, int k, int i)
{
    const struct bs_bases *a = bs_walk_basis(s, k), *b = bs_walk_basis(s, i);
    return a && b ? bs_bases_equal(a, b) : a == b;
}

/* An earlier variant whose head is this one's too, or -1. */
static int like_head(const struct bs_walk_state *s, int i)
{
    for (int k = 0; k < i; k++)
        if (s->carried[k].head == &s->carried[k].own_head && !s->variants[k].model &&
            !s->variants[i].model && same_basis(s, k, i) &&
            s->variants[k].recipe->compute == s->variants[i].recipe->compute &&
            bs_setting_equal(head_setting(s, k), head_setting(s, i)))
            return k;
    return -1;
}

/* The head of a variant: the walk's, unless its output matrix is quantized or turned. */
static enum bs_status load_head(struct bs_walk_state *s, int i, struct bs_error *err)
{
    struct bs_carried *carried = &s->carried[i];
    const struct bs_setting *setting = head_setting(s, i);
    carried->head = &s->head;
    const struct bs_model *model = bs_variant_model(s, &s->variants[i]);
    const struct bs_bases *basis = bs_walk_basis(s, i);
    if (s->variants[i].status ||
        (!bs_setting_quantizes(setting) && !s->variants[i].model && !basis))
        return BS_OK;
    int like = like_head(s, i);
    carried->head = like < 0 ? &carried->own_head : &s->carried[like].own_head;
    if (like >= 0)
        return BS_OK;
    struct bs_outer_rounding rounding;
    double start = bs_seconds();
    const float *importance =
        bs_importance_of_outer(s->walk->importance, setting, s->architecture, BS_HEAD);
    if (bs_outer_rounding_init(model, BS_HEAD, setting, importance, basis, &rounding, err))
        return err->status;
    enum bs_status status =
        bs_head_load(model, bs_walk_head_ids(s->architecture), 1u << s->variants[i].recipe->compute,
                     &rounding, &carried->own_head, err);
    bs_outer_rounding_release(&rounding);
    s->variants[i].seconds_quantize += bs_seconds() - start;
    return status;
}

void bs_walk_head_leave(struct bs_walk_state *s)
{
    for (int i = 0; s->carried && i < s->num_variants; i++)
        bs_head_release(&s->carried[i].own_head);
    bs_head_release(&s->head);
}

enum bs_status bs_walk_head(struct bs_walk_state *s, struct bs_error *err)
{
    unsigned computes = 1u << BS_FLOAT32;
    if (!s->walk->num_texts) /* nothing is multiplied by it */
        return BS_OK;
    for (int i = 0; i < s->num_variants; i++)
        computes |= s->variants[i].status ? 0 : 1u << s->variants[i].recipe->compute;
    if (bs_head_load(s->walk->model, bs_walk_head_ids(s->architecture), computes, NULL, &s->head,
                     err))
        return err->status;
    for (int i = 0; i < s->num_variants; i++)
        if (load_head(s, i, err))
            return err->status;
    while (s->at.text < s->walk->num_texts)
        if (measure_text(s, err))
            return err->status;
    bs_walk_tick(s, s->num_variants + 1);
    return BS_OK;
}
