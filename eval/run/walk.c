#include "eval/run/walk.h"

#include <assert.h>
#include <stdio.h>

#include "eval/base/mem.h"
#include "eval/recipe/assign.h"
#include "eval/run/walk_cost.h"
#include "eval/run/walk_keep.h"
#include "eval/run/walk_state.h"

void bs_variant_release(struct bs_variant *variant)
{
    bs_free(variant->layers);
    for (int t = 0; t < BS_WALK_TEXTS; t++)
        bs_figures_release(&variant->figures[t]);
    bs_channel_list_release(&variant->channels);
    variant->layers = NULL;
}

static void release_carried(struct bs_carried *carried)
{
    bs_stream_release(&carried->calibration);
    for (int t = 0; t < BS_WALK_TEXTS; t++)
        bs_stream_release(&carried->texts[t]);
}

const struct bs_model *bs_variant_model(const struct bs_walk_state *s,
                                        const struct bs_variant *variant)
{
    return variant->model ? variant->model : s->walk->model;
}

const struct bs_bases *bs_walk_basis(const struct bs_walk_state *s, int variant)
{
    const struct bs_bases *residual = &s->carried[variant].residual;
    return residual->count > 1 ? residual : NULL; /* the first changes nothing */
}

bool bs_walk_is_reference(const struct bs_variant *variant)
{
    return variant->recipe->num_steps == 0 && !variant->model;
}

void bs_walk_fail_variant(struct bs_walk_state *s, int i, const struct bs_error *err)
{
    struct bs_variant *variant = &s->variants[i];
    variant->status = err->status;
    snprintf(variant->message, sizeof variant->message, "%.*s", (int)sizeof variant->message - 1,
             err->message);
    release_carried(&s->carried[i]);
}

void bs_walk_tick(struct bs_walk_state *s, int units)
{
    s->done += units;
    if (s->walk->progress)
        s->walk->progress(s->walk->progress_context, s->done, s->total);
}

struct embedding {
    const struct bs_model *model;
    const struct bs_outer_rounding *rounding;
    const struct bs_windows *windows;
    const struct bs_stream *stream;
};

static enum bs_status embed_window(void *context, int window, int thread, struct bs_error *err)
{
    (void)thread;
    const struct embedding *e = context;
    const int32_t *ids = e->windows->ids + (size_t)window * (size_t)e->windows->tokens;
    struct bs_fork fork = bs_windows_fork(e->windows, window);
    enum bs_status status = bs_model_embed_fork(e->model, e->rounding, ids, &fork,
                                                bs_stream_window(e->stream, window), err);
    bs_stream_forget(e->stream, window);
    return status;
}

enum bs_status bs_walk_stream(const struct bs_walk_state *s, const struct bs_windows *windows,
                              struct bs_stream *stream, struct bs_error *err)
{
    assert(windows);
    enum bs_status status =
        bs_stream_init_ragged(s->walk->scratch, stream, windows->windows, windows->tokens,
                              windows->lengths, s->architecture->hidden_size, err);
    stream->forks = windows->forks;
    return status;
}

/* Windows of one version of the model, its embedding rounded where `rounding` is not NULL. */
static enum bs_status embed(const struct bs_model *model, const struct bs_outer_rounding *rounding,
                            const struct bs_windows *windows, const struct bs_stream *stream,
                            struct bs_error *err)
{
    assert(windows);
    struct embedding e = {model, rounding, windows, stream};
    return bs_parallel(windows->windows, embed_window, &e, err);
}

/* The same of stream 0, which is made for it. */
static enum bs_status embed_reference(const struct bs_walk_state *s,
                                      const struct bs_windows *windows, struct bs_stream *stream,
                                      struct bs_error *err)
{
    if (bs_walk_stream(s, windows, stream, err))
        return err->status;
    return embed(s->walk->model, NULL, windows, stream, err);
}

const struct bs_stream *bs_walk_text(const struct bs_walk_state *s, int variant, int text)
{
    const struct bs_carried *carried = &s->carried[variant];
    return carried->apart ? &carried->texts[text] : &s->reference.texts[text];
}

