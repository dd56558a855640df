#include "eval/run/pace.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/tasks/token_metrics.h"
#include "eval/run/layer_error.h"
#include "eval/run/apply.h"

/* ---- kinds of recipes ---- */

/* Scales that are fixed take a pass to fix, which is counted; what is measured is their use. */
static int shared_by(const struct bs_setting *activations)
{
    static const int alike[] = {[BS_BY_STATIC] = BS_BY_WINDOW,
                                [BS_BY_STATIC_HEAD] = BS_BY_HEAD,
                                [BS_BY_STATIC_CHANNEL] = BS_BY_CHANNEL};
    bool fixed = bs_is_static((enum bs_sharing)activations->sharing);
    return fixed ? alike[activations->sharing] : activations->sharing;
}

/* Whether texts go through its blocks by products other than float32's. */
static bool multiplies_otherwise(const struct bs_recipe *recipe)
{
    return recipe->compute != BS_FLOAT32 || bs_recipe_quantizes_activations(recipe);
}

static bool same_kind(const struct bs_recipe *a, const struct bs_recipe *b)
{
    return a->compute == b->compute && a->weights.range.plugin == b->weights.range.plugin &&
           a->weights.format.plugin == b->weights.format.plugin &&
           a->activations.format.plugin == b->activations.format.plugin &&
           shared_by(&a->activations) == shared_by(&b->activations);
}

static int kind_of(const struct bs_pace *pace, const struct bs_recipe *recipe)
{
    int k = 0;
    while (k < pace->num_kinds && !same_kind(pace->kinds[k].like, recipe))
        k++;
    return k < BS_PACE_KINDS ? k : BS_PACE_KINDS - 1;
}

static void list_kinds(struct bs_pace *pace, const struct bs_recipe *const *recipes,
                       int num_recipes)
{
    for (int i = 0; i < num_recipes; i++) {
        int k = kind_of(pace, recipes[i]);
        if (k == pace->num_kinds)
            pace->kinds[pace->num_kinds++] = (struct bs_pace_kind){.like = recipes[i]};
    }
}

/* ---- measuring ---- */

/* Blocks of billions of weights take seconds for a window: part of one will do. */
static const double most_flops = 6e10;

struct pacing;

/* A piece of the work that is repeated, and how long it took so far. */
struct meter {
    enum bs_status (*piece)(struct pacing *p, struct bs_error *err);
    struct bs_pace_kind *kind; /* whose piece it is; NULL: the unquantized model's */
    double slice;              /* seconds of it in a turn, at least */
    double seconds;
    int times;
    double units;   /* of a time */
    double *result; /* seconds a unit */
};

enum { MOST_METERS = 2 + 3 * BS_PACE_KINDS };

struct pacing {
    const struct bs_walk *walk;
    struct bs_recipe plain; /* the kind's without its steps, for which `work` was rounded last */
    const struct bs_architecture *a;
    struct bs_pace *pace;
    struct bs_pace_kind *kind; /* that is measured */
    int threads, tokens;
    struct bs_rope *rope;
    struct bs_scratch *scratch;
    struct bs_block original, work;
    struct bs_stream start, stream; /* [threads] windows: as they are embedded, and on their way */
    struct bs_head head;            /* of some ids */
    struct bs_architecture few_ids;
    int num_meters;
    struct meter meters[MOST_METERS];
};

static enum bs_status push(struct pacing *p, const struct bs_block *block, struct bs_error *err)
{
    size_t floats = (size_t)p->stream.windows * (size_t)p->tokens * (size_t)p->stream.width;
    memcpy(p->stream.data, p->start.data, floats * sizeof(float));
    return bs_stream_push(block, p->rope, &p->stream, p->scratch, err);
}

static enum bs_status push_original(struct pacing *p, struct bs_error *err)
{
    return push(p, &p->original, err);
}

static enum bs_status push_work(struct pacing *p, struct bs_error *err)
{
    return push(p, &p->work, err);
}

