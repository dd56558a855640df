/* Rotations against their authors' code (tests/golden/quarot.json, made by quarot.py): the Hadamard
 * matrices, the weights after rotation, and perplexities with weights, activations, keys and values
 * quantized. And what they are for: on a model with outliers a rotation is better than smoothing,
 * and that than neither. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/hadamard.h"
#include "eval/run/apply.h"
#include "eval/run/walk.h"
#include "tests/support/families.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"
#include "tests/support/values.h"

enum { WINDOWS = 8, TOKENS = 256, PREDICTIONS = WINDOWS * (TOKENS - 1), MOST = 11 };

static json_t *golden;
static struct bs_model *model;
static struct bs_windows calibration, evaluation;

/* FNV-1a, 64 bits, of the signs row by row. */
static void digest_of(int n, char out[17])
{
    float *matrix = bs_calloc((size_t)n * (size_t)n, sizeof *matrix);
    uint64_t value = 0xcbf29ce484222325u;
    for (int i = 0; i < n; i++)
        matrix[i * n + i] = 1;
    bs_hadamard(matrix, n, n);
    for (int i = 0; i < n * n; i++)
        value = (value ^ (matrix[i] > 0 ? '+' : '-')) * 0x100000001b3u;
    snprintf(out, 17, "%016llx", (unsigned long long)value);
    bs_free(matrix);
}

static void the_matrices_are_the_authors(void **state)
{
    (void)state;
    const char *order;
    json_t *digest, *cores = json_object_get(golden, "cores");
    assert_true(json_object_size(cores) == 11);
    json_object_foreach(cores, order, digest)
    {
        char own[17];
        digest_of((int)strtol(order, NULL, 10), own);
        assert_string_equal(own, json_string_value(digest));
    }
}

/* Entries of a matrix as the script samples them. */
static void assert_samples(const char *set, const char *name, const float *matrix, size_t count)
{
    const json_t *samples = json_object_get(json_object_get(golden, set), name);
    size_t n = json_array_size(samples), stride = count / (n ? n : 1);
    assert_true(n > 0);
    for (size_t k = 0; k < n; k++) {
        double want = json_real_value(json_array_get(samples, k));
        double got = (double)matrix[k * stride + k];
        if (!(fabs(got - want) < 1e-6 + 2e-6 * fabs(want)))
            fail_msg("%s: entry %zu is %.9g, expected %.9g", name, k, got, want);
    }
}

/* residual: of the model, or NULL. */
static void assert_block(const char *set, int index, const struct bs_recipe *recipe,
                         const struct bs_bases *residual)
{
    struct bs_error err;
    struct bs_block block;
    struct bs_inputs inputs = {.residual = residual};
    assert_int_equal(bs_block_load(model, index, &block, &err), BS_OK);
    assert_int_equal(bs_apply_recipe(recipe, &block, &inputs, &err), BS_OK);
    for (int s = 0; s < block.program->num_slots; s++) {
        char name[96];
        const struct bs_linear *l = &block.linears[s];
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", index, l->name);
        assert_samples(set, name, l->weight, (size_t)l->out_features * (size_t)l->in_features);
    }
    bs_block_release(&block);
}

static void assert_outer(const char *set, enum bs_outer which, const char *name,
                         const struct bs_bases *residual)
{
    struct bs_error err;
    const struct bs_architecture *a = bs_model_architecture(model);
    struct bs_outer_rounding rounding;
    size_t width = (size_t)a->hidden_size, count = (size_t)a->vocab_size * width;
    float *rows = bs_alloc(count, sizeof *rows);
    int32_t *ids = bs_alloc((size_t)a->vocab_size, sizeof *ids);
    for (int i = 0; i < a->vocab_size; i++)
        ids[i] = i;
    assert_int_equal(bs_model_embed(model, NULL, ids, 1, a->vocab_size, rows, &err), BS_OK);
    static const struct bs_setting none;
    assert_int_equal(bs_outer_rounding_init(model, which, &none, NULL, residual, &rounding, &err),
                     BS_OK);
    bs_outer_round(&rounding, 0, a->vocab_size, rows);
    assert_samples(set, name, rows, count);
    bs_outer_rounding_release(&rounding);
    bs_free(ids);
    bs_free(rows);
}