bool bs_walk_awaits(const struct bs_walk_state *s, int layer)
{
    for (int i = 0; i < s->num_variants; i++)
        if (!s->variants[i].status && !s->variants[i].model &&
            bs_apply_awaits_unquantized(s->variants[i].recipe, &s->carried[i].reach, layer))
            return true;
    return false;
}

enum bs_status bs_walk_own_streams(struct bs_walk_state *s, int i, struct bs_error *err)
{
    const struct bs_walk *walk = s->walk;
    const struct bs_variant *variant = &s->variants[i];
    struct bs_carried *carried = &s->carried[i];
    bool inside = s->at.block < s->architecture->num_layers;
    if (inside && bs_apply_carries_own(variant->recipe, &carried->reach) &&
        bs_walk_stream(s, walk->calibration, &carried->calibration, err))
        return err->status;
    for (int t = s->at.text; t < walk->num_texts; t++)
        if (variant->wanted[t] && (inside || carried->apart) &&
            bs_walk_stream(s, &walk->texts[t], &carried->texts[t], err))
            return err->status;
    return BS_OK;
}

/* Of a variant whose windows differ from stream 0's from the first block on: they are embedded. */
static enum bs_status embed_variant(struct bs_walk_state *s, int i, struct bs_error *err)
{
    const struct bs_walk *walk = s->walk;
    const struct bs_variant *variant = &s->variants[i];
    const struct bs_model *model = bs_variant_model(s, variant);
    struct bs_outer_assignment outer;
    struct bs_outer_rounding rounding;
    bs_recipe_assign_outer(variant->recipe, s->architecture, &outer);
    if (bs_outer_rounding_init(model, BS_EMBEDDING, outer.of[BS_EMBEDDING],
                               bs_importance_of_outer(walk->importance, outer.of[BS_EMBEDDING],
                                                      s->architecture, BS_EMBEDDING),
                               bs_walk_basis(s, i), &rounding, err))
        return err->status;
    struct bs_carried *carried = &s->carried[i];
    enum bs_status status = BS_OK;
    carried->apart = true;
    if (carried->calibration.data)
        status = embed(model, &rounding, walk->calibration, &carried->calibration, err);
    for (int t = 0; t < walk->num_texts && !status; t++)
        if (variant->wanted[t])
            status = embed(model, &rounding, &walk->texts[t], &carried->texts[t], err);
    bs_outer_rounding_release(&rounding);
    return status;
}

static enum bs_status embed_all(struct bs_walk_state *s, struct bs_error *err)
{
    const struct bs_walk *walk = s->walk;
    if (walk->calibration && embed_reference(s, walk->calibration, &s->reference.calibration, err))
        return err->status;
    for (int t = 0; t < walk->num_texts; t++)
        if (embed_reference(s, &walk->texts[t], &s->reference.texts[t], err))
            return err->status;
    for (int i = 0; i < s->num_variants; i++) {
        if (s->variants[i].status || bs_walk_is_reference(&s->variants[i]))
            continue;
        if (bs_walk_own_streams(s, i, err) ||
            (s->carried[i].reach.first < 0 && embed_variant(s, i, err)))
            return err->status;
    }
    return BS_OK;
}

unsigned bs_walk_figures(const struct bs_walk *walk, int text)
{
    return walk->figures ? walk->figures[text] : BS_WALK_FIGURES;
}