/* What a recipe that rounds to nearest does with a block before texts go through it. */
static enum bs_status visit(struct pacing *p, struct bs_error *err)
{
    const struct bs_recipe *recipe = p->kind->like;
    struct bs_recipe *plain = &p->plain; /* what it owns stays the recipe's */
    *plain = (struct bs_recipe){.weights = recipe->weights,
                                .activations = recipe->activations,
                                .where = recipe->where,
                                .compute = recipe->compute};
    plain->activations.sharing = shared_by(&plain->activations);
    const struct bs_inputs inputs = {.rope = p->rope, .scratch = p->scratch};
    struct bs_probe nothing = {.layer = -1};
    struct bs_layer_row rows[BS_MAX_SLOTS];
    struct bs_layer_totals totals = {.linears = 0};
    bool failed = bs_block_copy(&p->work, &p->original, err) ||
                  bs_apply_recipe(plain, &p->work, &inputs, err) ||
                  bs_layer_errors(&p->original, &p->work, &nothing, p->scratch, rows, &totals, err);
    bs_probe_release(&nothing);
    if (failed)
        return err->status;
    return bs_block_choose_kernels(&p->work, (enum bs_compute)recipe->compute, err);
}

/* Logits are as many in a thread as a walk has at a time. */
static enum bs_status head_of_thread(void *context, int index, int thread, struct bs_error *err)
{
    (void)index, (void)err;
    const struct pacing *p = context;
    struct bs_scratch *scratch = &p->scratch[thread];
    size_t mark = scratch->used,
           rows = (size_t)(p->tokens < BS_HEAD_ROWS ? p->tokens : BS_HEAD_ROWS);
    int ids = p->few_ids.vocab_size;
    size_t tile = rows * (size_t)ids;
    float *in = bs_scratch_take(scratch, rows * (size_t)p->a->embedding_size);
    float *logits = bs_scratch_take(scratch, tile);
    double *probabilities = (double *)(void *)bs_scratch_take(scratch, 2 * tile);
    bool bfloat16 = p->kind && p->kind->like->compute == BS_BFLOAT16;
    enum bs_compute compute = bfloat16 ? BS_BFLOAT16 : BS_FLOAT32;
    for (size_t i = 0; i < rows * (size_t)p->a->embedding_size; i++)
        in[i] = (float)(i % 7) - 3;
    bs_head_logits(&p->head, compute, in, (int)rows, 0, logits, scratch);
    for (size_t r = 0; r < rows; r++) {
        struct bs_distribution seen = bs_distribution_none();
        double apart = 0, *own = probabilities + r * (size_t)ids;
        const float *row = logits + r * (size_t)ids;
        if (p->kind)
            memset(own, 0, (size_t)ids * sizeof *own);
        double factor = bs_distribution_add(&seen, row, 0, ids, 0, p->kind ? NULL : own);
        if (p->kind)
            bs_apart_add(&apart, factor, own, row, row, ids);
    }
    scratch->used = mark;
    return BS_OK;
}

static enum bs_status head_piece(struct pacing *p, struct bs_error *err)
{
    return bs_parallel(p->threads, head_of_thread, p, err);
}

/* Rows of an output matrix of no meaning: a product takes as long with any. */
static void some_rows(const void *context, int first, int count, float *rows)
{
    (void)first;
    const struct bs_architecture *a = context;
    for (size_t i = 0; i < (size_t)count * (size_t)a->embedding_size; i++)
        rows[i] = (float)(i % 5) * 0.01f;
}

/* ---- the piece of work ---- */

enum { LAYER = 0 }; /* the one that is measured: its paces are taken for those of all */

static enum bs_status embed_windows(struct pacing *p, struct bs_error *err)
{
    const struct bs_windows *text = &p->walk->texts[0];
    for (int w = 0; w < p->threads; w++) {
        const int32_t *ids = text->ids + (size_t)(w % text->windows) * (size_t)text->tokens;
        if (bs_model_embed(p->walk->model, NULL, ids, 1, p->tokens, bs_stream_window(&p->start, w),
                           err))
            return err->status;
    }
    return BS_OK;
}

