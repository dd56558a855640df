/* Attention over a cache, against the same computed token by token: what is stored is stored once,
 * and a query sees what was stored by then. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/hadamard.h"
#include "eval/model/cache.h"
#include "eval/model/rope.h"
#include "eval/quant/bits.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"
#include "tests/support/settings.h"

enum { HEADS = 4, KV_HEADS = 2, DIM = 16, TOKENS = 290, HIDDEN = 48 };
enum { WIDE = HEADS * DIM, NARROW = KV_HEADS * DIM };

static const struct random_shape shape = {.hidden = HIDDEN,
                                          .intermediate = 40,
                                          .heads = HEADS,
                                          .kv_heads = KV_HEADS,
                                          .head_dim = DIM,
                                          .windows = 1,
                                          .tokens = TOKENS,
                                          .seed = 5};
static struct random_block random_;

static int setup(void **state)
{
    (void)state;
    random_block_init(&random_, &shape);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    random_block_release(&random_);
    return 0;
}

/* What a forward pass shows of attention. */
static struct {
    float query[TOKENS * WIDE], out[TOKENS * WIDE], before[TOKENS * NARROW]; /* keys' positions */
    float side[BS_NUM_CACHED][TOKENS * NARROW];
} shown;

static void copy_rows(float *to, const float *x, int rows, int stride, int width)
{
    for (int t = 0; t < rows; t++)
        memcpy(to + t * width, x + t * stride, (size_t)width * sizeof *x);
}

static void show(void *context, int value, const float *x, int rows, int stride)
{
    (void)context;
    const char *name = random_.block.program->values[value].name;
    if (!strcmp(name, "query"))
        copy_rows(shown.query, x, rows, stride, WIDE);
    if (!strcmp(name, "k"))
        copy_rows(shown.before, x, rows, stride, NARROW);
    if (!strcmp(name, "o_input"))
        copy_rows(shown.out, x, rows, stride, WIDE);
    for (int c = 0; c < BS_NUM_CACHED; c++)
        if (!strcmp(name, bs_cached_names[c]))
            copy_rows(shown.side[c], x, rows, stride, NARROW);
}

static void set_sites(const char *keys, const char *values, const char *probabilities)
{
    static const struct bs_setting none;
    const struct bs_setting *sites[BS_MAX_VALUES];
    const struct bs_program *p = random_.block.program;
    struct bs_error err;
    for (int v = 0; v < p->num_values; v++)
        sites[v] = &none;
    sites[bs_program_find(p, "key")] = keys ? cache_setting(keys) : &none;
    sites[bs_program_find(p, "value")] = values ? cache_setting(values) : &none;
    if (probabilities)
        sites[bs_program_find(p, "attn_probs")] = activations_setting(probabilities);
    assert_int_equal(bs_block_quantize_sites(&random_.block, sites, &err), BS_OK);
}

static void set_cache(const char *keys, const char *values) { set_sites(keys, values, NULL); }

static void run(float *y)
{
    struct bs_observer observer = {.site = show};
    bs_block_forward(&random_.block, random_.rope, random_.inputs.data, y, TOKENS, &observer,
                     &random_.scratch[0]);
    assert_int_equal(random_.scratch[0].used, 0);
}

/* ---- token by token ---- */

/* Heads turned, in place. */
static void turn(float *x, int rows)
{
    for (int i = 0; i < rows * KV_HEADS; i++)
        bs_hadamard(x + i * DIM, DIM, 1);
}

/* Some tokens as they are stored. */
static void store(const struct bs_setting *setting, float *x, int rows)
{
    struct bs_scratch *scratch = bs_scratch_create(1, bs_values_floats(rows, NARROW));
    if (setting->hadamard)
        turn(x, rows);
    bs_values_round(setting, NULL, bs_rounder_of(setting, 0),
                    &(struct bs_values){x, rows, NARROW, NARROW, KV_HEADS}, scratch);
    if (setting->hadamard)
        turn(x, rows);
    bs_scratch_free(scratch, 1);
}

/* Keys from `first` on as they are stored before their positions, at these. */
static void store_unrotated(const struct bs_setting *setting, float *x, int first, int rows)
{
    memcpy(x, shown.before + first * NARROW, (size_t)(rows * NARROW) * sizeof *x);
    store(setting, x, rows);
    bs_rotate(random_.rope, false, x, first, rows, KV_HEADS, DIM, NARROW);
}