static void assert_turned(const char *set, const char *settings)
{
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_bases residual;
    const struct bs_architecture *a = bs_model_architecture(model);
    recipe_build(&recipe, "quarot", settings);
    assert_int_equal(bs_bases_init(&residual, a->hidden_size, &err), BS_OK);
    assert_int_equal(bs_apply_model(&recipe, a, &residual, &err), BS_OK);
    assert_block(set, 0, &recipe, &residual);
    assert_block(set, 5, &recipe, &residual);
    assert_block(set, 5, &recipe, NULL); /* it is then drawn for the block */
    assert_outer(set, BS_EMBEDDING, "model.embed_tokens.weight", &residual);
    assert_outer(set, BS_HEAD, "lm_head.weight", &residual);
    bs_bases_release(&residual);
    bs_recipe_release(&recipe);
}

static void turned_weights_are_the_authors(void **state)
{
    (void)state;
    assert_turned("weights", "bits=16 remove_mean=true");
    assert_turned("orthogonal", "bits=16 remove_mean=true rotation=orthogonal");
}

/* Runs recipes over the evaluation windows; their NLLs are the variants'. */
static void run(const struct bs_recipe *recipes, int count, struct bs_variant *variants)
{
    struct bs_error err;
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &evaluation};
    memset(variants, 0, (size_t)count * sizeof *variants);
    for (int i = 0; i < count; i++)
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < count; i++)
        if (variants[i].status)
            fail_msg("%d: %s", i, variants[i].message);
}

static double mean_nll(const struct bs_variant *variant)
{
    double sum = 0;
    for (int i = 0; i < PREDICTIONS; i++)
        sum += (double)bs_figure_floats(&variant->figures[0], BS_NLL)[i];
    return sum / PREDICTIONS;
}

static void release(struct bs_recipe *recipes, struct bs_variant *variants, int count)
{
    for (int i = 0; i < count; i++) {
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
}

/* Their keys have ranges that reach to 0, their values have not. */
static void build_row(const json_t *row, struct bs_recipe *recipe)
{
    char settings[512];
    int weights = (int)json_integer_value(json_object_get(row, "weights"));
    int activations = (int)json_integer_value(json_object_get(row, "activations"));
    snprintf(settings, sizeof settings, "bits=%d remove_mean=%s rotation=%s seed=%d", weights,
             json_is_true(json_object_get(row, "remove_mean")) ? "true" : "false",
             json_string_value(json_object_get(row, "rotation")),
             (int)json_integer_value(json_object_get(row, "seed")));
    if (activations < 16)
        snprintf(settings + strlen(settings), sizeof settings - strlen(settings),
                 " a.bits=%d a.grid=smoothquant", activations);
    int kv = (int)json_integer_value(json_object_get(row, "kv"));
    if (kv < 16)
        snprintf(settings + strlen(settings), sizeof settings - strlen(settings),
                 " a.where=inputs,key,value @a.key bits=%d group_size=64 grid=gptq symmetric=false"
                 " @a.value bits=%d group_size=64 grid=awq symmetric=false",
                 kv, kv);
    bool gptq = json_is_true(json_object_get(row, "gptq"));
    if (gptq) /* their ranges are searched, and linears rounded in the order of a block */
        snprintf(settings + strlen(settings), sizeof settings - strlen(settings),
                 " grid=smoothquant range=mse true_sequential=true");
    recipe_build(recipe, gptq ? "quarot gptq" : "quarot", settings);
}

/* What the authors' code gives: one figure, or draws of it by other orders of its sums. */
struct draws {
    int count;
    double mean, deviation;
};

static struct draws draws_of(const json_t *row)
{
    const json_t *nlls = json_object_get(row, "mean_nlls");
    struct draws d = {.count = (int)json_array_size(nlls)};
    double squares = 0;
    assert_true(d.count > 0);
    for (int i = 0; i < d.count; i++)
        d.mean += json_real_value(json_array_get(nlls, (size_t)i)) / d.count;
    for (int i = 0; i < d.count; i++)
        squares += pow(json_real_value(json_array_get(nlls, (size_t)i)) - d.mean, 2);
    d.deviation = d.count > 1 ? sqrt(squares / (d.count - 1)) : 0;
    return d;
}

/* Of one figure; of draws four standard deviations. Their orthogonal matrix is multiplied in
 * float64, and where that leaves a weight midway between two levels the last bit decides. */
static double bar(const json_t *row, const struct draws *d)
{
    if (d->count > 1)
        return 4 * d->deviation;
    bool rounds = json_integer_value(json_object_get(row, "weights")) < 16;
    if (rounds && !strcmp(json_string_value(json_object_get(row, "rotation")), "orthogonal"))
        return 3e-5;
    return json_integer_value(json_object_get(row, "activations")) == 16 ? 1e-6 : 3e-4;
}

static void perplexities_are_the_authors(void **state)
{
    (void)state;
    size_t i;
    json_t *row, *rows = json_object_get(golden, "rows");
    struct bs_recipe recipes[MOST];
    struct bs_variant variants[MOST];
    int count = (int)json_array_size(rows);
    assert_in_range(count, 1, MOST);
    json_array_foreach(rows, i, row) { build_row(row, &recipes[i]); }
    run(recipes, count, variants);
    json_array_foreach(rows, i, row)
    {
        struct draws d = draws_of(row);
        double apart = expm1(mean_nll(&variants[i]) - d.mean);
        print_message("row %zu: %.2e from the authors', of a standard deviation of %.2e\n", i,
                      apart, d.deviation);
        if (!(fabs(apart) < bar(row, &d)))
            fail_msg("row %zu: perplexity is %g from the authors', expected %g", i, apart,
                     bar(row, &d));
    }
    release(recipes, variants, count);
}

/* Perplexity and every token's distribution, of any seed and with the online parts or without. */
static void a_turned_model_is_the_same_model(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=16 seed=7", "bits=16 residual=false",
                                           "bits=16 seed=3 rotation=orthogonal"};
    enum { COUNT = sizeof settings / sizeof *settings };
    struct bs_recipe recipes[COUNT + 1];
    struct bs_variant variants[COUNT + 1];
    bs_recipe_init(&recipes[COUNT]);
    for (int i = 0; i < COUNT; i++)
        recipe_build(&recipes[i], "quarot", settings[i]);
    run(recipes, COUNT + 1, variants);
    for (int i = 0; i < COUNT; i++) {
        double apart = expm1(mean_nll(&variants[i]) - mean_nll(&variants[COUNT]));
        if (!(fabs(apart) < 1e-6))
            fail_msg("%s: perplexity is %g apart", settings[i], apart);
        for (int t = 0; t < PREDICTIONS; t++)
            assert_true(fabs((double)bs_figure_floats(&variants[i].figures[0], BS_KLD)[t]) < 1e-6);
    }
    release(recipes, variants, COUNT + 1);
}

