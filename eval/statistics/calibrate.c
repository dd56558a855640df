#include "eval/statistics/calibrate.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/vector.h"

/* One pass. Windows go through the block in batches of one a thread; each leaves in its slots what
 * the statistics keep of it, and the slots are then merged in window order, whatever the batch. */
struct pass {
    const struct bs_block *block;
    const struct bs_rope *rope;
    const struct bs_stream *inputs, *outputs;
    const struct bs_origin *origin; /* NULL where nothing compares with it */
    struct bs_statistics *statistics;
    struct bs_scratch *scratch;
    int last;           /* site that is looked at */
    int first, windows; /* first .. first + windows - 1 are at work, at most `threads` */
    int threads;
    void **slots;           /* [statistics->count][threads], NULL where a statistic has none; where
                           rows vary, only from when they are shown until they are merged */
    size_t *rows;           /* [statistics->count][threads], that were shown */
    struct bs_shown *shown; /* [statistics->count][threads], those with rows, `num_shown` each */
    int *num_shown;
    float *routing; /* [threads][tokens][experts], where an expert's site is compared; else NULL */
    size_t routing_floats;
    float *unquantized; /* [threads][unquantized_floats], a window on its way through the origin */
    size_t unquantized_floats;
    float *probabilities; /* [threads][probabilities_floats], attention's of a window; else NULL */
    size_t probabilities_floats;
    size_t compared_at[BS_MAX_VALUES]; /* where in that a site's values are, and 1; 0 = nowhere */
    struct window *window;
};

/* A window at work. */
struct window {
    const struct pass *pass;
    int index;
    int bad_site; /* an input of linears that is not finite, or -1 */
    size_t bad;   /* where */
    bool failed;  /* memory ran out */
};

static void **slots_of(const struct pass *pass, int statistic)
{
    return pass->slots + (size_t)statistic * (size_t)pass->threads;
}

/* A window's values at a site of the origin. */
static float *unquantized_at(const struct window *window, int site)
{
    const struct pass *pass = window->pass;
    size_t own = (size_t)(window->index - pass->first) * pass->unquantized_floats;
    return pass->unquantized + own + pass->compared_at[site] - 1;
}

static void keep_unquantized(void *context, int site, const float *x, int tokens, int stride)
{
    const struct window *window = context;
    size_t width = (size_t)window->pass->block->program->values[site].width;
    if (!window->pass->compared_at[site])
        return;
    float *to = unquantized_at(window, site);
    for (size_t t = 0; t < (size_t)tokens; t++)
        memcpy(to + t * width, x + t * (size_t)stride, width * sizeof *x);
}

/* Where the window's tokens go, or NULL. */
static float *routing_of(const struct window *window)
{
    const struct pass *pass = window->pass;
    size_t own = (size_t)(window->index - pass->first) * pass->routing_floats;
    return pass->routing ? pass->routing + own : NULL;
}

/* A window as the block takes it: where the stream is in the other basis, a copy that is turned. */
static const float *entering(const struct bs_block *block, const struct bs_stream *stream,
                             int window, struct bs_scratch *scratch)
{
    const float *x = bs_stream_window(stream, window);
    bool turns = block->residual.count > 0;
    if (turns == !!stream->basis)
        return x;
    size_t count = (size_t)stream->tokens * (size_t)stream->width;
    float *turned = bs_scratch_take(scratch, count);
    float *room = bs_scratch_take(scratch, (size_t)stream->width);
    memcpy(turned, x, count * sizeof *turned);
    if (turns)
        bs_bases_apply(&block->residual, turned, stream->tokens, room);
    else
        bs_bases_undo(stream->basis, turned, stream->tokens, room);
    return turned;
}

/* Finds out where the window's tokens go in the block: the origin's experts are shown the same. */
static void find_routing(struct window *window, struct bs_scratch *scratch)
{
    const struct pass *pass = window->pass;
    const struct bs_program *p = pass->block->program;
    struct bs_observer observer = {.context = window, .routed = routing_of(window)};
    while (p->values[observer.last].expert < 0 || !p->values[observer.last].name)
        observer.last++;
    size_t mark = scratch->used;
    if (observer.routed)
        bs_block_forward(pass->block, pass->rope,
                         entering(pass->block, pass->inputs, window->index, scratch), NULL,
                         pass->inputs->tokens, &observer, scratch);
    scratch->used = mark;
}

