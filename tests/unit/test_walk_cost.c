/* What a walk is said to need, against what it takes. */
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/run/walk_cost.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

static struct bs_model *model, *one_block, *two_blocks; /* model: one of them */

static int setup(void **state)
{
    bs_blas_init();
    folder_setup(state);
    one_block = model = tiny_model_cut(folder.path, 1, NULL);
    assert_int_equal(mkdir(folder_file(&folder, "two"), 0700), 0);
    two_blocks = tiny_model_cut(folder_file(&folder, "two"), 2, NULL);
    return 0;
}

static int teardown(void **state)
{
    bs_model_free(one_block);
    bs_model_free(two_blocks);
    return folder_teardown(state);
}

static struct bs_windows windows_of(int windows, int tokens)
{
    return tiny_model_windows("datasets/commons/calibration.txt", windows, tokens);
}

static void flops_by_hand(void **state)
{
    (void)state;
    struct bs_windows calibration = windows_of(3, 10),
                      texts[2] = {windows_of(2, 20), windows_of(5, 7)};
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 2, .texts = texts};
    /* A block: q, k, v, o of 256 x 256, 128, 128, 256 and three of 768 x 256; 4 heads of 64. Two
     * flops a weight and token; two products of 64 for each head and pair of tokens, half of them.
     */
    double weights = 256 * (256 + 128 + 128 + 256) + 3 * 768 * 256;
    double per_token = 2 * weights, pair = 4 * 64 * 2;
    assert_close(bs_walk_calibration_flops(&walk), 3 * (10 * per_token + 10 * 10 * pair), 0, 1e-12);
    double head = 2 * 4096 * 256;
    /* The head is asked for predictions only: one less than a window has tokens. */
    double first = 2 * (20 * per_token + 19 * head + 20 * 20 * pair);
    double second = 5 * (7 * per_token + 6 * head + 7 * 7 * pair);
    assert_close(bs_walk_evaluation_flops(&walk), first + second, 0, 1e-12);
    walk.calibration = NULL;
    assert_true(bs_walk_calibration_flops(&walk) == 0);
    bs_windows_release(&calibration);
    bs_windows_release(&texts[0]);
    bs_windows_release(&texts[1]);
}

/* What recipes alone would do on the unquantized model's streams, and what they do together, at the
 * one block. */
static void common_work_by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        int passes, factors; /* with the recipes before it */
    } cases[] = {
        {"rtn", "bits=4", 0, 0},
        {"gptq", "bits=4", 1, 4},
        {"gptq", "bits=3 group_size=64", 1, 4},
        {"gptq", "bits=3 act_order=true", 1, 8},
        {"gptq", "bits=3 true_sequential=true", 1, 8}, /* takes all for itself */
        {"awq", "bits=4 group_size=64", 1, 8},
        {"awq", "bits=4 group_size=64 clip_tokens=7", 1, 8}, /* samples other rows */
        {"smoothquant", "bits=8", 1, 8},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    struct bs_windows calibration = windows_of(3, 10), text = windows_of(2, 20);
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &text};
    const double tokens = 30, evaluation = bs_walk_evaluation_flops(&walk);
    /* Without outputs no down_proj; half of each X^T X. */
    const double pass = bs_walk_calibration_flops(&walk) - 2 * tokens * 768 * 256;
    const double hessians = tokens * (3 * 256 * 256 + 768 * 768);
    const double factor = (3 * 256.0 * 256 * 256 + 768.0 * 768 * 768) * 2 / 3 / 4;
    struct bs_recipe recipes[CASES];
    const struct bs_recipe *all[CASES];
    for (int k = 0; k < CASES; k++) {
        recipe_build(&recipes[k], cases[k].chain, cases[k].settings);
        all[k] = &recipes[k];
        struct bs_walk_common got = bs_walk_common(&walk, all, k + 1);
        assert_int_equal(got.evaluations, 1);
        assert_int_equal(got.block_passes, cases[k].passes);
        assert_int_equal(got.factors, cases[k].factors);
        double want = evaluation + cases[k].factors * factor + cases[k].passes * (pass + hessians);
        assert_close(got.flops, want, 0, 1e-12);
    }
    struct bs_walk_common alone = bs_walk_common(&walk, all + CASES - 1, 1);
    assert_int_equal(alone.block_passes, 1);
    /* The largest |x| of norms' outputs only: not through gate_proj and up_proj. */
    assert_close(alone.flops, evaluation + pass - 2 * tokens * 2 * 768 * 256, 0, 1e-12);
    for (int k = 0; k < CASES; k++)
        bs_recipe_release(&recipes[k]);
    bs_windows_release(&calibration);
    bs_windows_release(&text);
}

