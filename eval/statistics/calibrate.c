#include "eval/statistics/calibrate.h"

#include <math.h>
#include <string.h>

#include "algorithms/factor.h"
#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"

/* The side of the tiles of the Hessian that a thread adds up, in window order; of the strips in
 * which one on the diagonal is made, to waste little below it; what a mirrored line holds. */
enum { TILE = 384, STRIP = 128, LINE = 16 };

/* One pass. Windows go through the block in batches of one a thread; each leaves its inputs
 * of linears in its slot, and the sums over windows are then taken in window order, whatever the batch. */
struct pass {
    const struct bs_block *block;
    const struct bs_rope *rope;
    const struct bs_stream *inputs, *outputs;
    struct bs_needs needs;
    struct bs_statistics *statistics;
    struct bs_ranges *ranges;
    struct bs_scratch *scratch;
    int last;         /* site that is looked at */
    int first, slots; /* windows first .. first + slots - 1 are in the slots */
    struct slot *slot;
};

struct slot {
    struct pass *pass;
    int window;
    float *set_input[BS_MAX_VALUES]; /* [in / TILE][tokens][TILE] */
    double *absmean[BS_MAX_VALUES];  /* [in], sum of |x| over the window */
    float *absmax[BS_MAX_VALUES];    /* [in], largest |x| of the window */
    struct bs_ranges ranges;
    int bad_site; /* input of linears that is not finite, or -1 */
    size_t bad;   /* where */
};

bool bs_needs_any(const struct bs_needs *needs)
{
    return needs->hessian || needs->absmax || needs->absmean || needs->module_inputs ||
           needs->sample_tokens;
}

bool bs_needs_within(const struct bs_needs *needs, const struct bs_needs *have)
{
    return needs->hessian <= have->hessian && needs->absmax <= have->absmax &&
           needs->absmean <= have->absmean && needs->module_inputs <= have->module_inputs &&
           (!needs->sample_tokens || needs->sample_tokens == have->sample_tokens) &&
           !(have->sets_left_out & ~needs->sets_left_out);
}

void bs_needs_add(struct bs_needs *to, const struct bs_needs *more)
{
    to->hessian |= more->hessian;
    to->absmax |= more->absmax;
    to->absmean |= more->absmean;
    to->module_inputs |= more->module_inputs;
    if (!to->sample_tokens)
        to->sample_tokens = more->sample_tokens;
    if (!to->factor.wanted)
        to->factor = more->factor;
    to->sets_left_out &= more->sets_left_out;
}

static int width_of(const struct bs_architecture *a, int site)
{
    return a->program.values[site].width;
}

/* Every sample_tokens-th part of all tokens, counted from the first (auto_clip.py). */
static int sample_stride(const struct bs_stream *inputs, int sample_tokens)
{
    int tokens = inputs->windows * inputs->tokens;
    return tokens / sample_tokens > 1 ? tokens / sample_tokens : 1;
}

static bool left_out(const struct bs_needs *needs, int site)
{
    return needs->sets_left_out >> site & 1;
}

static void widen(float *low, float *high, const float *x, size_t count)
{
    float least, most;
    bs_min_max(x, count, &least, &most);
    *low = least < *low ? least : *low;
    *high = most > *high ? most : *high;
}

static void keep_samples(const struct pass *pass, int window, int site, const float *x, int tokens)
{
    struct bs_set_statistics *s = &pass->statistics->sets[site];
    int stride = sample_stride(pass->inputs, pass->needs.sample_tokens);
    int width = width_of(pass->block->architecture, site), before = window * tokens;
    for (int t = (stride - before % stride) % stride; t < tokens; t += stride)
        memcpy(s->samples + (size_t)((before + t) / stride) * (size_t)width,
               x + (size_t)t * (size_t)width, (size_t)width * sizeof *x);
}

/* Columns of a tile are brought together: each is read with every other one. */
static void keep_input(float *kept, const float *x, int tokens, size_t width)
{
    for (int t = 0; t < tokens; t++)
        for (size_t first = 0; first < width; first += TILE) {
            size_t columns = width - first < TILE ? width - first : TILE;
            memcpy(kept + first * (size_t)tokens + (size_t)t * columns,
                   x + (size_t)t * width + first, columns * sizeof *x);
        }
}