static enum bs_status allocate_channels(const struct bs_walk_state *s, struct bs_channel_list *list,
                                        struct bs_error *err)
{
    for (; list->count < s->walk->num_channel_sites; list->count++) {
        const char *site = s->walk->channel_sites[list->count];
        if (bs_channels_init(&list->of[list->count], site, s->architecture->num_layers,
                             bs_channels_width(s->architecture, site), err))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status allocate_results(struct bs_walk_state *s, struct bs_error *err)
{
    size_t layers = (size_t)bs_total_linears(s->architecture);
    for (int i = 0; i < s->num_variants; i++) {
        struct bs_variant *variant = &s->variants[i];
        if (!bs_walk_is_reference(variant) &&
            !(variant->layers = bs_calloc(layers, sizeof *variant->layers)))
            return bs_fail_memory(err);
        if (variant->wanted[0] && allocate_channels(s, &variant->channels, err))
            return err->status;
        for (int t = 0; t < s->walk->num_texts; t++) {
            const struct bs_windows *text = &s->walk->texts[t];
            size_t count = (size_t)text->windows * (size_t)(text->tokens - 1);
            if (variant->wanted[t] &&
                bs_figures_init(&variant->figures[t], bs_walk_figures(s->walk, t), count, err))
                return err->status;
        }
    }
    return BS_OK;
}

/* Statistics on stream 0's inputs that variants share, and stream 0's calibration moved on. */
static enum bs_status calibrate_reference(struct bs_walk_state *s, struct bs_statistics *shared,
                                          struct bs_error *err)
{
    struct bs_wanted wanted = {.architecture = s->architecture, .layer = s->original.index};
    for (int i = 0; i < s->num_variants; i++)
        if (!s->variants[i].status)
            bs_apply_share(s->variants[i].recipe, &wanted);
    bool goes_on = bs_walk_awaits(s, s->original.index + 1);
    enum bs_status status = BS_OK;
    if (s->reference.calibration.data && (bs_wanted_any(&wanted) || goes_on))
        status = bs_calibrate(&s->original, s->rope, &s->reference.calibration, NULL, &wanted,
                              shared, goes_on ? &s->next : NULL, s->scratch, err);
    bs_wanted_release(&wanted);
    shared->shared = true;
    return status;
}

/* The block of another model in the place of what a recipe makes of the walk's. */
static enum bs_status load_other(struct bs_walk_state *s, const struct bs_model *model,
                                 struct bs_error *err)
{
    bs_block_release(&s->work);
    return bs_block_load(model, s->original.index, &s->work, err);
}

static enum bs_status quantize_block(struct bs_walk_state *s, int i, struct bs_statistics *shared,
                                     struct bs_error *err)
{
    struct bs_variant *variant = &s->variants[i];
    struct bs_carried *carried = &s->carried[i];
    struct bs_inputs inputs = {
        .rope = s->rope,
        .unquantized = &s->reference.calibration,
        .quantized = carried->apart ? &carried->calibration : &s->reference.calibration,
        .shared = shared,
        .original = &s->original,
        .residual = bs_walk_basis(s, i),
        .importance = s->walk->importance,
        .scratch = s->scratch,
    };
    double start = bs_seconds();
    if (variant->model) {
        if (load_other(s, variant->model, err))
            return err->status;
    } else if (bs_block_copy(&s->work, &s->original, err) ||
               bs_apply_recipe(variant->recipe, &s->work, &inputs, err)) {
        return err->status;
    } else {
        variant->seconds_quantize += bs_seconds() - start;
    }
    return BS_OK;
}

/* The channels of a block that a variant is about to pass. */
static enum bs_status take_channels(struct bs_walk_state *s, int i, const struct bs_block *block,
                                    struct bs_error *err)
{
    struct bs_variant *variant = &s->variants[i];
    const struct bs_rope *rope = s->carried[i].rope ? s->carried[i].rope : s->rope;
    if (!variant->channels.count)
        return BS_OK;
    double start = bs_seconds();
    enum bs_status status =
        bs_channels_take(block, rope, bs_walk_text(s, i, 0), s->walk->channel_windows,
                         &variant->channels, s->scratch, err);
    variant->seconds_evaluate += bs_seconds() - start;
    return status ? bs_fail_within(err, "channels") : BS_OK;
}

/* Shows a block that a variant is about to pass. */
static enum bs_status show_block(struct bs_walk_state *s, int i, const struct bs_block *block,
                                 struct bs_error *err)
{
    const struct bs_walk *walk = s->walk;
    struct bs_variant *variant = &s->variants[i];
    if (walk->quantized &&
        walk->quantized(walk->quantized_context, variant, &s->original, block, err))
        return err->status;
    if (take_channels(s, i, block, err))
        return err->status;
    return bs_layer_errors(&s->original, block, &s->probe, s->scratch,
                           variant->layers + variant->num_layers, &variant->totals, err);
}

static enum bs_status push_variant(struct bs_walk_state *s, int i, struct bs_error *err)
{
    struct bs_variant *variant = &s->variants[i];
    struct bs_carried *carried = &s->carried[i];
    const struct bs_rope *rope = carried->rope ? carried->rope : s->rope;
    const struct bs_carried *from = carried->apart ? carried : &s->reference;
    double start = bs_seconds();
    if (carried->calibration.data && s->original.index < carried->reach.last &&
        bs_stream_pass(&s->work, rope, &from->calibration, &carried->calibration, s->scratch, err))
        return bs_fail_within(err, "calibration");
    variant->seconds_quantize += bs_seconds() - start;
    start = bs_seconds();
    if (bs_block_choose_kernels(&s->work, (enum bs_compute)variant->recipe->compute, err))
        return err->status;
    for (int t = 0; t < s->walk->num_texts; t++)
        if (carried->texts[t].data &&
            bs_stream_pass(&s->work, rope, &from->texts[t], &carried->texts[t], s->scratch, err))
            return bs_fail_within(err, "evaluation text %d", t + 1);
    variant->seconds_evaluate += bs_seconds() - start;
    carried->apart = true;
    return BS_OK;
}

static void count_bits(const struct bs_block *block, struct bs_variant *variant)
{
    for (int s = 0; s < block->program->num_slots; s++) {
        const struct bs_linear *linear = &block->linears[s];
        variant->linear_weights += (double)linear->out_features * linear->in_features;
        variant->linear_bits += bs_linear_bits(linear);
    }
}

/* Takes a variant past the block at hand, which it rewrites, or which its own windows pass. */
static enum bs_status pass_work(struct bs_walk_state *s, int i, struct bs_statistics *shared,
                                struct bs_error *err)
{
    if (quantize_block(s, i, shared, err) || show_block(s, i, &s->work, err) ||
        push_variant(s, i, err))
        return err->status;
    count_bits(&s->work, &s->variants[i]);
    return BS_OK;
}

/* The same where its windows are stream 0's before the block and after it. */
static enum bs_status pass_original(struct bs_walk_state *s, int i, struct bs_error *err)
{
    if (show_block(s, i, &s->original, err))
        return err->status;
    count_bits(&s->original, &s->variants[i]);
    return BS_OK;
}

/* Takes one variant past the block at hand. */
static void visit(struct bs_walk_state *s, int i, struct bs_statistics *shared)
{
    struct bs_variant *variant = &s->variants[i];
    struct bs_error err;
    if (variant->status)
        return;
    if (bs_walk_is_reference(variant)) {
        count_bits(&s->original, variant);
        if (take_channels(s, i, &s->original, &err))
            bs_walk_fail_variant(s, i, &err);
        return;
    }
    bool with_stream_0 = !s->carried[i].apart && s->original.index != s->carried[i].reach.first;
    if (!(with_stream_0 ? pass_original(s, i, &err) : pass_work(s, i, shared, &err))) {
        variant->num_layers += bs_num_linears(s->architecture, s->original.index);
    } else {
        bs_fail_within(&err, "block %d", s->original.index);
        bs_walk_fail_variant(s, i, &err);
    }
    if (variant->model) /* what follows is a copy of the walk's own */
        bs_block_release(&s->work);
}

/* Takes the next variant past the block at hand. */
static enum bs_status visit_next(struct bs_walk_state *s, struct bs_statistics *shared,
                                 struct bs_error *err)
{
    visit(s, s->at.variant++, shared);
    bs_walk_tick(s, 1);
    return bs_walk_pause(s, err);
}

static enum bs_status push_reference(struct bs_walk_state *s, struct bs_error *err)
{
    double start = bs_seconds();
    for (int t = 0; t < s->walk->num_texts; t++)
        if (bs_stream_push(&s->original, s->rope, &s->reference.texts[t], s->scratch, err))
            return bs_fail_within(err, "the unquantized model, block %d, evaluation text %d",
                                  s->original.index, t + 1);
    for (int i = 0; i < s->num_variants; i++)
        if (bs_walk_is_reference(&s->variants[i]))
            s->variants[i].seconds_evaluate += bs_seconds() - start;
    if (s->next.data) {
        struct bs_stream before = s->reference.calibration;
        s->reference.calibration = s->next;
        s->next = before;
    }
    return BS_OK;
}

/* True where a variant has failed, in this block or before. */
static bool has_failed(const struct bs_walk_state *s)
{
    for (int i = 0; i < s->num_variants; i++)
        if (s->variants[i].status)
            return true;
    return false;
}

static enum bs_status walk_block(struct bs_walk_state *s, int index, struct bs_error *err)
{
    struct bs_statistics shared = {.windows = 0};
    enum bs_status status = bs_block_load(s->walk->model, index, &s->original, err);
    if (!status)
        status = calibrate_reference(s, &shared, err);
    if (!status && s->probe.windows)
        status = bs_probe_fill(&s->probe, &s->original, s->rope, &s->reference.texts[0], s->scratch,
                               err);
    while (s->at.variant < s->num_variants && !status)
        status = visit_next(s, &shared, err);
    if (!status)
        status = push_reference(s, err);
    /* Not before: what fails in the unquantized model too is no fault of a recipe. */
    if (!status && has_failed(s))
        status = bs_walk_measured(s, -1, err);
    bs_statistics_release(&shared);
    bs_block_release(&s->original);
    if (status)
        return status;
    bs_walk_tick(s, 1);
    s->at = (struct bs_walk_place){.block = index + 1};
    return bs_walk_pause(s, err);
}

enum bs_status bs_walk_measured(struct bs_walk_state *s, int text, struct bs_error *err)
{
    const struct bs_walk *walk = s->walk;
    for (int i = 0; i < s->num_variants; i++)
        if (bs_model_check_files(bs_variant_model(s, &s->variants[i]), err))
            return err->status;
    return walk->measured ? walk->measured(walk->measured_context, text, err) : BS_OK;
}

/* The model's, for the windows of calibration and of every text. */
static struct bs_rope *create_rope(const struct bs_walk_state *s, const struct bs_model *model)
{
    size_t most = (size_t)s->walk->num_texts + 1;
    for (int t = 0; t < s->walk->num_texts; t++)
        most += s->walk->texts[t].lengths ? (size_t)s->walk->texts[t].windows : 0;
    int count = 0, *lengths = bs_alloc(most, sizeof *lengths);
    if (!lengths)
        return NULL;
    if (s->walk->calibration)
        lengths[count++] = s->walk->calibration->tokens;
    for (int t = 0; t < s->walk->num_texts; t++) {
        const struct bs_windows *text = &s->walk->texts[t];
        lengths[count++] = text->tokens;
        for (int w = 0; text->lengths && w < text->windows; w++)
            lengths[count++] = text->forks ? bs_fork_depth(&text->forks[w]) : text->lengths[w];
    }
    struct bs_rope *rope = bs_rope_create(bs_model_architecture(model), lengths, count);
    bs_free(lengths);
    return rope;
}

/* Of the walk, and of each variant with a model of its own. */
static enum bs_status create_ropes(struct bs_walk_state *s, struct bs_error *err)
{
    s->rope = create_rope(s, s->walk->model);
    bool done = s->rope;
    for (int i = 0; i < s->num_variants && done; i++)
        if (s->variants[i].model) {
            s->carried[i].rope = create_rope(s, s->variants[i].model);
            done = s->carried[i].rope;
        }
    return done ? BS_OK : bs_fail_memory(err);
}

/* The bases of the variants' streams. A model that cannot have one fails the variant. */
static enum bs_status find_bases(struct bs_walk_state *s, struct bs_error *err)
{
    int width = s->architecture->hidden_size;
    for (int i = 0; i < s->num_variants; i++) {
        const struct bs_recipe *recipe = s->variants[i].recipe;
        struct bs_bases *residual = &s->carried[i].residual;
        if (s->variants[i].status || !bs_recipe_turns(recipe))
            continue;
        if (bs_bases_init(residual, width, err))
            return err->status;
        struct bs_error own;
        if (bs_apply_model(recipe, s->architecture, residual, &own))
            bs_walk_fail_variant(s, i, &own);
    }
    return BS_OK;
}

/* Where the variants part from stream 0. */
static void find_reaches(struct bs_walk_state *s)
{
    const struct bs_reach all = {.first = -1, .last = s->architecture->num_layers - 1};
    for (int i = 0; i < s->num_variants; i++)
        s->carried[i].reach =
            s->variants[i].model ? all : bs_apply_reach(s->variants[i].recipe, s->architecture);
}

/* Once the streams are there. */
static void mark_streams(struct bs_walk_state *s)
{
    for (int i = 0; i < s->num_variants; i++) {
        s->carried[i].calibration.basis = bs_walk_basis(s, i);
        for (int t = 0; t < s->walk->num_texts; t++)
            s->carried[i].texts[t].basis = bs_walk_basis(s, i);
    }
}

static enum bs_status start_walk(struct bs_walk_state *s, struct bs_error *err)
{
    const struct bs_walk *walk = s->walk;
    int probes = bs_walk_probe_windows(walk);
    s->threads = bs_threads();
    s->scratch = bs_scratch_create(s->threads, bs_walk_scratch_floats(walk, s->num_variants));
    s->carried = bs_calloc((size_t)s->num_variants + 1, sizeof *s->carried);
    if (!s->scratch || !s->carried)
        return bs_fail_memory(err);
    find_reaches(s);
    if (create_ropes(s, err) || allocate_results(s, err) || find_bases(s, err) ||
        (walk->kept ? bs_walk_restore(s, walk->kept, err) : embed_all(s, err)))
        return err->status;
    mark_streams(s);
    if (s->at.block < s->architecture->num_layers && bs_walk_awaits(s, s->at.block + 1) &&
        bs_walk_stream(s, walk->calibration, &s->next, err))
        return err->status;
    return bs_probe_init(&s->probe, s->architecture, probes, probes ? walk->texts[0].tokens : 1,
                         err);
}

/* What the head has no use for gives its memory back. */
static void leave_blocks(struct bs_walk_state *s)
{
    for (int i = 0; i < s->num_variants; i++)
        bs_stream_release(&s->carried[i].calibration);
    bs_stream_release(&s->reference.calibration);
    bs_stream_release(&s->next);
    bs_block_release(&s->work);
    bs_probe_release(&s->probe);
}

static void end_walk(struct bs_walk_state *s)
{
    for (int i = 0; s->carried && i < s->num_variants; i++) {
        release_carried(&s->carried[i]);
        bs_bases_release(&s->carried[i].residual);
        bs_rope_free(s->carried[i].rope);
    }
    release_carried(&s->reference);
    bs_stream_release(&s->next);
    bs_walk_head_leave(s);
    bs_free(s->carried);
    bs_block_release(&s->original);
    bs_block_release(&s->work);
    bs_probe_release(&s->probe);
    bs_rope_free(s->rope);
    bs_scratch_free(s->scratch, s->threads);
}

enum bs_status bs_walk_run(const struct bs_walk *walk, struct bs_variant *variants,
                           int num_variants, struct bs_error *err)
{
    struct bs_walk_state s = {.walk = walk,
                              .architecture = bs_model_architecture(walk->model),
                              .variants = variants,
                              .num_variants = num_variants};
    s.total = (s.architecture->num_layers + 1) * (num_variants + 1);
    enum bs_status status = start_walk(&s, err);
    if (!status && walk->kept)
        bs_walk_tick(&s, s.at.block * (num_variants + 1) + s.at.variant);
    while (s.at.block < s.architecture->num_layers && !status)
        status = walk_block(&s, s.at.block, err);
    if (!status) {
        leave_blocks(&s);
        status = bs_walk_head(&s, err);
    }
    end_walk(&s);
    return status;
}
