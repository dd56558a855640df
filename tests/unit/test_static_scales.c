/* Scales that are fixed from the calibration for each head and each channel, against all that
 * passes a site, sorted. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/run/apply.h"
#include "eval/run/static_scales.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"

static struct random_block random_;
static struct bs_block got;

static int setup(void **state)
{
    (void)state;
    random_block_init(&random_, &small_shape);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bs_block_release(&got);
    random_block_release(&random_);
    return 0;
}

static int site_called(const char *name)
{
    return bs_program_find(&random_.architecture.programs[0], name);
}

/* `got` is the block under the recipe, with statistics that were taken before or without. */
static void apply(const struct bs_recipe *recipe, struct bs_statistics *shared)
{
    struct bs_error err;
    struct bs_inputs inputs = {.rope = random_.rope,
                               .unquantized = &random_.inputs,
                               .quantized = &random_.inputs,
                               .shared = shared,
                               .scratch = random_.scratch};
    assert_int_equal(bs_block_copy(&got, &random_.block, &err), BS_OK);
    if (bs_apply_recipe(recipe, &got, &inputs, &err))
        fail_msg("%s", err.message);
}

static int rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(const float *sorted, size_t count, double q)
{
    double rank = q * (double)(count - 1), below = floor(rank);
    size_t at = (size_t)below, next = at + 1 < count ? at + 1 : at;
    return (double)sorted[at] + (rank - below) * ((double)sorted[next] - (double)sorted[at]);
}

/* The parameters of a site's parts are those of its channels' quantiles, several channels a part.
 */
static void assert_parts(const char *name, int source, int parts, double keep)
{
    struct bs_error err;
    struct bs_statistics all;
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    bs_want(&wanted, &bs_stat_inputs, source, 0);
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &random_.inputs, NULL, &wanted,
                                  &all, NULL, random_.scratch, &err),
                     BS_OK);
    const float *x = bs_statistics_of(&all, &bs_stat_inputs, source);
    size_t width = (size_t)random_.block.program->values[source].width;
    size_t rows = (size_t)random_.inputs.windows * (size_t)random_.inputs.tokens, count = 0;
    size_t per = width / (size_t)parts;
    const struct bs_site_setting *site = &got.sites[site_called(name)];
    float *values = bs_alloc(rows * per, sizeof *values);
    assert_int_equal(site->num_parts, parts);
    for (size_t k = 0; k < (size_t)parts; k++, count = 0) {
        for (size_t t = 0; t < rows; t++)
            for (size_t j = 0; j < per; j++)
                values[count++] = x[t * width + k * per + j];
        qsort(values, count, sizeof *values, rising);
        assert_close((double)site->parts[k].low, quantile(values, count, keep / 2), 0, 2e-6);
        assert_close((double)site->parts[k].high, quantile(values, count, 1 - keep / 2), 0, 2e-6);
    }
    bs_free(values);
    bs_statistics_release(&all);
    bs_wanted_release(&wanted);
}

/* Collects a window's values of a head, window after window, each a batch. */
struct head {
    int site, head;
    float *values;
    size_t count;
};

static void take_head(void *context, int value, const float *x, int rows, int stride)
{
    struct head *to = context;
    const struct bs_value *is = &random_.block.program->values[value];
    int width = is->width ? is->width / is->heads : 1;
    for (int t = 0; t < rows && value == to->site; t++)
        for (int j = 0; j < width; j++)
            to->values[to->count++] = x[t * stride + to->head * width + j];
}

/* What the range finds in one head's values. */
static struct bs_extremes percentile_of_head(const char *site, int head, double percentile)
{
    const struct bs_range *range =
        (const struct bs_range *)bs_registry_find(&bs_range_registry, "percentile");
    int tokens = random_.inputs.tokens, windows = random_.inputs.windows;
    size_t pairs = (size_t)bs_attention_pairs(tokens);
    float *room = bs_alloc(pairs * (size_t)small_shape.heads, sizeof *room);
    float *values = bs_alloc(pairs * (size_t)small_shape.head_dim, sizeof *values);
    void *state = bs_calloc(range->watch_bytes(windows), 1);
    struct bs_extremes all = {INFINITY, -INFINITY};
    for (int w = 0; w < windows; w++) {
        struct head at = {site_called(site), head, values, 0};
        struct bs_observer observer = {
            .context = &at, .site = take_head, .last = at.site, .probabilities = room};
        bs_block_forward(&random_.block, random_.rope, bs_stream_window(&random_.inputs, w), NULL,
                         tokens, &observer, random_.scratch);
        struct bs_sample batch = bs_sample_of(values, at.count);
        range->watch(state, windows, &batch);
        for (size_t i = 0; i < at.count; i++) {
            all.low = fminf(all.low, values[i]);
            all.high = fmaxf(all.high, values[i]);
        }
    }
    range->extremes(&percentile, state, &all.low, &all.high);
    bs_free(room);
    bs_free(values);
    bs_free(state);
    return all;
}