/* What a recipe does for itself at the one block, beside the first pass, which all share. */
static void own_work_by_hand(void **state)
{
    (void)state;
    const double attention = 256.0 * (256 + 128 + 128 + 256), mlp = 3 * 768.0 * 256;
    const double weights = attention + mlp, pairs = 3 * 10 * 10 * 4 * 64 * 2;
    const double down = 2 * 30 * 768.0 * 256; /* of a pass that ends before down_proj */
    const double columns = 256.0 * (weights - 768 * 256) + 768.0 * 768 * 256;
    const double grams = 30.0 * (3 * 256 * 256 + 768 * 768);
    const double factors = (3 * 256.0 * 256 * 256 + 768.0 * 768 * 768) * 2 / 3;
    const double whole = 2 * 30 * weights + pairs;
    /* Of awq: 20 exponents and the original through attention for q, k, v, through the MLP for gate
     * and up; o_proj and down_proj by themselves (o_proj is not as v_proj is, and is left out); 10
     * clips of all linears but q and k, in groups of 64. */
    const double modules = 21 * whole, alone = 20 * 768.0 * 256 * 769;
    const double clipped = weights - 256 * (256 + 128);
    const double clips = 30 * 64 * (256.0 + 256 + 2 * 256 + 768) + 2 * 10 * clipped * 64;
    const double searched = weights - 256 * 256;
    /* Set by set: to the input of q, k, v, before any linear; of o_proj, of gate and up, of
     * down. */
    const double true_passes = (2 * 30 * 256.0 * (256 + 128 + 128) + pairs) +
                               (2 * 30 * attention + pairs) + (whole - down);
    const struct {
        const char *chain, *settings;
        double flops, weights;
    } cases[] = {
        {"rtn", "bits=4", 0, weights},
        {"gptq", "bits=4", columns, weights},
        {"gptq", "bits=4 true_sequential=true", columns + grams + factors + true_passes, weights},
        {"smoothquant", "bits=8", 0, weights + 2 * (weights - 256 * 256 - 768 * 256)},
        {"outliers", "bits=4", 0, weights + weights - 256 * 256 - 768 * 256},
        {"outliers", "bits=4 factor=1", 0, weights},
        {"awq", "bits=4 group_size=64 clip=false", modules + alone, 21 * searched + weights},
        {"awq", "bits=4 group_size=64 scale=false", clips, 11 * clipped + weights},
        {"smoothquant gptq", "bits=4", columns + grams + factors + whole - down,
         weights + 2 * (weights - 256 * 256 - 768 * 256)},
        {"smoothquant gptq", "bits=4 a.bits=8 a.sharing=static calibrate_on=unquantized",
         columns + grams + factors + whole - down, weights + 2 * (weights - 256 * 256 - 768 * 256)},
        {"rtn", "bits=8 a.bits=8 a.sharing=static grid=smoothquant", 0, weights},
        {"smoothquant", "bits=8 a.bits=8 a.sharing=static", whole - down,
         weights + 2 * (weights - 256 * 256 - 768 * 256)},
    };
    struct bs_windows calibration = windows_of(3, 10), text = windows_of(2, 20);
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &text};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct bs_recipe recipe;
        recipe_build(&recipe, cases[k].chain, cases[k].settings);
        struct bs_cost cost = bs_walk_own_cost(&walk, &recipe);
        assert_close(cost.flops, cases[k].flops, 0, 1e-12);
        assert_close(cost.weights, cases[k].weights, 0, 1e-12);
        bs_recipe_release(&recipe);
    }
    bs_windows_release(&calibration);
    bs_windows_release(&text);
}