/* Takes a window through the origin to the last site that is looked at. */
static void pass_origin(const struct pass *pass, struct window *window, struct bs_scratch *scratch)
{
    const struct bs_stream *in = pass->origin->inputs;
    struct bs_observer observer = {.context = window,
                                   .site = keep_unquantized,
                                   .last = pass->last,
                                   .routing = routing_of(window)};
    size_t mark = scratch->used;
    bs_block_forward(pass->origin->block, pass->rope,
                     entering(pass->origin->block, in, window->index, scratch), NULL, in->tokens,
                     &observer, scratch);
    scratch->used = mark;
    bs_stream_forget(in, window->index);
}

/* The window's slot of a statistic, made where rows vary; NULL where it has none. */
static void *slot_for(struct window *window, int statistic, const struct bs_observed *of)
{
    const struct pass *pass = window->pass;
    const struct bs_statistic *s = pass->statistics->collected[statistic].wish.statistic;
    void **slot = &slots_of(pass, statistic)[window->index - pass->first];
    struct bs_observed own = *of;
    own.tokens = (int)of->rows;
    size_t bytes = of->varies && s->slot_bytes ? s->slot_bytes(&own) : 0;
    if (bytes && !(*slot = bs_alloc(bytes, 1)))
        window->failed = true;
    return *slot;
}

/* Shows a window's rows to a statistic. */
static void show(struct window *window, int statistic, const float *x, int rows, int stride)
{
    const struct pass *pass = window->pass;
    const struct bs_collected *c = &pass->statistics->collected[statistic];
    struct bs_observed of = c->of;
    of.rows = (size_t)rows;
    void *slot = slot_for(window, statistic, &of);
    if (window->failed)
        return;
    pass->rows[(size_t)statistic * (size_t)pass->threads + (size_t)(window->index - pass->first)] =
        of.rows;
    if (c->wish.statistic->compare)
        c->wish.statistic->compare(&of, window->index, x, stride,
                                   pass->origin ? unquantized_at(window, c->wish.site) : x,
                                   pass->origin ? of.width : stride, slot, c->data);
    else
        c->wish.statistic->observe(&of, window->index, x, stride, slot, c->data);
}

/* Shows what passes at a site to the statistics that are taken there. */
static void on_site(void *context, int site, const float *x, int rows, int stride)
{
    struct window *window = context;
    const struct pass *pass = window->pass;
    const struct bs_value *value = &pass->block->program->values[site];
    size_t count = (size_t)rows * (size_t)value->width;
    if (!pass->outputs && window->bad_site < 0 && bs_is_input(value)) {
        window->bad = bs_first_not_finite(x, count);
        window->bad_site = window->bad < count ? site : -1;
    }
    for (int i = 0; i < pass->statistics->count; i++) {
        const struct bs_collected *c = &pass->statistics->collected[i];
        if (c->wish.site != site)
            continue;
        if (rows > 0)
            show(window, i, x, rows, stride);
        if (c->stream.data)
            bs_stream_forget(&c->stream, window->index);
    }
}

static enum bs_status fail_not_finite(const char *what, int window, size_t at, int width,
                                      struct bs_error *err)
{
    return bs_fail(err, BS_ENUMERIC, "%s is not finite at window %d, token %d, channel %d", what,
                   window, (int)(at / (size_t)width), (int)(at % (size_t)width));
}

static enum bs_status check_output(const float *x, int window, int tokens, int width,
                                   struct bs_error *err)
{
    size_t count = (size_t)tokens * (size_t)width, bad = bs_first_not_finite(x, count);
    return bad == count ? BS_OK : fail_not_finite("the output", window, bad, width, err);
}