/* A cache that grows: [0, stored) of rows are stored. */
struct growing {
    const struct bs_setting *setting; /* NULL: nothing is ever stored */
    float rows[TOKENS * NARROW];
    int count, stored;
};

static void store_next(struct growing *cache, int count)
{
    int keep = cache->setting->first - cache->stored;
    keep = keep < 0 ? 0 : keep < count ? keep : count;
    float *rows = cache->rows + (cache->stored + keep) * NARROW;
    if (count > keep && cache->setting->pre_rope)
        store_unrotated(cache->setting, rows, cache->stored + keep, count - keep);
    else if (count > keep)
        store(cache->setting, rows, count - keep);
    cache->stored += count;
}

/* Takes a token in; after it was attended to what is to leave the newest is stored. */
static void take(struct growing *cache, const float *row)
{
    memcpy(cache->rows + cache->count++ * NARROW, row, NARROW * sizeof *row);
}

static void settle(struct growing *cache)
{
    const struct bs_setting *setting = cache->setting;
    int waiting = cache->count - cache->stored;
    if (!setting)
        return;
    if (setting->leave == BS_LEAVE_TOGETHER && waiting == setting->residual)
        store_next(cache, waiting);
    else if (setting->leave == BS_LEAVE_ONE && waiting > setting->residual)
        store_next(cache, 1);
}

static void attend(const float *query, const struct growing *keys, const struct growing *values,
                   int head, double *out)
{
    static double p[TOKENS];
    double high = -INFINITY, sum = 0;
    int at = head / (HEADS / KV_HEADS) * DIM, count = keys->count;
    for (int s = 0; s < count; s++) {
        p[s] = 0;
        for (int j = 0; j < DIM; j++)
            p[s] += (double)query[head * DIM + j] * (double)keys->rows[s * NARROW + at + j];
        p[s] *= (double)random_.architecture.attention_scale;
        high = fmax(high, p[s]);
    }
    for (int s = 0; s < count; s++)
        sum += p[s] = exp(p[s] - high);
    for (int j = 0; j < DIM; j++) {
        out[j] = 0;
        for (int s = 0; s < count; s++)
            out[j] += p[s] / sum * (double)values->rows[s * NARROW + at + j];
    }
}

/* What was shown is what a run token by token makes. */
static void assert_token_by_token(const char *keys, const char *values)
{
    static struct growing cache[BS_NUM_CACHED];
    const char *const settings[] = {keys, values};
    for (int c = 0; c < BS_NUM_CACHED; c++)
        cache[c] = (struct growing){.setting = settings[c] ? cache_setting(settings[c]) : NULL};
    for (int t = 0; t < TOKENS; t++) {
        for (int c = 0; c < BS_NUM_CACHED; c++)
            take(&cache[c], shown.side[c] + t * NARROW);
        for (int h = 0; h < HEADS; h++) {
            double out[DIM];
            attend(shown.query + t * WIDE, &cache[0], &cache[1], h, out);
            for (int j = 0; j < DIM; j++)
                assert_close((double)shown.out[t * WIDE + h * DIM + j], out[j], 1e-5, 1e-5);
        }
        for (int c = 0; c < BS_NUM_CACHED; c++)
            settle(&cache[c]);
    }
}

static const char *const stores[][2] = {
    {"bits=2 when=store", "bits=2 when=store"},
    {"bits=2 sharing=channel group_size=8 when=store residual=32 leave=together",
     "bits=2 group_size=8 when=store residual=32"},
    {"bits=3 sharing=channel group_size=16 when=store residual=16 leave=together pre_rope=true",
     NULL},
    {"bits=2 when=store residual=200 leave=together", "bits=2 when=store residual=7"},
    {NULL, "bits=4 grid=kvquant sharing=token keep=0.1 when=store residual=5 first=3"},
    {"bits=3 when=store first=140", "bits=3 when=store first=4 residual=130 leave=together"},
    {"bits=3 when=store pre_rope=true residual=3 first=2", "bits=3 when=store"},
    {"bits=2 grid=kvquant sharing=token keep=0.1 when=store pre_rope=true", NULL},
    {"bits=3 when=store hadamard=true", "format=fp8_e4m3 sharing=token when=store hadamard=true"},
};
enum { STORES = sizeof stores / sizeof *stores };