/* Every registered algorithm: more calibration is no less work, and no calibration none of
 * products, but of what turns the model: that works on every token. */
static void own_work_grows_with_calibration(void **state)
{
    (void)state;
    struct bs_windows few = windows_of(2, 16), more = windows_of(5, 16), text = windows_of(2, 20);
    for (int k = 0; bs_algorithm_at(k); k++) {
        struct bs_walk walk = {.model = model, .num_texts = 1, .texts = &text};
        struct bs_recipe recipe;
        recipe_build(&recipe, bs_algorithm_at(k)->plugin.name, "bits=4 group_size=64");
        bool calibrates = bs_recipe_needs_calibration(&recipe);
        bool turns = bs_algorithm_at(k)->prepare_model;
        if (!calibrates) {
            struct bs_cost none = bs_walk_own_cost(&walk, &recipe);
            assert_true((none.flops > 0) == turns && none.weights > 0);
        }
        walk.calibration = &few;
        struct bs_cost least = bs_walk_own_cost(&walk, &recipe);
        const struct bs_recipe *one = &recipe;
        double common = bs_walk_common(&walk, &one, 1).flops;
        walk.calibration = &more;
        struct bs_cost most = bs_walk_own_cost(&walk, &recipe);
        assert_true(least.weights > 0 && most.weights == least.weights);
        assert_true(most.flops >= least.flops && (calibrates || turns || most.flops == 0));
        if (calibrates)
            assert_true(most.flops + bs_walk_common(&walk, &one, 1).flops > least.flops + common);
        bs_recipe_release(&recipe);
    }
    bs_windows_release(&few);
    bs_windows_release(&more);
    bs_windows_release(&text);
}

/* A line of /proc/self/status in bytes. */
static double status_bytes(const char *name)
{
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            kilobytes = strtod(line + strlen(name), NULL);
    fclose(file);
    return 1024 * kilobytes;
}

/* Makes the peak start anew from here; false where the system does not let us. */
static bool reset_peak(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY);
    if (file < 0)
        return false;
    bool done = write(file, "5", 1) == 1;
    close(file);
    return done;
}

/* Runs the recipes and returns by how much resident memory grew at most; -1 where that cannot be
 * measured. */
static double growth(const struct bs_walk *walk, struct bs_recipe *recipes, int count)
{
    struct bs_error err;
    struct bs_variant variants[4];
    assert_in_range(count, 1, 4);
    malloc_trim(0);
    if (!reset_peak())
        return -1;
    double before = status_bytes("VmRSS:");
    memset(variants, 0, sizeof variants);
    for (int i = 0; i < count; i++)
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    assert_int_equal(bs_walk_run(walk, variants, count, &err), BS_OK);
    double peak = status_bytes("VmHWM:");
    for (int i = 0; i < count; i++) {
        assert_int_equal(variants[i].status, BS_OK);
        bs_variant_release(&variants[i]);
    }
    return peak - before;
}

/* A walk with two recipes of the same chain. */
struct load {
    const char *chain, *settings;
    int windows, tokens, probes, calibration_windows, calibration_tokens;
    bool spilled;
};

struct loaded {
    struct bs_recipe recipes[2];
    struct bs_windows calibration, text;
    struct bs_walk walk;
};