static enum bs_status forward_window(void *context, int index, int thread, struct bs_error *err)
{
    struct pass *pass = context;
    struct window *window = &pass->window[index];
    const struct bs_stream *in = pass->inputs;
    *window = (struct window){.pass = pass, .index = pass->first + index, .bad_site = -1};
    struct bs_observer observer = {
        .context = window, .site = on_site, .every = true, .last = pass->last};
    if (pass->probabilities)
        observer.probabilities = pass->probabilities + (size_t)index * pass->probabilities_floats;
    float *y = pass->outputs ? bs_stream_window(pass->outputs, window->index) : NULL;
    struct bs_scratch *scratch = &pass->scratch[thread];
    if (pass->origin && pass->routing)
        find_routing(window, scratch);
    if (pass->origin)
        pass_origin(pass, window, scratch);
    size_t mark = scratch->used;
    bs_block_forward(pass->block, pass->rope, entering(pass->block, in, window->index, scratch), y,
                     in->tokens, &observer, scratch);
    scratch->used = mark;
    enum bs_status status = y ? check_output(y, window->index, in->tokens, in->width, err) : BS_OK;
    if (window->failed && !status)
        status = bs_fail_memory(err);
    bs_stream_forget(in, window->index);
    if (y)
        bs_stream_forget(pass->outputs, window->index);
    if (y || window->bad_site < 0)
        return status;
    const struct bs_value *bad = &pass->block->program->values[window->bad_site];
    return fail_not_finite(bad->name, window->index, window->bad, bad->width, err);
}

/* A part of a result. */
struct part {
    struct bs_collected *collected;
    int statistic, part;
};

static int parts_of(const struct bs_collected *c)
{
    return c->wish.statistic->parts ? c->wish.statistic->parts(&c->of) : 1;
}

static int all_parts(const struct bs_statistics *statistics)
{
    int parts = 0;
    for (int i = 0; i < statistics->count; i++)
        parts += parts_of(&statistics->collected[i]);
    return parts;
}

static struct part find_part(const struct pass *pass, int index)
{
    struct part at = {.collected = pass->statistics->collected, .part = index};
    for (; at.part >= parts_of(at.collected); at.collected++, at.statistic++)
        at.part -= parts_of(at.collected);
    return at;
}

static enum bs_status merge_part(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct pass *pass = context;
    struct part at = find_part(pass, index);
    const struct bs_collected *c = at.collected;
    if (c->wish.statistic->merge)
        c->wish.statistic->merge(&c->of, pass->shown + (size_t)at.statistic * (size_t)pass->threads,
                                 pass->num_shown[at.statistic], at.part, c->data);
    return BS_OK;
}

static enum bs_status finish_part(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    struct part at = find_part(context, index);
    const struct bs_collected *c = at.collected;
    if (c->wish.statistic->finish && c->of.rows)
        c->wish.statistic->finish(&c->of, at.part, c->data);
    return BS_OK;
}

/* Lists the slots of windows that had rows. */
static void list_shown(struct pass *pass, int statistic)
{
    size_t first = (size_t)statistic * (size_t)pass->threads;
    int *count = &pass->num_shown[statistic];
    *count = 0;
    for (size_t k = first; k < first + (size_t)pass->windows; k++)
        if (pass->rows[k])
            pass->shown[first + (size_t)(*count)++] =
                (struct bs_shown){pass->slots[k], pass->rows[k]};
}

/* After the slots were merged: counts their rows, and gives back those of varying size. */
static void clear_slots(struct pass *pass)
{
    for (int i = 0; i < pass->statistics->count; i++)
        for (int k = 0; k < pass->threads; k++) {
            size_t at = (size_t)i * (size_t)pass->threads + (size_t)k;
            pass->statistics->collected[i].of.rows += pass->rows[at];
            pass->rows[at] = 0;
            if (!pass->statistics->collected[i].of.varies)
                continue;
            bs_free(pass->slots[at]);
            pass->slots[at] = NULL;
        }
}

static enum bs_status run_batch(struct pass *pass, struct bs_error *err)
{
    if (bs_parallel(pass->windows, forward_window, pass, err))
        return err->status;
    for (int i = 0; i < pass->statistics->count; i++)
        list_shown(pass, i);
    enum bs_status status = bs_parallel(all_parts(pass->statistics), merge_part, pass, err);
    clear_slots(pass);
    return status;
}

static enum bs_status allocate_result(struct bs_collected *c, const struct bs_stream *inputs,
                                      struct bs_error *err)
{
    const struct bs_statistic *statistic = c->wish.statistic;
    if (statistic->in_stream) {
        if (bs_stream_init_beside(inputs, &c->stream, c->of.width, err))
            return err->status;
        c->data = c->stream.data;
        return BS_OK;
    }
    c->data = bs_calloc(statistic->bytes(&c->of), 1);
    if (!c->data)
        return bs_fail_memory(err);
    if (statistic->begin)
        statistic->begin(&c->of, c->data);
    return BS_OK;
}