/* --- on every family --- */

/* What a recipe may leave of the function, and of a linear: float32's rounding. */
static const double MOST_DIVERGENCE = 1e-6, MOST_OUTPUT_ERROR = 2e-5, LEAST_SQNR = 100;

static void assert_same(const json_t *row, const struct bs_variant *variant, int predictions)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const float *apart = bs_figure_floats(&variant->figures[0], BS_KLD);
    for (int t = 0; t < predictions; t++)
        if (fabs((double)apart[t]) > MOST_DIVERGENCE)
            fail_msg("%s: a token's distribution is %g nats apart", name, (double)apart[t]);
    for (int l = 0; l < variant->num_layers; l++) {
        const struct bs_layer_row *layer = &variant->layers[l];
        double error = layer_value(layer, "relative_output_error");
        double sqnr = layer_value(layer, "sqnr_db");
        bool unseen = isnan(error); /* no token went there */
        if (!((unseen || error < MOST_OUTPUT_ERROR) && sqnr > LEAST_SQNR))
            fail_msg("%s, %s: output error %g, %g dB", name, layer->name, error, sqnr);
    }
}

/* What each part is, and on how many of the families its sizes and the wiring let it be. */
static const struct part {
    const char *settings;
    int done;
} parts[] = {
    {"bits=16 heads=false across_heads=false down=false", 62},
    {"bits=16 residual=false across_heads=false down=false", 63},
    {"bits=16 residual=false heads=false down=false", 56},
    {"bits=16 residual=false heads=false across_heads=false", 9},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void turn_family(const json_t *row, const struct bs_recipe *recipes, int *done)
{
    struct bs_error err;
    struct bs_model *family = family_open(row);
    struct bs_windows text = family_windows(row);
    struct bs_variant variants[PARTS];
    struct bs_walk walk = {.model = family,
                           .calibration = &text,
                           .num_texts = 1,
                           .texts = &text,
                           .layer_error_windows = 2};
    memset(variants, 0, sizeof variants);
    for (int i = 0; i < PARTS; i++)
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    if (bs_walk_run(&walk, variants, PARTS, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < PARTS; i++) {
        if (!variants[i].status)
            assert_same(row, &variants[i], text.windows * (text.tokens - 1));
        else
            assert_int_equal(variants[i].status, BS_EUNSUPPORTED);
        done[i] += !variants[i].status;
        bs_variant_release(&variants[i]);
    }
    bs_windows_release(&text);
    bs_model_free(family);
}

/* Layer norms, biases, experts, tied and untied heads, fused tensors: the function stays, and
 * errors are those of the checkpoint's basis. A model that cannot be turned says so. */
static void every_family_is_the_same_turned(void **state)
{
    (void)state;
    struct bs_recipe recipes[PARTS];
    int done[PARTS] = {0};
    const json_t *row;
    size_t i;
    json_t *rows = families_load();
    assert_non_null(rows);
    for (int k = 0; k < PARTS; k++)
        recipe_build(&recipes[k], "quarot", parts[k].settings);
    json_array_foreach(rows, i, row) { turn_family(row, recipes, done); }
    for (int k = 0; k < PARTS; k++) {
        assert_int_equal(done[k], parts[k].done);
        bs_recipe_release(&recipes[k]);
    }
    json_decref(rows);
}

/* --- what it is for --- */

/* The mean difference of windows over its standard error. */
static double paired_t(const struct bs_variant *a, const struct bs_variant *b)
{
    const float *x = bs_figure_floats(&a->figures[0], BS_NLL);
    const float *y = bs_figure_floats(&b->figures[0], BS_NLL);
    double sum = 0, squares = 0;
    for (int w = 0; w < WINDOWS; w++) {
        double apart = 0;
        for (int t = w * (TOKENS - 1); t < (w + 1) * (TOKENS - 1); t++)
            apart += (double)x[t] - (double)y[t];
        sum += apart;
        squares += apart * apart;
    }
    double mean = sum / WINDOWS, variance = (squares - sum * mean) / (WINDOWS - 1);
    return mean / sqrt(variance / WINDOWS);
}

static void with_outliers_rotation_is_better_than_smoothing(void **state)
{
    (void)state;
    static const char *const chains[] = {"outliers quarot", "outliers smoothquant", "outliers rtn"};
    struct bs_recipe recipes[3];
    struct bs_variant variants[3];
    for (int i = 0; i < 3; i++)
        recipe_build(&recipes[i], chains[i], "bits=4 grid=smoothquant a.bits=4 a.grid=smoothquant");
    run(recipes, 3, variants);
    for (int i = 0; i < 2; i++)
        if (!(paired_t(&variants[i + 1], &variants[i]) > 2))
            fail_msg("%s is not better than %s beyond two standard errors", chains[i],
                     chains[i + 1]);
    release(recipes, variants, 3);
}

/* A size without a Hadamard matrix is refused, with what to say instead. */
static void sizes_without_a_matrix_are_named(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_bases residual;
    static struct bs_architecture odd;
    odd = *bs_model_architecture(model);
    odd.hidden_size = 100;
    recipe_build(&recipe, "quarot", "bits=16");
    assert_int_equal(bs_bases_init(&residual, odd.hidden_size, &err), BS_OK);
    assert_int_equal(bs_apply_model(&recipe, &odd, &residual, &err), BS_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "hidden_size is 100"));
    assert_non_null(strstr(err.message, "residual: false"));
    bs_bases_release(&residual);
    bs_recipe_release(&recipe);
}

static int setup(void **state)
{
    (void)state;
    struct bs_error err;
    bs_blas_init();
    bs_set_threads(1); /* of models this small more would wait for each other */
    golden = json_load_file("tests/golden/quarot.json", 0, NULL);
    if (!golden || bs_model_open("datasets/tiny", NULL, &model, &err))
        return -1;
    calibration = tiny_model_windows("datasets/commons/calibration.txt", WINDOWS, TOKENS);
    evaluation = tiny_model_windows("datasets/commons/evaluation.txt", WINDOWS, TOKENS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bs_windows_release(&calibration);
    bs_windows_release(&evaluation);
    bs_model_free(model);
    json_decref(golden);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_matrices_are_the_authors),
        cmocka_unit_test(turned_weights_are_the_authors),
        cmocka_unit_test(perplexities_are_the_authors),
        cmocka_unit_test(a_turned_model_is_the_same_model),
        cmocka_unit_test(every_family_is_the_same_turned),
        cmocka_unit_test(with_outliers_rotation_is_better_than_smoothing),
        cmocka_unit_test(sizes_without_a_matrix_are_named),
    };
    cmocka_set_test_filter(getenv("BITSWEEP_ONLY")); /* NULL: every one */
    return cmocka_run_group_tests(tests, setup, teardown);
}