static void load_walk(struct loaded *loaded, const struct load *load)
{
    for (int i = 0; i < 2; i++)
        recipe_build(&loaded->recipes[i], load->chain, load->settings);
    loaded->calibration = windows_of(load->calibration_windows, load->calibration_tokens);
    loaded->text = windows_of(load->windows, load->tokens);
    loaded->walk = (struct bs_walk){.model = model,
                                    .calibration = &loaded->calibration,
                                    .num_texts = 1,
                                    .texts = &loaded->text,
                                    .layer_error_windows = load->probes,
                                    .scratch = load->spilled ? folder.path : NULL};
}

static void unload_walk(struct loaded *loaded)
{
    for (int i = 0; i < 2; i++)
        bs_recipe_release(&loaded->recipes[i]);
    bs_windows_release(&loaded->calibration);
    bs_windows_release(&loaded->text);
}

/* With the unquantized model alone, and of each of the recipes. */
struct memory {
    double fixed, per_variant, disk_fixed, disk_per_variant;
};

static struct memory memory_of(const struct loaded *loaded)
{
    const struct bs_recipe *recipes[] = {&loaded->recipes[0], &loaded->recipes[1]};
    struct bs_walk_bytes fixed = bs_walk_fixed_bytes(&loaded->walk, recipes, 2);
    struct bs_walk_bytes each = bs_walk_recipe_bytes(&loaded->walk, recipes[0], ~0u);
    return (struct memory){fixed.memory, each.memory, fixed.disk, each.disk};
}

static struct memory memory_of_load(const struct load *load)
{
    struct loaded loaded;
    load_walk(&loaded, load);
    struct memory memory = memory_of(&loaded);
    unload_walk(&loaded);
    return memory;
}

static void the_estimate_grows_with_what_is_asked(void **state)
{
    (void)state;
    const double mega = 1 << 20; /* 4096 tokens of 256 floats are 4 MiB */
    struct load load = {"rtn", "bits=4", 1, 256, 0, 1, 256, false};
    struct memory plain = memory_of_load(&load);
    load.windows = 17;
    struct memory more = memory_of_load(&load);
    double figures = 16 * 256 * 9;
    assert_close(more.fixed - plain.fixed, 4 * mega + figures, 0, 1e-9);
    assert_close(more.per_variant - plain.per_variant, 4 * mega + figures, 0, 1e-9);
    assert_true(more.disk_fixed == 0 && more.disk_per_variant == 0);
    /* Per-linear errors: the inputs; a linear's outputs fit where a block's do. */
    load.probes = 4;
    struct memory few = memory_of_load(&load);
    load.probes = 9;
    double probing = 256 * 4 * (3 * 256 + 768);
    assert_close(few.fixed - more.fixed, 4 * probing, 0, 1e-9);
    assert_close(memory_of_load(&load).fixed - few.fixed, 5 * probing, 0, 1e-9);
    load.windows = 1;
    load.probes = 0;
    /* Calibration: the unquantized model's, and its own for who calibrates on that. */
    load.calibration_windows = 17;
    assert_close(memory_of_load(&load).fixed - plain.fixed, 4 * mega, 0, 1e-9);
    assert_true(memory_of_load(&load).per_variant == plain.per_variant);
    load.chain = "gptq";
    assert_true(memory_of_load(&load).per_variant == plain.per_variant); /* they end in the block */
    model = two_blocks;
    load.calibration_windows = 1;
    double least = memory_of_load(&load).per_variant;
    load.calibration_windows = 17;
    assert_close(memory_of_load(&load).per_variant - least, 16 * mega / 4, 0, 1e-9);
    model = one_block;
    load.calibration_windows = 1;
    /* Hessians of all sets, wherever in the chain they are asked for. */
    static const char *const chains[] = {"gptq", "outliers gptq", "smoothquant gptq"};
    for (int k = 0; k < 3; k++) {
        load.chain = chains[k];
        double hessians = 4.0 * (3 * 256 * 256 + 768 * 768);
        assert_true(memory_of_load(&load).fixed - plain.fixed > hessians);
    }
    /* AWQ's inputs of attention and MLP, and samples of all sets. */
    load.chain = "awq";
    load.settings = "bits=4 scale=false clip_tokens=256";
    struct memory all = memory_of_load(&load);
    load.settings = "bits=4 scale=false clip_tokens=100"; /* every second of 256 */
    double samples = 4.0 * 256 * (3 * 256 + 768);
    assert_close(all.fixed - memory_of_load(&load).fixed, samples / 2, 0, 1e-9);
    load.settings = "bits=4 clip=false";
    assert_true(memory_of_load(&load).fixed - plain.fixed > 2 * 256 * 256 * 4.0);
}