static void find_absmax(float *absmax, const float *x, int tokens, size_t width)
{
    memset(absmax, 0, width * sizeof *absmax);
    for (int t = 0; t < tokens; t++)
        for (size_t j = 0; j < width; j++) {
            float size = fabsf(x[(size_t)t * width + j]);
            absmax[j] = size > absmax[j] ? size : absmax[j];
        }
}

static void on_site(void *context, int site, const float *x, int tokens, int stride)
{
    struct slot *slot = context;
    const struct pass *pass = slot->pass;
    const struct bs_program *p = &pass->block->architecture->program;
    size_t width = (size_t)p->values[site].width;
    size_t count = (size_t)tokens * width;
    for (int t = 0; pass->ranges && t < tokens; t++)
        widen(&slot->ranges.low[site], &slot->ranges.high[site], x + (size_t)t * (size_t)stride,
              width);
    if (p->values[site].kind != BS_SITE_INPUT)
        return;
    if (!pass->outputs && slot->bad_site < 0) {
        slot->bad = bs_first_not_finite(x, count);
        slot->bad_site = slot->bad < count ? site : -1;
    }
    if (slot->set_input[site])
        keep_input(slot->set_input[site], x, tokens, width);
    if (slot->absmax[site])
        find_absmax(slot->absmax[site], x, tokens, width);
    if (!pass->statistics)
        return;
    struct bs_set_statistics *s = &pass->statistics->sets[site];
    if (s->inputs.data) {
        memcpy(bs_stream_window(&s->inputs, slot->window), x, count * sizeof *x);
        bs_stream_forget(&s->inputs, slot->window);
    }
    if (s->samples)
        keep_samples(pass, slot->window, site, x, tokens);
    if (!slot->absmean[site])
        return;
    memset(slot->absmean[site], 0, width * sizeof(double));
    for (int t = 0; t < tokens; t++)
        for (size_t j = 0; j < width; j++)
            slot->absmean[site][j] += fabs((double)x[(size_t)t * width + j]);
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
    struct slot *slot = &pass->slot[index];
    const struct bs_stream *in = pass->inputs;
    const struct bs_architecture *a = pass->block->architecture;
    slot->window = pass->first + index;
    slot->bad_site = -1;
    struct bs_observer observer = {.context = slot, .site = on_site, .last = pass->last};
    float *y = pass->outputs ? bs_stream_window(pass->outputs, slot->window) : NULL;
    bs_block_forward(pass->block, pass->rope, bs_stream_window(in, slot->window), y, in->tokens,
                     &observer, &pass->scratch[thread]);
    enum bs_status status = y ? check_output(y, slot->window, in->tokens, in->width, err) : BS_OK;
    bs_stream_forget(in, slot->window);
    if (y)
        bs_stream_forget(pass->outputs, slot->window);
    if (y || slot->bad_site < 0)
        return status;
    return fail_not_finite(a->program.values[slot->bad_site].name, slot->window, slot->bad,
                           width_of(a, slot->bad_site), err);
}

/* Tiles on and above the diagonal of a Hessian. */
static int tiles_of(int width)
{
    int rows = (width + TILE - 1) / TILE;
    return rows * (rows + 1) / 2;
}

static int tiles_of_all(const struct bs_architecture *a)
{
    int tiles = 0;
    for (int k = 0; k < a->program.num_inputs; k++)
        tiles += tiles_of(width_of(a, a->program.inputs[k]));
    return tiles;
}

/* Rows i .. i + m - 1 and columns j .. j + n - 1 of a site's Hessian. */
struct tile {
    int site, width, i, j, m, n;
    float *at; /* NULL where the site is left out */
};

static struct tile find_tile(const struct pass *pass, int index)
{
    const struct bs_architecture *a = pass->block->architecture;
    const int *input = a->program.inputs;
    for (; index >= tiles_of(width_of(a, *input)); input++)
        index -= tiles_of(width_of(a, *input));
    struct tile tile = {.site = *input};
    int width = tile.width = width_of(a, tile.site), column = 0;
    for (; index > column; column++)
        index -= column + 1;
    tile.i = index * TILE;
    tile.j = column * TILE;
    tile.m = width - tile.i < TILE ? width - tile.i : TILE;
    tile.n = width - tile.j < TILE ? width - tile.j : TILE;
    if (!left_out(&pass->needs, tile.site))
        tile.at = pass->statistics->sets[tile.site].hessian + (size_t)tile.i * (size_t)width +
                  (size_t)tile.j;
    return tile;
}