static void choose_tokens(struct pacing *p)
{
    const int least = 16;
    double flops = p->threads * bs_block_flops(p->a, LAYER, p->walk->texts[0].tokens);
    p->tokens = p->walk->texts[0].tokens;
    if (flops > most_flops)
        p->tokens = (int)fmax(fmin(least, p->tokens), p->tokens * most_flops / flops);
}

static enum bs_status open_piece(struct pacing *p, bool bfloat16, struct bs_error *err)
{
    choose_tokens(p);
    p->few_ids = *p->a;
    p->few_ids.vocab_size = bs_walk_head_ids(p->a);
    p->head = (struct bs_head){.architecture = &p->few_ids, .run = p->few_ids.vocab_size};
    p->rope = bs_rope_create(p->a, &p->tokens, 1);
    p->scratch = bs_scratch_create(p->threads, bs_walk_scratch_floats(p->walk, 1));
    if (!p->rope || !p->scratch)
        return bs_fail_memory(err);
    double start = bs_seconds();
    if (bs_block_load(p->walk->model, LAYER, &p->original, err))
        return err->status;
    p->pace->read = (bs_seconds() - start) / bs_block_weights(p->a, LAYER);
    if (bs_stream_init(&p->start, p->threads, p->tokens, p->a->hidden_size, err) ||
        bs_stream_init(&p->stream, p->threads, p->tokens, p->a->hidden_size, err) ||
        embed_windows(p, err) || bs_head_pack(&p->head, BS_FLOAT32, some_rows, p->a, err))
        return err->status;
    return bfloat16 ? bs_head_pack(&p->head, BS_BFLOAT16, some_rows, p->a, err) : BS_OK;
}

static void close_piece(struct pacing *p)
{
    bs_head_release(&p->head);
    bs_stream_release(&p->start);
    bs_stream_release(&p->stream);
    bs_block_release(&p->original);
    bs_block_release(&p->work);
    bs_scratch_free(p->scratch, p->threads);
    bs_rope_free(p->rope);
}

static double flops_of_piece(const struct pacing *p)
{
    return p->threads * bs_block_flops(p->a, LAYER, p->tokens);
}

static double logits_of_piece(const struct pacing *p)
{
    double rows = p->tokens < BS_HEAD_ROWS ? p->tokens : BS_HEAD_ROWS;
    return p->threads * rows * p->few_ids.vocab_size;
}

static void add_meter(struct pacing *p, struct meter meter) { p->meters[p->num_meters++] = meter; }

/* In the order of a turn: a kind's block is rounded before texts go through it. */
static void add_meters(struct pacing *p)
{
    const double most = 0.06, little = 0.01; /* seconds: most of a walk is products */
    double flops = flops_of_piece(p), logits = logits_of_piece(p);
    add_meter(p, (struct meter){push_original, NULL, most, 0, 0, flops, &p->pace->flop});
    add_meter(p, (struct meter){head_piece, NULL, little, 0, 0, logits, &p->pace->logit});
    for (int k = 0; k < p->pace->num_kinds; k++) {
        struct bs_pace_kind *kind = &p->pace->kinds[k];
        double weights = bs_block_weights(p->a, LAYER);
        add_meter(p, (struct meter){visit, kind, little, 0, 0, weights, &kind->weight});
        if (multiplies_otherwise(kind->like))
            add_meter(p, (struct meter){push_work, kind, little, 0, 0, flops, &kind->flop});
        add_meter(p, (struct meter){head_piece, kind, little, 0, 0, logits, &kind->logit});
    }
}

/* Every piece in turn. */
static enum bs_status take_turn(struct pacing *p, struct bs_error *err)
{
    for (int m = 0; m < p->num_meters; m++) {
        struct meter *meter = &p->meters[m];
        double start = bs_seconds(), spent = 0;
        p->kind = meter->kind;
        for (int i = 0; i == 0 || spent < meter->slice; i++) {
            if (meter->piece(p, err))
                return err->status;
            spent = bs_seconds() - start;
            meter->times++;
        }
        meter->seconds += spent;
    }
    return BS_OK;
}