/* Factors of shared Hessians: one for each damping and order, whatever the format. */
static void the_estimate_counts_factors_once(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=4", "bits=3", "bits=4 act_order=true",
                                           "bits=4 percdamp=0.1",
                                           "bits=4 true_sequential=true percdamp=0.2"};
    static const int choices[] = {1, 1, 2, 3, 3}; /* the last one takes its own */
    const double factor = 4.0 * (3 * 256 * 256 + 768 * 768);
    struct loaded loaded;
    struct load load = {"gptq", "bits=4", 1, 8, 0, 1, 8, false};
    load_walk(&loaded, &load);
    struct bs_recipe recipes[5];
    const struct bs_recipe *all[5];
    double before = 0;
    for (int k = 0; k < 5; k++) {
        recipe_build(&recipes[k], "gptq", settings[k]);
        all[k] = &recipes[k];
        double bytes = bs_walk_fixed_bytes(&loaded.walk, all, k + 1).memory - choices[k] * factor;
        if (k == 4) /* and a Hessian of its own at a time, with the windows that go into it */
            before += 4.0 * 768 * (768 + 8 * bs_threads());
        assert_true(k == 0 || bytes == before);
        before = bytes;
    }
    for (int k = 0; k < 5; k++)
        bs_recipe_release(&recipes[k]);
    unload_walk(&loaded);
}

static void spilled_streams_take_the_disk(void **state)
{
    (void)state;
    const double mega = 1 << 20, window = mega / 4;
    struct load load = {"gptq", "bits=4", 17, 256, 0, 33, 256, false};
    model = two_blocks;
    struct memory held = memory_of_load(&load);
    load.spilled = true;
    struct memory spilled = memory_of_load(&load);
    assert_close(spilled.disk_fixed, (17 + 33) * window, 0, 1e-9);
    assert_close(spilled.disk_per_variant, (17 + 33) * window, 0, 1e-9);
    assert_close(held.per_variant - spilled.per_variant, (17 + 33) * window, 0, 1e-9);
    /* In memory: a window at work and what it becomes, on each thread; not how many there are. */
    double resident = spilled.fixed - (held.fixed - (17 + 33) * window);
    assert_true(resident >= 2 * bs_threads() * window);
    load.windows += 30;
    assert_close(memory_of_load(&load).fixed, spilled.fixed + 30 * 256 * 9, 0, 1e-9);
    /* Who looks at the unquantized model's has them twice, before a block and after it. */
    load.chain = "awq";
    load.settings = "bits=4 scale=false";
    assert_close(memory_of_load(&load).disk_fixed, (47 + 2 * 33) * window, 0, 1e-9);
    model = one_block;
}

/* Inputs and outputs of a block's attention and MLP: once where they are shared, once more for a
 * recipe that takes its own. */