static void queries_see_what_was_stored_by_then(void **state)
{
    (void)state;
    static float y[TOKENS * HIDDEN];
    for (int i = 0; i < STORES; i++) {
        set_cache(stores[i][0], stores[i][1]);
        run(y);
        assert_token_by_token(stores[i][0], stores[i][1]);
    }
}

/* `use`: all are stored before any query looks. */
static void queries_see_all_of_it_quantized(void **state)
{
    (void)state;
    static float y[TOKENS * HIDDEN], rows[BS_NUM_CACHED][TOKENS * NARROW];
    static const char *const settings[] = {"bits=2", "bits=3 sharing=channel group_size=32 first=5",
                                           "bits=3 sharing=token hadamard=true",
                                           "bits=2 pre_rope=true",
                                           "bits=3 sharing=channel pre_rope=true first=5"};
    for (int i = 0; i < 5; i++) {
        const struct bs_setting *setting = cache_setting(settings[i]);
        static struct growing cache[BS_NUM_CACHED];
        set_cache(settings[i], settings[i]);
        run(y);
        memcpy(rows, shown.side, sizeof rows);
        int first = setting->first, count = TOKENS - first;
        for (int c = 0; c < BS_NUM_CACHED; c++)
            store(setting, rows[c] + first * NARROW, count);
        if (setting->pre_rope)
            store_unrotated(setting, rows[0] + first * NARROW, first, count);
        for (int t = 0; t < TOKENS; t += 13)
            for (int h = 0; h < HEADS; h++) {
                double out[DIM];
                for (int c = 0; c < BS_NUM_CACHED; c++) {
                    memcpy(cache[c].rows, rows[c], sizeof rows[c]);
                    cache[c].count = t + 1;
                }
                attend(shown.query + t * WIDE, &cache[0], &cache[1], h, out);
                for (int j = 0; j < DIM; j++)
                    assert_close((double)shown.out[t * WIDE + h * DIM + j], out[j], 1e-5, 1e-5);
            }
    }
}

/* Keys by whole heads of 128, values by halves. */
static void wide_heads_turn_as_llama_cpp_turns_them(void **state)
{
    (void)state;
    static const int heads[] = {16, 64, 80, 96, 128, 192, 256};
    static const int keys[] = {16, 64, 16, 32, 128, 64, 256};
    static const int values[] = {16, 64, 16, 32, 64, 64, 64};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(bs_cache_turned(heads[i], false), keys[i]);
        assert_int_equal(bs_cache_turned(heads[i], true), values[i]);
    }
    enum { HEAD = 128, ROWS = 3 };
    const struct bs_setting *setting = cache_setting("format=q4_0 hadamard=true");
    struct bs_scratch *scratch = bs_scratch_create(1, bs_cache_floats(ROWS, HEAD));
    for (int of_values = 0; of_values < 2; of_values++) {
        float got[ROWS * HEAD], want[ROWS * HEAD];
        int span = bs_cache_turned(HEAD, of_values);
        struct bs_site_setting site = {.setting = setting, .turned = span};
        for (int i = 0; i < ROWS * HEAD; i++)
            want[i] = got[i] = (float)((i * 37) % 101) - 50;
        bs_cache_round(&site, &(struct bs_values){got, ROWS, HEAD, HEAD, 1}, 0, scratch);
        for (int i = 0; i < ROWS * HEAD; i += span)
            bs_hadamard(want + i, span, 1);
        bs_values_round(setting, NULL, bs_rounder_of(setting, 0),
                        &(struct bs_values){want, ROWS, HEAD, HEAD, 1}, scratch);
        for (int i = 0; i < ROWS * HEAD; i += span)
            bs_hadamard(want + i, span, 1);
        assert_memory_equal(got, want, sizeof want);
    }
    bs_scratch_free(scratch, 1);
}

/* Channels j and j + half of a head side by side, or back. */
static void pair(float *head, int width, bool back)
{
    float was[128];
    memcpy(was, head, (size_t)width * sizeof *was);
    for (int j = 0; j < width; j++) {
        int other = j < width / 2 ? 2 * j : 2 * (j - width / 2) + 1;
        head[back ? j : other] = was[back ? other : j];
    }
}

/* Q8_0 as it is stated: 32 values share the half-precision scale max|x| / 127. */
static void round_to_8_bits(float *x)
{
    float most = 0;
    for (int j = 0; j < 32; j++)
        most = fmaxf(most, fabsf(x[j]));
    for (int j = 0; j < 32; j++)
        x[j] = rintf(x[j] * (127 / most)) * bs_half_value(bs_half_of(most / 127));
}