/* Turn after turn for a while, so that what else the machine does meets all pieces alike. The first
 * warms up and is not counted, unless it takes that long itself. */
static enum bs_status take_turns(struct pacing *p, struct bs_error *err)
{
    const double enough = 1.2;
    double start = bs_seconds();
    if (take_turn(p, err))
        return err->status;
    if (bs_seconds() - start < enough) {
        for (int m = 0; m < p->num_meters; m++)
            p->meters[m].seconds = p->meters[m].times = 0;
        do {
            if (take_turn(p, err))
                return err->status;
        } while (bs_seconds() - start < enough);
    }
    for (int m = 0; m < p->num_meters; m++)
        *p->meters[m].result = p->meters[m].seconds / p->meters[m].times / p->meters[m].units;
    for (int k = 0; k < p->pace->num_kinds; k++)
        if (!multiplies_otherwise(p->pace->kinds[k].like))
            p->pace->kinds[k].flop = p->pace->flop;
    return BS_OK;
}

enum bs_status bs_pace_measure(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                               int num_recipes, struct bs_pace *pace, struct bs_error *err)
{
    *pace = (struct bs_pace){.num_kinds = 0};
    struct pacing p = {.walk = walk,
                       .a = bs_model_architecture(walk->model),
                       .pace = pace,
                       .threads = bs_threads()};
    list_kinds(pace, recipes, num_recipes);
    bool bfloat16 = false;
    for (int k = 0; k < pace->num_kinds; k++)
        bfloat16 |= pace->kinds[k].like->compute == BS_BFLOAT16;
    enum bs_status status = open_piece(&p, bfloat16, err);
    if (!status) {
        add_meters(&p);
        status = take_turns(&p, err);
    }
    close_piece(&p);
    return status;
}

/* ---- telling ---- */

/* Threads take a window each, so that the last ones may have to wait. */
static double with_waiting(const struct bs_windows *windows)
{
    int threads = bs_threads(), rounds = (windows->windows + threads - 1) / threads;
    return (double)rounds * threads / windows->windows;
}

/* Of one version of the model: its texts through the blocks, or through the head. */
static double texts_seconds(const struct bs_walk *walk, unsigned texts, double flop, double logit)
{
    double seconds = 0;
    for (int t = 0; t < walk->num_texts; t++)
        if (texts >> t & 1)
            seconds += with_waiting(&walk->texts[t]) *
                       (flop * bs_walk_text_flops(walk, t) + logit * bs_walk_text_logits(walk, t));
    return seconds;
}

double bs_pace_seconds(const struct bs_pace *pace, const struct bs_walk *walk,
                       const struct bs_recipe *const *recipes, const unsigned *texts,
                       int num_recipes, double blocks)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct bs_walk_common common = bs_walk_common(walk, recipes, num_recipes);
    double passes = common.flops - bs_walk_evaluation_flops(walk) + bs_walk_probe_flops(walk, NULL);
    double through = pace->read * bs_total_weights(a) + pace->flop * passes +
                     texts_seconds(walk, ~0u, pace->flop, 0);
    double head =
        pace->read * a->vocab_size * a->embedding_size + texts_seconds(walk, ~0u, 0, pace->logit);
    for (int i = 0; i < num_recipes; i++) {
        const struct bs_pace_kind *kind = &pace->kinds[kind_of(pace, recipes[i])];
        struct bs_cost own = bs_walk_own_cost(walk, recipes[i]);
        through +=
            kind->weight * own.weights +
            pace->flop * (own.flops + bs_walk_probe_flops(walk, recipes[i])) +
            bs_walk_own_share(walk, recipes[i]) * texts_seconds(walk, texts[i], kind->flop, 0);
        head += texts_seconds(walk, texts[i], 0, kind->logit);
    }
    return blocks * through + head;
}