static void the_estimate_counts_what_modules_take(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        int copies; /* with the recipes before it */
    } cases[] = {
        {"rtn", "bits=4", 0},
        {"gptq", "bits=4", 0},
        {"awq", "bits=4 scale=false", 0},
        {"awq", "bits=4", 1},
        {"awq", "bits=3 scale_grid=3", 1},
        {"awq gptq", "bits=4", 1},
        {"smoothquant awq", "bits=4", 2},
        {"awq", "bits=4 clip_tokens=7", 2}, /* samples other rows */
    };
    enum { CASES = sizeof cases / sizeof *cases };
    const double text = 8 * 256 * 4, calibration = 33 * 256 * 256 * 4, modules = 4 * calibration;
    const struct load load = {"rtn", "bits=4", 1, 8, 0, 33, 256, false};
    struct loaded loaded;
    struct bs_recipe recipes[CASES];
    const struct bs_recipe *all[CASES];
    double held[CASES];
    load_walk(&loaded, &load);
    for (int k = 0; k < CASES; k++) {
        double streams = text + calibration; /* which ends in the one block */
        recipe_build(&recipes[k], cases[k].chain, cases[k].settings);
        all[k] = &recipes[k];
        loaded.walk.scratch = NULL;
        held[k] = bs_walk_fixed_bytes(&loaded.walk, all, k + 1).memory;
        loaded.walk.scratch = folder.path;
        struct bs_walk_bytes alone = bs_walk_fixed_bytes(&loaded.walk, &all[k], 1);
        struct bs_walk_bytes together = bs_walk_fixed_bytes(&loaded.walk, all, k + 1);
        assert_close(alone.disk, streams + (cases[k].copies > 0) * modules, 0, 1e-12);
        assert_close(together.disk, streams + cases[k].copies * modules, 0, 1e-12);
    }
    /* Hessians that gptq takes for itself after awq, and the windows that go into them. */
    double hessians = 4.0 * (3 * 256 * 256 + 768 * 768);
    double inputs = 4.0 * 256 * (3 * 256 + 768) * bs_threads();
    assert_close(held[5], held[4] + hessians + inputs, 0, 1e-12);
    /* With the other statistics that the recipe takes for itself; and eight rows of each site. */
    assert_true(held[6] > held[5] + modules && held[6] < held[5] + 1.5 * modules);
    assert_close(held[7], held[6] + 8 * (3 * 256 + 768) * 4, 0, 1e-12);
    for (int k = 0; k < CASES; k++)
        bs_recipe_release(&recipes[k]);
    unload_walk(&loaded);
}

/* A recipe that is measured on one of two texts has no windows of the other. */
static void the_estimate_is_of_the_texts_measured(void **state)
{
    (void)state;
    struct load load = {"gptq", "bits=4", 48, 256, 0, 1, 8, false};
    struct loaded loaded;
    load_walk(&loaded, &load);
    struct bs_windows texts[2] = {windows_of(1, 8), loaded.text};
    struct bs_recipe *recipe = &loaded.recipes[0];
    const struct bs_recipe *one = recipe;
    loaded.walk.texts = texts;
    loaded.walk.num_texts = 2;
    const double windows = 48 * 256 * 256 * 4, figures = 48 * 256 * 9;
    for (int spilled = 0; spilled < 2; spilled++) {
        loaded.walk.scratch = spilled ? folder.path : NULL;
        struct bs_walk_bytes both = bs_walk_recipe_bytes(&loaded.walk, one, 3);
        struct bs_walk_bytes first = bs_walk_recipe_bytes(&loaded.walk, one, 1);
        assert_close(both.memory - first.memory, figures + (spilled ? 0 : windows), 0, 1e-9);
        assert_close(both.disk - first.disk, spilled ? windows : 0, 0, 1e-9);
        assert_close(both.kept - first.kept, figures + windows, 0, 1e-9);
    }
#ifndef __SANITIZE_ADDRESS__
    bs_set_threads(2);
    loaded.walk.scratch = NULL;
    double said = bs_walk_fixed_bytes(&loaded.walk, &one, 1).memory +
                  4 * bs_walk_recipe_bytes(&loaded.walk, one, 1).memory;
    struct bs_recipe recipes[4] = {*recipe, *recipe, *recipe, *recipe}; /* borrow what it owns */
    double taken = growth(&loaded.walk, recipes, 4);
    bs_set_threads(0);
    /* Four times the windows of the second text would be 48 MiB more. */
    assert_true(taken <= said - 64e6);
#endif
    bs_windows_release(&texts[0]);
    unload_walk(&loaded);
}