/* As `compute: as llama.cpp` has it: keys in the order of its files, queries in blocks. */
static void keys_in_blocks_meet_queries_in_blocks(void **state)
{
    (void)state;
    enum { HEAD = 64, ROWS = 3, COUNT = ROWS * HEAD };
    static const char *const settings[] = {"format=q4_0 hadamard=true", "format=q5_1"};
    struct bs_scratch *scratch = bs_scratch_create(1, bs_cache_floats(ROWS, HEAD));
    for (int i = 0; i < 2; i++) {
        const struct bs_setting *setting = cache_setting(settings[i]);
        struct bs_site_setting site = {.setting = setting, .turned = HEAD, .blocks = true};
        assert_true(bs_cache_meets_blocks(setting, HEAD));
        assert_false(bs_cache_meets_blocks(setting, 80));
        float keys[COUNT], queries[COUNT], want_keys[COUNT], want[COUNT];
        for (int j = 0; j < COUNT; j++)
            queries[j] = want[j] = keys[j] = want_keys[j] = (float)((j * 37) % 101) - 49.7f;
        site.paired = true;
        const struct bs_values rows = {keys, ROWS, HEAD, HEAD, 1};
        bs_cache_round(&site, &rows, 0, scratch);
        bs_cache_round_query(&site, &(struct bs_values){queries, ROWS, HEAD, HEAD, 1}, scratch);
        for (int r = 0; r < ROWS; r++) {
            pair(want_keys + r * HEAD, HEAD, false);
            pair(want + r * HEAD, HEAD, false);
            if (setting->hadamard) {
                bs_hadamard(want_keys + r * HEAD, HEAD, 1);
                bs_hadamard(want + r * HEAD, HEAD, 1);
            }
            round_to_8_bits(want + r * HEAD);
            round_to_8_bits(want + r * HEAD + 32);
        }
        bs_values_round(setting, NULL, bs_rounder_of(setting, 0),
                        &(struct bs_values){want_keys, ROWS, HEAD, HEAD, 1}, scratch);
        for (int r = 0; r < ROWS; r++) {
            if (setting->hadamard) {
                bs_hadamard(want_keys + r * HEAD, HEAD, 1);
                bs_hadamard(want + r * HEAD, HEAD, 1);
            }
            pair(want_keys + r * HEAD, HEAD, true);
            pair(want + r * HEAD, HEAD, true);
        }
        assert_memory_equal(keys, want_keys, sizeof keys);
        assert_memory_equal(queries, want, sizeof queries);
        site.blocks = false;
        bs_cache_round_query(&site, &(struct bs_values){queries, ROWS, HEAD, HEAD, 1}, scratch);
        assert_memory_equal(queries, want, sizeof queries);
    }
    assert_false(bs_cache_meets_blocks(cache_setting("format=fp16"), HEAD));
    assert_false(bs_cache_meets_blocks(cache_setting("bits=4"), HEAD));
    bs_scratch_free(scratch, 1);
}

/* With as many waiting as there are tokens nothing is ever stored: the bits of no cache. */
static void what_is_never_stored_changes_nothing(void **state)
{
    (void)state;
    static float y[TOKENS * HIDDEN], want[TOKENS * HIDDEN];
    set_cache(NULL, NULL);
    run(want);
    set_cache("bits=2 when=store residual=300", "bits=2 when=store residual=300 leave=together");
    run(y);
    assert_memory_equal(y, want, sizeof y);
}

/* Probabilities of one head's query, in double precision. */
static void probabilities_of(const float *query, const float *keys, int head, int count, double *p)
{
    double high = -INFINITY, sum = 0;
    int at = head / (HEADS / KV_HEADS) * DIM;
    for (int s = 0; s < count; s++) {
        p[s] = 0;
        for (int j = 0; j < DIM; j++)
            p[s] += (double)query[head * DIM + j] * (double)keys[s * NARROW + at + j];
        p[s] *= (double)random_.architecture.attention_scale;
        high = fmax(high, p[s]);
    }
    for (int s = 0; s < count; s++)
        sum += p[s] = exp(p[s] - high);
    for (int s = 0; s < count; s++)
        p[s] /= sum;
}

/* What is attended to is within half a step of each probability, and not nearer than rounding
 * makes it. */