/* Adds the slots' X^T X to one tile on or above the diagonal. */
static enum bs_status add_hessian_tile(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct pass *pass = context;
    struct tile t = find_tile(pass, index);
    int tokens = pass->inputs->tokens, height = t.i == t.j ? STRIP : TILE;
    for (int k = 0; k < pass->slots && t.at; k++) {
        const float *x = pass->slot[k].set_input[t.site];
        const float *left = x + (size_t)t.i * (size_t)tokens;
        const float *right = x + (size_t)t.j * (size_t)tokens;
        for (int i = 0; i < t.m; i += height) {
            int rows = t.m - i < height ? t.m - i : height, below = t.i == t.j ? i : 0;
            bs_gemm_tn(rows, t.n - below, tokens, 1, left + i, t.m, right + below, t.n, 1,
                       t.at + (size_t)i * (size_t)t.width + below, t.width);
        }
    }
    return BS_OK;
}

/* Takes the mean over windows of one tile, twice, and writes it below the diagonal too. */
static enum bs_status finish_hessian_tile(void *context, int index, int thread,
                                          struct bs_error *err)
{
    (void)thread, (void)err;
    const struct pass *pass = context;
    struct tile t = find_tile(pass, index);
    float factor = 2 / (float)pass->inputs->windows;
    if (!t.at)
        return BS_OK;
    float *hessian = pass->statistics->sets[t.site].hessian;
    size_t width = (size_t)t.width, rows = (size_t)(t.i + t.m), columns = (size_t)(t.j + t.n);
    for (size_t first = (size_t)t.i; first < rows; first += LINE) {
        size_t end = first + LINE < rows ? first + LINE : rows;
        for (size_t j = (size_t)t.j; j < columns; j++)
            for (size_t i = first; i < end && i <= j; i++) {
                hessian[i * width + j] *= factor;
                hessian[j * width + i] = hessian[i * width + j];
            }
    }
    return BS_OK;
}

static void add_channels(const struct pass *pass, const struct slot *slot)
{
    const struct bs_program *p = &pass->block->architecture->program;
    for (int k = 0; k < p->num_inputs; k++) {
        int s = p->inputs[k];
        struct bs_set_statistics *to = &pass->statistics->sets[s];
        int width = width_of(pass->block->architecture, s);
        /* In float the sum of means: each is a double sum over its window. */
        for (int j = 0; to->absmean && j < width; j++)
            to->absmean[j] += (float)(slot->absmean[s][j] / pass->inputs->tokens);
        for (int j = 0; to->absmax && j < width; j++)
            to->absmax[j] = fmaxf(to->absmax[j], slot->absmax[s][j]);
    }
}

static void add_ranges(struct bs_ranges *to, const struct bs_ranges *from)
{
    for (int v = 0; v < BS_MAX_VALUES; v++) {
        to->low[v] = fminf(to->low[v], from->low[v]);
        to->high[v] = fmaxf(to->high[v], from->high[v]);
    }
}

static void empty_ranges(struct bs_ranges *ranges)
{
    for (int v = 0; v < BS_MAX_VALUES; v++) {
        ranges->low[v] = INFINITY;
        ranges->high[v] = -INFINITY;
    }
}

static enum bs_status run_batch(struct pass *pass, struct bs_error *err)
{
    for (int k = 0; k < pass->slots; k++)
        empty_ranges(&pass->slot[k].ranges);
    if (bs_parallel(pass->slots, forward_window, pass, err))
        return err->status;
    for (int k = 0; k < pass->slots; k++) {
        if (pass->ranges)
            add_ranges(pass->ranges, &pass->slot[k].ranges);
        if (pass->statistics)
            add_channels(pass, &pass->slot[k]);
    }
    if (!pass->needs.hessian)
        return BS_OK;
    return bs_parallel(tiles_of_all(pass->block->architecture), add_hessian_tile, pass, err);
}