static enum bs_status allocate_statistics(const struct bs_program *p,
                                          const struct bs_stream *inputs,
                                          const struct bs_wanted *wanted,
                                          struct bs_statistics *statistics, struct bs_error *err)
{
    *statistics = (struct bs_statistics){.windows = inputs->windows, .tokens = inputs->tokens};
    if (bs_wanted_check(wanted, err))
        return err->status;
    statistics->collected = bs_calloc((size_t)wanted->count, sizeof *statistics->collected);
    if (!statistics->collected)
        return bs_fail_memory(err);
    for (int i = 0; i < wanted->count; i++) {
        const struct bs_wish *wish = &wanted->wishes[i];
        struct bs_collected *c = &statistics->collected[statistics->count];
        if (wish->derivation)
            continue;
        *c = (struct bs_collected){.wish = *wish};
        c->of = bs_observed_at(p, wish, inputs->windows, inputs->tokens);
        if (allocate_result(c, inputs, err))
            return err->status;
        statistics->count++;
    }
    return BS_OK;
}

/* Room for the windows at work on their way through the origin. */
static enum bs_status allocate_unquantized(struct pass *pass, struct bs_error *err)
{
    bool routes = false;
    for (int i = 0; i < pass->statistics->count && pass->origin; i++) {
        const struct bs_collected *c = &pass->statistics->collected[i];
        routes |= c->wish.statistic->compare && c->of.varies;
        if (!c->wish.statistic->compare || pass->compared_at[c->wish.site])
            continue;
        pass->compared_at[c->wish.site] = pass->unquantized_floats + 1;
        pass->unquantized_floats += (size_t)c->of.tokens * (size_t)c->of.width;
    }
    if (!pass->unquantized_floats)
        pass->origin = NULL;
    if (!pass->origin)
        return BS_OK;
    pass->unquantized = bs_alloc((size_t)pass->threads, pass->unquantized_floats * sizeof(float));
    if (routes) {
        pass->routing_floats =
            (size_t)pass->inputs->tokens * (size_t)pass->block->program->num_experts;
        pass->routing = bs_alloc((size_t)pass->threads, pass->routing_floats * sizeof(float));
    }
    return pass->unquantized && (pass->routing || !routes) ? BS_OK : bs_fail_memory(err);
}

/* Room for what attention makes of the windows at work, where that is looked at. */
static enum bs_status allocate_probabilities(struct pass *pass, struct bs_error *err)
{
    double floats = 0;
    for (int i = 0; i < pass->statistics->count; i++)
        floats = fmax(floats, bs_probabilities_floats(pass->block->program,
                                                      &pass->statistics->collected[i].wish,
                                                      pass->inputs->tokens));
    if (!(floats > 0))
        return BS_OK;
    if (bs_attention_pairs(pass->inputs->tokens) > INT_MAX)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "the range of %s looks at all of them in a window, and calibration windows "
                       "have %d tokens, expected 65535 at most",
                       bs_probabilities_name, pass->inputs->tokens);
    pass->probabilities_floats = (size_t)floats;
    pass->probabilities =
        bs_alloc((size_t)pass->threads, pass->probabilities_floats * sizeof(float));
    return pass->probabilities ? BS_OK : bs_fail_memory(err);
}

static enum bs_status allocate_slots(struct pass *pass, struct bs_error *err)
{
    size_t threads = (size_t)pass->threads, count = (size_t)pass->statistics->count;
    pass->window = bs_calloc(threads, sizeof *pass->window);
    pass->slots = bs_calloc(count * threads, sizeof *pass->slots);
    pass->rows = bs_calloc(count * threads, sizeof *pass->rows);
    pass->shown = bs_calloc(count * threads, sizeof *pass->shown);
    pass->num_shown = bs_calloc(count, sizeof *pass->num_shown);
    bool enough = pass->window && pass->slots && pass->rows && pass->shown && pass->num_shown;
    for (size_t i = 0; i < count && enough; i++) {
        const struct bs_collected *c = &pass->statistics->collected[i];
        bool fixed = c->wish.statistic->slot_bytes && !c->of.varies;
        size_t bytes = fixed ? c->wish.statistic->slot_bytes(&c->of) : 0;
        for (size_t k = 0; k < threads && bytes && enough; k++)
            enough = (pass->slots[i * threads + k] = bs_alloc(bytes, 1)) != NULL;
    }
    return enough ? BS_OK : bs_fail_memory(err);
}