static void assert_rounded(double step_of_most, double step)
{
    double moved = 0;
    for (int t = 0; t < TOKENS; t += 7)
        for (int h = 0; h < HEADS; h++) {
            static double p[TOKENS];
            double most = 0, most_value = 0;
            int at = h / (HEADS / KV_HEADS) * DIM;
            probabilities_of(shown.query + t * WIDE, shown.side[0], h, t + 1, p);
            for (int s = 0; s <= t; s++)
                most = fmax(most, p[s]);
            double own = step_of_most > 0 ? most * step_of_most : step;
            for (int j = 0; j < DIM; j++) {
                double want = 0, near_ties = 0;
                for (int s = 0; s <= t; s++) {
                    double value = (double)shown.side[1][s * NARROW + at + j], steps = p[s] / own;
                    want += nearbyint(steps) * own * value;
                    bool tie = fabs(steps - floor(steps) - 0.5) < 1e-4;
                    near_ties += tie ? own * fabs(value) : 0; /* either is right */
                    most_value = fmax(most_value, fabs(nearbyint(steps) * own - p[s]));
                }
                double got = (double)shown.out[t * WIDE + h * DIM + j];
                assert_close(got, want, 2e-5 + near_ties, 1e-5);
            }
            moved = fmax(moved, most_value);
        }
    assert_true(moved > 1e-3);
}

static void probabilities_are_rounded_row_by_row(void **state)
{
    (void)state;
    static float y[TOKENS * HIDDEN], token[TOKENS * HIDDEN];
    set_sites(NULL, NULL, "bits=4 sharing=head");
    run(y);
    assert_rounded(1.0 / 7, 0);
    set_sites(NULL, NULL, "bits=4 sharing=token");
    run(token);
    assert_memory_equal(token, y, sizeof y);
    set_sites(NULL, NULL, "bits=4 sharing=static");
    run(y);
    assert_rounded(0, 1.0 / 7);
}

enum { PAIRS = TOKENS * (TOKENS + 1) / 2 };

/* What was shown of probabilities, and whether anything was after them. */
static struct {
    float room[PAIRS * HEADS];
    int rows;
    bool after;
} seen;

static void see(void *context, int value, const float *x, int rows, int stride)
{
    (void)context;
    seen.after |= seen.rows > 0;
    if (strcmp(random_.block.program->values[value].name, "attn_probs"))
        return;
    assert_ptr_equal(x, seen.room);
    assert_int_equal(stride, HEADS);
    seen.rows = rows;
}

static void assert_shown(int window)
{
    const float *p = seen.room;
    for (int t = 0; t < TOKENS; t++) {
        int count = window && t >= window ? window : t + 1;
        for (int h = 0; h < HEADS && !window; h++) {
            static double want[TOKENS];
            probabilities_of(shown.query + t * WIDE, shown.side[0], h, count, want);
            for (int s = 0; s < count && t % 29 == 0; s++)
                assert_close((double)p[s * HEADS + h], want[s], 1e-6, 1e-5);
        }
        for (int h = 0; h < HEADS; h++) {
            double sum = 0;
            for (int s = 0; s < count; s++)
                sum += (double)p[s * HEADS + h];
            assert_close(sum, 1, 0, 1e-5);
        }
        p += count * HEADS;
    }
    assert_int_equal(p - seen.room, seen.rows * HEADS);
}

/* As they are before they are rounded, whatever that does; and the pass may end there. */
static void probabilities_are_shown_as_they_are(void **state)
{
    (void)state;
    static float y[TOKENS * HIDDEN], want[TOKENS * HIDDEN];
    enum { WINDOW = 50 };
    random_.architecture.local_rope = random_.architecture.rope;
    for (int window = 0; window <= WINDOW; window += WINDOW) {
        random_.architecture.sliding_window = window;
        random_.architecture.local_layers[0] = window ? UINT64_MAX : 0;
        const int length = TOKENS;
        struct bs_rope *rope = bs_rope_create(&random_.architecture, &length, 1);
        assert_non_null(rope);
        set_sites(NULL, NULL, "bits=4 sharing=head");
        bs_block_forward(&random_.block, rope, random_.inputs.data, want, TOKENS,
                         &(struct bs_observer){.site = show}, &random_.scratch[0]);
        struct bs_observer observer = {.site = see, .probabilities = seen.room};
        seen.rows = 0;
        seen.after = false;
        bs_block_forward(&random_.block, rope, random_.inputs.data, y, TOKENS, &observer,
                         &random_.scratch[0]);
        assert_memory_equal(y, want, sizeof y);
        assert_shown(window);
        assert_true(seen.after);
        observer.last = bs_program_find(random_.block.program, "attn_probs");
        seen.rows = 0;
        seen.after = false;
        bs_block_forward(&random_.block, rope, random_.inputs.data, NULL, TOKENS, &observer,
                         &random_.scratch[0]);
        assert_shown(window);
        assert_false(seen.after);
        bs_rope_free(rope);
    }
    random_.architecture.sliding_window = 0;
    random_.architecture.local_layers[0] = 0;
}