static void parts_span_what_passed_them(void **state)
{
    (void)state;
    const int kv = small_shape.kv_heads, narrow = kv * small_shape.head_dim;
    const struct bs_program *p = random_.block.program;
    const struct {
        const char *settings, *site, *source;
        int parts;
        double keep;
    } cases[] = {
        {"kv.bits=4 kv.sharing=static_head", "key", "key", kv, 0},
        {"kv.bits=4 kv.sharing=static_channel", "value", "value", narrow, 0},
        {"kv.bits=4 kv.sharing=static_channel kv.pre_rope=true", "key", "k", narrow, 0},
        {"kv.bits=4 kv.sharing=static_channel kv.keep=0.1 kv.pre_rope=true", "key", "k", narrow,
         0.1},
        {"kv.bits=4 kv.sharing=static_channel kv.keep=0.001", "key", "key", narrow, 0.001},
        {"a.bits=4 a.sharing=static_channel a.keep=0.5", "attn_input", "attn_input",
         small_shape.hidden, 0.5},
        {"a.bits=4 a.sharing=static_head", "o_input", "o_input", small_shape.heads, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_recipe recipe;
        recipe_build(&recipe, "rtn", cases[i].settings);
        apply(&recipe, NULL);
        assert_parts(cases[i].site, bs_program_find(p, cases[i].source), cases[i].parts,
                     cases[i].keep);
        bs_recipe_release(&recipe);
    }
}

/* By a range that watches, a head has the scale that its values alone would have. Of probabilities
 * all heads reach 1, which is where a percentile of all of them is; the extremes are known. */
static void heads_are_watched_each_by_itself(void **state)
{
    (void)state;
    static const char *const sites[] = {"key", "attn_probs"};
    for (int i = 0; i < 2; i++) {
        char settings[160];
        struct bs_recipe recipe;
        snprintf(settings, sizeof settings,
                 "a.bits=8 a.where=%s a.sharing=static_head a.range=percentile "
                 "a.range_percentile=90",
                 sites[i]);
        recipe_build(&recipe, "rtn", settings);
        apply(&recipe, NULL);
        const struct bs_site_setting *site = &got.sites[site_called(sites[i])];
        int heads = i ? small_shape.heads : small_shape.kv_heads;
        assert_int_equal(site->num_parts, heads);
        for (int h = 0; h < heads; h++) {
            struct bs_extremes own = percentile_of_head(sites[i], h, 90);
            assert_true(site->parts[h].low == own.low && site->parts[h].high == own.high);
            assert_true(h == 0 || own.high != site->parts[h - 1].high);
        }
        bs_recipe_release(&recipe);
    }
    struct bs_recipe recipe;
    recipe_build(&recipe, "rtn", "a.bits=8 a.where=attn_probs a.sharing=static_head");
    apply(&recipe, NULL);
    const struct bs_site_setting *site = &got.sites[site_called("attn_probs")];
    assert_true(site->num_parts == 0 && site->fixed.low == 0 && site->fixed.high == 1);
    bs_recipe_release(&recipe);
}

/* They are seen in the pass that all share, and where a step has changed the block by then in the
 * pass of the one that rounds; only where that takes none do they have one of their own. */
static void a_static_site_has_no_pass_of_its_own_where_there_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        int passes;
    } cases[] = {
        {"rtn", "bits=8 a.bits=8 a.sharing=static", 0},
        {"gptq", "bits=4 a.bits=8 a.sharing=static_channel", 0},
        {"rtn", "bits=8 a.bits=8 a.where=attn_probs a.sharing=static_head a.range=entropy", 0},
        {"smoothquant", "bits=8 a.bits=8 a.where=attn_probs a.sharing=static a.range=histogram", 1},
        {"gptq", "bits=4 true_sequential=true", 4},
        {"gptq", "bits=4 true_sequential=true a.bits=8 a.sharing=static_head", 4},
        {"gptq", "bits=4 kv.bits=4 kv.sharing=static_channel kv.pre_rope=true kv.keep=0.1", 0},
        {"smoothquant gptq", "bits=4 a.bits=8 calibrate_on=unquantized", 1},
        {"smoothquant gptq", "bits=4 a.bits=8 a.sharing=static calibrate_on=unquantized", 1},
        {"smoothquant gptq", "bits=4 a.bits=8 a.sharing=static", 2}, /* the other is its own's */
        {"smoothquant", "bits=8 a.bits=8 a.sharing=static", 1},
        {"smoothquant rtn", "bits=8 a.bits=8 a.sharing=static", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_recipe recipe;
        struct bs_own_passes passes;
        struct bs_wanted wanted = {.architecture = &random_.architecture};
        recipe_build(&recipe, cases[i].chain, cases[i].settings);
        bs_apply_share(&recipe, &wanted);
        bs_apply_own_passes(&recipe, &random_.architecture, 0, &passes);
        assert_int_equal(passes.count, cases[i].passes);
        bs_own_passes_release(&passes);
        struct bs_statistics shared = random_block_statistics(&random_, &wanted);
        apply(&recipe, NULL);
        struct bs_block alone = {.architecture = NULL};
        alone = got;
        got = (struct bs_block){.architecture = NULL};
        apply(&recipe, &shared);
        for (int v = 0; v < got.program->num_values; v++) {
            const struct bs_site_setting *a = &got.sites[v], *b = &alone.sites[v];
            assert_int_equal(a->num_parts, b->num_parts);
            assert_memory_equal(bs_site_fixed(a), bs_site_fixed(b), sizeof(struct bs_fixed));
        }
        assert_true(outputs_apart(&random_, &got, &alone) == 0);
        bs_block_release(&alone);
        bs_statistics_release(&shared);
        bs_wanted_release(&wanted);
        bs_recipe_release(&recipe);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_span_what_passed_them),
        cmocka_unit_test(heads_are_watched_each_by_itself),
        cmocka_unit_test(a_static_site_has_no_pass_of_its_own_where_there_is_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