static void free_slots(struct pass *pass)
{
    size_t count = (size_t)pass->statistics->count * (size_t)pass->threads;
    for (size_t i = 0; i < count && pass->slots; i++)
        bs_free(pass->slots[i]);
    bs_free(pass->slots);
    bs_free(pass->rows);
    bs_free(pass->shown);
    bs_free(pass->num_shown);
    bs_free(pass->routing);
    bs_free(pass->unquantized);
    bs_free(pass->probabilities);
    bs_free(pass->window);
}

static enum bs_status run_pass(struct pass *pass, struct bs_error *err)
{
    enum bs_status status = allocate_probabilities(pass, err);
    if (!status)
        status = allocate_slots(pass, err);
    if (!status)
        status = allocate_unquantized(pass, err);
    for (; pass->first < pass->inputs->windows && !status; pass->first += pass->threads) {
        int left = pass->inputs->windows - pass->first;
        pass->windows = left < pass->threads ? left : pass->threads;
        status = run_batch(pass, err);
    }
    free_slots(pass);
    return status ? status : bs_parallel(all_parts(pass->statistics), finish_part, pass, err);
}

enum bs_status bs_calibrate(const struct bs_block *block, const struct bs_rope *rope,
                            const struct bs_stream *inputs, const struct bs_origin *origin,
                            const struct bs_wanted *wanted, struct bs_statistics *statistics,
                            const struct bs_stream *outputs, struct bs_scratch *scratch,
                            struct bs_error *err)
{
    /* A pass over the block as if its activations were not quantized. */
    struct bs_block plain = *block, plain_origin;
    struct bs_origin unquantized;
    plain.sites = NULL;
    if (origin) {
        plain_origin = *origin->block;
        plain_origin.sites = NULL;
        unquantized = (struct bs_origin){&plain_origin, origin->inputs};
    }
    struct bs_statistics none = {.windows = 0};
    struct pass pass = {.block = &plain,
                        .rope = rope,
                        .inputs = inputs,
                        .outputs = outputs,
                        .origin = origin ? &unquantized : NULL,
                        .statistics = wanted ? statistics : &none,
                        .scratch = scratch,
                        .threads = bs_threads()};
    enum bs_status status =
        wanted ? allocate_statistics(block->program, inputs, wanted, statistics, err) : BS_OK;
    if (wanted)
        pass.last = bs_wanted_last(wanted);
    if (!status)
        status = run_pass(&pass, err);
    if (status && wanted)
        bs_statistics_release(statistics);
    return status;
}

/* --- streams --- */

struct push {
    const struct bs_block *block;
    const struct bs_rope *rope;
    const struct bs_stream *from, *to;
    struct bs_scratch *scratch;
};

static enum bs_status push_window(void *context, int window, int thread, struct bs_error *err)
{
    const struct push *push = context;
    const float *x = bs_stream_window(push->from, window);
    float *y = bs_stream_window(push->to, window);
    struct bs_fork fork = bs_stream_fork(push->from, window);
    bs_block_forward_fork(push->block, push->rope, x, y, &fork, NULL, &push->scratch[thread]);
    enum bs_status status = check_output(y, window, fork.tokens, push->to->width, err);
    bs_stream_forget(push->from, window);
    if (push->to != push->from)
        bs_stream_forget(push->to, window);
    return status;
}

enum bs_status bs_stream_pass(const struct bs_block *block, const struct bs_rope *rope,
                              const struct bs_stream *from, const struct bs_stream *to,
                              struct bs_scratch *scratch, struct bs_error *err)
{
    struct push push = {block, rope, from, to, scratch};
    return bs_parallel(from->windows, push_window, &push, err);
}

enum bs_status bs_stream_push(const struct bs_block *block, const struct bs_rope *rope,
                              const struct bs_stream *stream, struct bs_scratch *scratch,
                              struct bs_error *err)
{
    return bs_stream_pass(block, rope, stream, stream, scratch, err);
}