/* Of those that a format takes in blocks; and what is quantized so of windows that fork. */
static const char *const probability_settings[] = {
    "bits=3 sharing=head rounding=stochastic", "bits=4 grid=gptq group_size=32 sharing=head",
    "format=mxfp4 sharing=head", "format=q8_0 sharing=token", "format=nvfp4 sharing=static"};

/* A branch sees its own positions, as a window of its own. */
static void branches_are_windows(void **state)
{
    (void)state;
    enum { SHARED = 150, FIRST = 60, SECOND = TOKENS - SHARED - FIRST };
    static float y[TOKENS * HIDDEN], alone[TOKENS * HIDDEN], x[TOKENS * HIDDEN];
    const struct bs_branch branch[] = {{SHARED, SHARED}, {SHARED + FIRST, SHARED}};
    const struct bs_fork fork = {
        .tokens = TOKENS, .shared = SHARED, .branches = 2, .branch = branch};
    const int rows = (int)(sizeof probability_settings / sizeof *probability_settings);
    for (int i = 0; i < STORES + rows; i++) {
        if (i == 1 || i == 2) /* groups of tokens: items are then apart */
            continue;
        if (i < STORES)
            set_cache(stores[i][0], stores[i][1]);
        else
            set_sites(NULL, NULL, probability_settings[i - STORES]);
        bs_block_forward_fork(&random_.block, random_.rope, random_.inputs.data, y, &fork, NULL,
                              &random_.scratch[0]);
        size_t shared = (size_t)SHARED * HIDDEN;
        memcpy(x, random_.inputs.data, shared * sizeof *x);
        memcpy(x + shared, random_.inputs.data + shared + (size_t)FIRST * HIDDEN,
               (size_t)SECOND * HIDDEN * sizeof *x);
        bs_block_forward(&random_.block, random_.rope, x, alone, SHARED + SECOND, NULL,
                         &random_.scratch[0]);
        for (int k = 0; k < SECOND * HIDDEN; k++)
            assert_close((double)y[shared + FIRST * HIDDEN + k], (double)alone[shared + k], 1e-6,
                         1e-6);
    }
}

/* By hand: 290 tokens of which the last 290 % 32 = 2 wait; groups of 8 of 2 bits and 32 of
 * parameters: 6 bits a value. */
static void bits_of_a_cache(void **state)
{
    (void)state;
    const struct bs_setting *keys =
        cache_setting("bits=2 sharing=channel group_size=8 when=store residual=32 leave=together");
    double bits = (2 * 16.0 + 288 * 6) * NARROW;
    assert_close(bs_cache_bits(keys, TOKENS, NARROW, KV_HEADS), bits, 0, 1e-12);
    assert_close(
        bs_cache_bits(cache_setting("format=q8_0 sharing=token first=4"), TOKENS, NARROW, KV_HEADS),
        (4 * 16 + 286 * 8.5) * NARROW, 0, 1e-12);
    assert_close(bs_cache_bits(cache_setting("bits=4 sharing=head"), TOKENS, NARROW, KV_HEADS),
                 TOKENS * NARROW * (4 + 32.0 / DIM), 0, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_see_what_was_stored_by_then),
        cmocka_unit_test(queries_see_all_of_it_quantized),
        cmocka_unit_test(wide_heads_turn_as_llama_cpp_turns_them),
        cmocka_unit_test(keys_in_blocks_meet_queries_in_blocks),
        cmocka_unit_test(what_is_never_stored_changes_nothing),
        cmocka_unit_test(probabilities_are_rounded_row_by_row),
        cmocka_unit_test(probabilities_are_shown_as_they_are),
        cmocka_unit_test(branches_are_windows),
        cmocka_unit_test(bits_of_a_cache),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