/* H = 2/windows X^T X, both triangles; the mean of the windows' means. */
static enum bs_status finish(struct pass *pass, struct bs_error *err)
{
    const struct bs_architecture *a = pass->block->architecture;
    float windows = (float)pass->inputs->windows;
    for (int k = 0; k < a->program.num_inputs; k++) {
        struct bs_set_statistics *s = &pass->statistics->sets[a->program.inputs[k]];
        for (int j = 0; s->absmean && j < width_of(a, a->program.inputs[k]); j++)
            s->absmean[j] /= windows;
    }
    int tiles = pass->needs.hessian ? tiles_of_all(a) : 0;
    return bs_parallel(tiles, finish_hessian_tile, pass, err);
}

static enum bs_status allocate_statistics(struct pass *pass, struct bs_error *err)
{
    const struct bs_architecture *a = pass->block->architecture;
    const struct bs_needs *needs = &pass->needs;
    size_t tokens = (size_t)pass->inputs->windows * (size_t)pass->inputs->tokens;
    *pass->statistics = (struct bs_statistics){pass->inputs->windows, pass->inputs->tokens, {{0}}};
    bool enough = true;
    for (int k = 0; k < a->program.num_inputs; k++) {
        int site = a->program.inputs[k];
        struct bs_part part;
        struct bs_set_statistics *s = &pass->statistics->sets[site];
        size_t width = (size_t)width_of(a, site);
        if (left_out(needs, site))
            continue;
        if (needs->hessian)
            enough &= (s->hessian = bs_calloc(width * width, sizeof(float))) != NULL;
        if (needs->absmax)
            enough &= (s->absmax = bs_calloc(width, sizeof(float))) != NULL;
        if (needs->absmean)
            enough &= (s->absmean = bs_calloc(width, sizeof(float))) != NULL;
        if (needs->module_inputs && bs_program_inspected(&a->program, site, &part) &&
            bs_stream_init_beside(pass->inputs, &s->inputs, (int)width, err))
            return err->status;
        if (needs->sample_tokens) {
            size_t stride = (size_t)sample_stride(pass->inputs, needs->sample_tokens);
            s->num_samples = (int)((tokens + stride - 1) / stride);
            s->samples = bs_alloc((size_t)s->num_samples * width, sizeof(float));
            enough &= s->samples != NULL;
        }
    }
    return enough ? BS_OK : bs_fail_memory(err);
}

static enum bs_status allocate_slots(struct pass *pass, int slots, struct bs_error *err)
{
    const struct bs_architecture *a = pass->block->architecture;
    pass->slot = bs_calloc((size_t)slots, sizeof *pass->slot);
    bool enough = pass->slot != NULL;
    for (int k = 0; k < slots && enough; k++) {
        pass->slot[k].pass = pass;
        for (int i = 0; i < a->program.num_inputs && enough; i++) {
            int s = a->program.inputs[i];
            size_t width = (size_t)width_of(a, s);
            if (left_out(&pass->needs, s))
                continue;
            if (pass->needs.hessian)
                enough &= (pass->slot[k].set_input[s] = bs_alloc(
                               (size_t)pass->inputs->tokens * width, sizeof(float))) != NULL;
            if (pass->needs.absmax)
                enough &= (pass->slot[k].absmax[s] = bs_alloc(width, sizeof(float))) != NULL;
            if (pass->needs.absmean)
                enough &= (pass->slot[k].absmean[s] = bs_alloc(width, sizeof(double))) != NULL;
        }
    }
    return enough ? BS_OK : bs_fail_memory(err);
}

static void free_slots(struct pass *pass, int slots)
{
    for (int k = 0; pass->slot && k < slots; k++)
        for (int s = 0; s < BS_MAX_VALUES; s++) {
            bs_free(pass->slot[k].set_input[s]);
            bs_free(pass->slot[k].absmax[s]);
            bs_free(pass->slot[k].absmean[s]);
        }
    bs_free(pass->slot);
}