static void versions_of_weights_share_the_threads(void **state)
{
    (void)state;
    static const struct {
        int threads, windows, side_by_side;
    } cases[] = {{1, 1, 1}, {1, 3, 1}, {2, 1, 2},  {2, 3, 2},  {2, 4, 1},
                 {2, 9, 1}, {3, 1, 3}, {16, 4, 4}, {16, 1, 4}, {16, 128, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        bs_set_threads(cases[c].threads);
        assert_int_equal(bs_side_by_side(cases[c].windows, BS_MOST_VERSIONS),
                         cases[c].side_by_side);
    }
    bs_set_threads(0);
}

static void the_estimate_covers_what_is_taken(void **state)
{
    (void)state;
    static const struct load loads[] = {
        {"rtn", "bits=4", 24, 256, 0, 1, 2, false},
        {"rtn", "bits=4", 8, 256, 8, 1, 2, false},
        {"gptq", "bits=4", 1, 8, 0, 24, 256, false},
        {"smoothquant gptq", "bits=4 true_sequential=true", 1, 8, 0, 1, 256, false},
        {"awq", "bits=4 group_size=128 scale_grid=1 clip_grid=1", 1, 8, 0, 24, 256, false},
        {"rtn", "bits=4", 48, 256, 4, 1, 2, true},
        {"gptq", "bits=4", 1, 8, 0, 48, 256, true},
        {"smoothquant gptq", "bits=4 a.bits=8", 16, 256, 0, 32, 256, true},
        {"awq", "bits=4 group_size=128 scale_grid=1 clip_grid=1", 1, 8, 0, 24, 256, true},
        {"smoothquant awq", "bits=4 scale_grid=1 clip=false", 1, 8, 0, 24, 256, true},
    };
    enum { LOADS = sizeof loads / sizeof *loads };
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
    bs_set_threads(2);
    for (int k = -1; k < LOADS; k++) { /* one to warm up: the libraries' own buffers */
        struct loaded loaded;
        load_walk(&loaded, &loads[k < 0 ? 2 : k]);
        struct memory memory = memory_of(&loaded);
        double said = memory.fixed + 2 * memory.per_variant;
        double taken = growth(&loaded.walk, loaded.recipes, 2);
        unload_walk(&loaded);
        /* 80e6 are for what has been there before, and for what a product packs on its way. */
        assert_true(k < 0 || taken <= said - 64e6);
    }
    bs_set_threads(0);
}

static void spilled_windows_do_not_stay_in_memory(void **state)
{
    (void)state;
    static const int windows[] = {6, 6, 66}; /* once to warm up */
    double taken[3];
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
    bs_set_threads(2);
    for (int k = 0; k < 3; k++) {
        struct loaded loaded;
        struct load load = {"awq", "bits=4 scale_grid=1 clip=false", 1, 8, 0, windows[k], 256,
                            true};
        load_walk(&loaded, &load);
        taken[k] = growth(&loaded.walk, loaded.recipes, 2);
        unload_walk(&loaded);
    }
    bs_set_threads(0);
    /* Two streams of the unquantized model, four of the statistics: half of one's growth. */
    assert_true(taken[2] - taken[1] < (66 - 6) * 256 * 256 * 4 / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flops_by_hand),
        cmocka_unit_test(common_work_by_hand),
        cmocka_unit_test(own_work_by_hand),
        cmocka_unit_test(own_work_grows_with_calibration),
        cmocka_unit_test(the_estimate_grows_with_what_is_asked),
        cmocka_unit_test(the_estimate_counts_factors_once),
        cmocka_unit_test(spilled_streams_take_the_disk),
        cmocka_unit_test(the_estimate_counts_what_modules_take),
        cmocka_unit_test(the_estimate_is_of_the_texts_measured),
        cmocka_unit_test(versions_of_weights_share_the_threads),
        cmocka_unit_test(the_estimate_covers_what_is_taken),
        cmocka_unit_test(spilled_windows_do_not_stay_in_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
