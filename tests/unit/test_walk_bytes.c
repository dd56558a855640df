/* What a walk is said to hold, against what it takes. */
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
#include "eval/checkpoint/safetensors_write.h"
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
    double samples = 4.0 * 256 * (3 * 256 + 768), divided = 4.0 * 256 * 768; /* of one site */
    assert_close(all.fixed - memory_of_load(&load).fixed, (samples + divided) / 2, 0, 1e-9);
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
        if (k == 4) /* and a Hessian of its own at a time, then with its factor */
            before += 2 * 4.0 * 768 * 768;
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
    bs_set_threads(1);
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
    /* Hessians that gptq takes for itself after awq, and one factor of them at a time, which on one
     * thread is more than the windows that went into them; awq's versions are gone by then. */
    double hessians = 4.0 * (3 * 256 * 256 + 768 * 768), factor = 4.0 * 768 * 768;
    double awq = bs_walk_hooks_bytes(&loaded.walk, &recipes[5], 0, 0);
    double gptq = bs_walk_hooks_bytes(&loaded.walk, &recipes[5], 1, 0);
    assert_true(awq > gptq && gptq > 0);
    assert_close(held[5], held[4] - awq + hessians + factor + gptq, 0, 1e-12);
    /* With the other statistics that the recipe takes for itself; and eight rows of each site. */
    assert_true(held[6] > held[5] + modules && held[6] < held[5] + 1.5 * modules);
    assert_close(held[7], held[6] + 8 * (3 * 256 + 768) * 4, 0, 1e-12);
    bs_set_threads(0);
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

/* One of the wide model's tensors: numbers of about 0.02, either sign. */
static void write_wide(struct bs_safetensors *writer, const char *name, int64_t out, int64_t in)
{
    enum { PIECE = 1 << 16 };
    static uint16_t piece[PIECE];
    static uint32_t drawn = 1;
    struct bs_error err;
    const int64_t shape[] = {out ? out : in, in};
    assert_int_equal(bs_safetensors_begin(writer, name, "BF16", out ? 2 : 1, shape, &err), BS_OK);
    for (int64_t left = out ? out * in : in; left > 0; left -= PIECE) {
        size_t count = left < PIECE ? (size_t)left : PIECE;
        for (size_t i = 0; i < count; i++) {
            drawn = drawn * 1664525 + 1013904223;
            piece[i] = (uint16_t)((drawn >> 31) << 15 | 0x3c80 | (drawn >> 20 & 0x7f));
        }
        assert_int_equal(bs_safetensors_put(writer, piece, count * sizeof *piece, &err), BS_OK);
    }
}

/* A Llama of one block of 7.7 million weights: what is held of a block is most of what is held. */
static struct bs_model *open_wide(const char *path)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"],"
        " \"hidden_size\": 768, \"intermediate_size\": 2304, \"num_hidden_layers\": 1,"
        " \"num_attention_heads\": 8, \"num_key_value_heads\": 8, \"vocab_size\": 4096,"
        " \"max_position_embeddings\": 512, \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-6,"
        " \"tie_word_embeddings\": true, \"torch_dtype\": \"bfloat16\"}";
    static const struct {
        const char *name;
        int out, in;
    } tensors[] = {
        {"model.embed_tokens.weight", 4096, 768},
        {"model.norm.weight", 0, 768},
        {"model.layers.0.input_layernorm.weight", 0, 768},
        {"model.layers.0.post_attention_layernorm.weight", 0, 768},
        {"model.layers.0.self_attn.q_proj.weight", 768, 768},
        {"model.layers.0.self_attn.k_proj.weight", 768, 768},
        {"model.layers.0.self_attn.v_proj.weight", 768, 768},
        {"model.layers.0.self_attn.o_proj.weight", 768, 768},
        {"model.layers.0.mlp.gate_proj.weight", 2304, 768},
        {"model.layers.0.mlp.up_proj.weight", 2304, 768},
        {"model.layers.0.mlp.down_proj.weight", 768, 2304},
    };
    struct bs_safetensors *writer;
    struct bs_model *wide;
    struct bs_error err;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(bs_safetensors_create(path, 1 << 14, 1 << 30, &writer, &err), BS_OK);
    for (size_t t = 0; t < sizeof tensors / sizeof *tensors; t++)
        write_wide(writer, tensors[t].name, tensors[t].out, tensors[t].in);
    assert_int_equal(bs_safetensors_end(writer, &err), BS_OK);
    bs_safetensors_free(writer);
    char file[4096];
    snprintf(file, sizeof file, "%s/config.json", path);
    FILE *out = fopen(file, "w");
    assert_true(out && fputs(config, out) >= 0 && !fclose(out));
    if (bs_model_open(path, NULL, &wide, &err))
        fail_msg("%s", err.message);
    return wide;
}

/* Neither less than is taken, nor so much more that a model would be refused that fits. */
static void the_estimate_is_near_what_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
    } cases[] = {
        {"rtn", "bits=4"}, /* to warm up */
        {"rtn", "format=mxfp4"},
        {"gptq", "bits=4 group_size=128"},
        {"gptq", "bits=4 group_size=128 true_sequential=true"},
        {"gptaq", "bits=4 group_size=128"},
        {"gptaq", "bits=4 group_size=128 act_order=true static_groups=true"},
        {"awq gptaq", "bits=4 group_size=128 scale_grid=1 clip=false"},
        {"awq gptq", "bits=4 group_size=128 scale_grid=1 clip=false"},
    };
    const double process = 80e6; /* as bs_walk_fixed_bytes */
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
    struct bs_model *wide = open_wide(folder_file(&folder, "wide"));
    bs_set_threads(2);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct load load = {cases[c].chain, cases[c].settings, 1, 64, 0, 4, 64, false};
        struct loaded loaded;
        load_walk(&loaded, &load);
        loaded.walk.model = wide;
        struct memory memory = memory_of(&loaded);
        double said = memory.fixed + memory.per_variant - process;
        double taken = growth(&loaded.walk, loaded.recipes, 1);
        unload_walk(&loaded);
        /* Of the program's own share half may be memory that is free again and not given back. */
        if (c > 0 && taken >= 0 && !(taken <= said + process / 2 && said <= 1.3 * taken))
            fail_msg("%s %s: %.0f MB are planned, %.0f MB are taken", cases[c].chain,
                     cases[c].settings, said / 1e6, taken / 1e6);
    }
    bs_set_threads(0);
    bs_model_free(wide);
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
        cmocka_unit_test(the_estimate_grows_with_what_is_asked),
        cmocka_unit_test(the_estimate_counts_factors_once),
        cmocka_unit_test(spilled_streams_take_the_disk),
        cmocka_unit_test(the_estimate_counts_what_modules_take),
        cmocka_unit_test(the_estimate_is_of_the_texts_measured),
        cmocka_unit_test(versions_of_weights_share_the_threads),
        cmocka_unit_test(the_estimate_covers_what_is_taken),
        cmocka_unit_test(the_estimate_is_near_what_is_taken),
        cmocka_unit_test(spilled_windows_do_not_stay_in_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