/* Static scales look at all inputs. */
static int last_wanted(const struct pass *pass)
{
    const struct bs_program *p = &pass->block->architecture->program;
    int last = p->num_inputs - 1;
    while (!pass->ranges && last > 0 && left_out(&pass->needs, p->inputs[last]))
        last--;
    return p->inputs[last];
}

enum bs_status bs_calibrate(const struct bs_block *block, const struct bs_rope *rope,
                            const struct bs_stream *inputs, const struct bs_needs *needs,
                            struct bs_statistics *statistics, struct bs_ranges *ranges,
                            const struct bs_stream *outputs, struct bs_scratch *scratch,
                            struct bs_error *err)
{
    /* A pass over the block as if its activations were not quantized. */
    struct bs_block plain = *block;
    bs_block_clear_sites(&plain);
    bool collects = needs && bs_needs_any(needs);
    struct pass pass = {.block = &plain,
                        .rope = rope,
                        .inputs = inputs,
                        .outputs = outputs,
                        .statistics = collects ? statistics : NULL,
                        .ranges = ranges,
                        .scratch = scratch};
    if (collects)
        pass.needs = *needs;
    pass.last = last_wanted(&pass);
    if (statistics)
        *statistics = (struct bs_statistics){.windows = 0};
    if (ranges)
        empty_ranges(ranges);
    int threads = bs_threads();
    enum bs_status status = allocate_slots(&pass, threads, err);
    if (!status && collects)
        status = allocate_statistics(&pass, err);
    for (; pass.first < inputs->windows && !status; pass.first += threads) {
        int left = inputs->windows - pass.first;
        pass.slots = left < threads ? left : threads;
        status = run_batch(&pass, err);
    }
    free_slots(&pass, threads);
    if (!status && collects)
        status = finish(&pass, err);
    if (status && collects)
        bs_statistics_release(statistics);
    return status;
}

void bs_statistics_release(struct bs_statistics *statistics)
{
    for (int s = 0; s < BS_MAX_VALUES; s++) {
        bs_free(statistics->sets[s].hessian);
        bs_free(statistics->sets[s].absmax);
        bs_free(statistics->sets[s].absmean);
        bs_stream_release(&statistics->sets[s].inputs);
        bs_stream_release(&statistics->sets[s].outputs);
        bs_free(statistics->sets[s].samples);
        bs_factors_release(&statistics->sets[s]);
    }
    *statistics = (struct bs_statistics){.windows = 0};
}

struct bs_calibrate_bytes bs_calibrate_bytes(const struct bs_architecture *a,
                                             const struct bs_needs *needs, int windows, int tokens)
{
    double floats = 0, streams = 0, all = (double)windows * tokens;
    for (int k = 0; k < a->program.num_inputs; k++) {
        struct bs_part part;
        double width = width_of(a, a->program.inputs[k]);
        if (needs->hessian)
            floats += width * width;
        if (needs->hessian)
            floats += bs_threads() * (double)tokens * width;
        if (needs->module_inputs && bs_program_inspected(&a->program, a->program.inputs[k], &part))
            streams += all * (width + a->hidden_size); /* the module's outputs too */
        if (needs->sample_tokens)
            floats += 2.0 * needs->sample_tokens * width;
    }
    return (struct bs_calibrate_bytes){floats * sizeof(float), streams * sizeof(float)};
}

struct push {
    const struct bs_block *block;
    const struct bs_rope *rope;
    const struct bs_stream *stream;
    struct bs_scratch *scratch;
};

static enum bs_status push_window(void *context, int window, int thread, struct bs_error *err)
{
    const struct push *push = context;
    const struct bs_stream *stream = push->stream;
    float *x = bs_stream_window(stream, window);
    bs_block_forward(push->block, push->rope, x, x, stream->tokens, NULL, &push->scratch[thread]);
    enum bs_status status = check_output(x, window, stream->tokens, stream->width, err);
    bs_stream_forget(stream, window);
    return status;
}

enum bs_status bs_stream_push(const struct bs_block *block, const struct bs_rope *rope,
                              const struct bs_stream *stream, struct bs_scratch *scratch,
                              struct bs_error *err)
{
    struct push push = {block, rope, stream, scratch};
    return bs_parallel(stream->windows, push_window, &push, err);
}
