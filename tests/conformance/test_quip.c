/* QuIP on the embedded model against its authors' code (tests/golden/quip.json, made by quip.py on
 * the same draws): the weights of the first block, and perplexities. One matrix is in
 * test_golden_solvers.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/run/apply.h"
#include "eval/run/walk.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

enum { WINDOWS = 8, TOKENS = 256, PREDICTIONS = WINDOWS * (TOKENS - 1), MOST = 8, LEAST_SAME = 4 };

/* Weights in which no code differs; in which a few do. */
static const double SAME = 1e-4, NEAR = 0.1;

static json_t *golden;
static struct bs_model *model;
static struct bs_windows calibration, evaluation;

static const char *word(const json_t *settings, const char *key)
{
    return json_string_value(json_object_get(settings, key));
}

static void build_row(const json_t *row, struct bs_recipe *recipe)
{
    char text[200];
    const json_t *settings = json_object_get(row, "settings");
    bool fixed = !strcmp(word(settings, "qfn"), "b");
    snprintf(text, sizeof text, "bits=%d %s solver=%s project=%s seed=%d",
             (int)json_integer_value(json_object_get(settings, "bits")),
             fixed ? "group_size=tensor range=rms" : "grid=gptq symmetric=false",
             word(settings, "solver"), word(settings, "project"),
             (int)json_integer_value(json_object_get(settings, "seed")));
    recipe_build(recipe, "quip", text);
}

/* What the authors' code gives, with Hessians moved by what sums in float32 move them. */
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

static double mean_nll(const struct bs_variant *variant)
{
    double sum = 0;
    for (int i = 0; i < PREDICTIONS; i++)
        sum += (double)bs_figure_floats(&variant->figures[0], BS_NLL)[i];
    return sum / PREDICTIONS;
}

/* Of a perplexity, where no decision hangs on another; else of draws four standard deviations. */
static double bar(const struct draws *d) { return d->count > 1 ? 4 * d->deviation : 1e-5; }

/* The root of the mean squared difference of the sampled weights, over that of the weights. */
static double apart_of(const struct bs_linear *linear, const json_t *samples)
{
    size_t n = json_array_size(samples), count = (size_t)linear->out_features;
    double difference = 0, size = 0;
    count *= (size_t)linear->in_features;
    assert_true(n > 0);
    for (size_t k = 0; k < n; k++) {
        double want = json_number_value(json_array_get(samples, k));
        double got = (double)linear->weight[k * (count / n) + k];
        difference += (got - want) * (got - want);
        size += want * want;
    }
    return sqrt(difference / size);
}

/* What is seen of the variants on their way. */
struct seen {
    const struct bs_variant *variants;
    double apart[MOST][BS_MAX_ROLES]; /* of the first block's linears */
    int linears;
};

/* Of the first block, whose inputs are the model's own. */
static enum bs_status look(void *context, const struct bs_variant *variant,
                           const struct bs_block *original, const struct bs_block *block,
                           struct bs_error *err)
{
    (void)original, (void)err;
    struct seen *seen = context;
    ptrdiff_t row = variant - seen->variants;
    const json_t *samples =
        json_object_get(json_array_get(json_object_get(golden, "models"), (size_t)row), "weights");
    seen->linears = block->program->num_slots;
    for (int s = 0; block->index == 0 && s < seen->linears; s++)
        seen->apart[row][s] =
            apart_of(&block->linears[s], json_object_get(samples, block->linears[s].name));
    return BS_OK;
}

/* Codes that fall the other way, and those after them in a row, show in all weights once these are
 * turned back: of most linears there are none. */
static void assert_weights(const struct seen *seen, size_t row)
{
    int same = 0;
    for (int s = 0; s < seen->linears; s++) {
        print_message("row %zu, linear %d: weights within %.1e\n", row, s, seen->apart[row][s]);
        same += seen->apart[row][s] < SAME;
        assert_true(seen->apart[row][s] < NEAR);
    }
    assert_true(same >= LEAST_SAME);
}

static void the_model_is_the_authors(void **state)
{
    (void)state;
    size_t i;
    struct bs_error err;
    json_t *row, *rows = json_object_get(golden, "models");
    struct bs_recipe recipes[MOST];
    struct bs_variant variants[MOST];
    struct seen seen = {.variants = variants};
    struct bs_walk walk = {.model = model,
                           .calibration = &calibration,
                           .num_texts = 1,
                           .texts = &evaluation,
                           .quantized = look,
                           .quantized_context = &seen};
    int count = (int)json_array_size(rows);
    assert_in_range(count, 1, MOST);
    memset(variants, 0, sizeof variants);
    json_array_foreach(rows, i, row)
    {
        build_row(row, &recipes[i]);
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    }
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    json_array_foreach(rows, i, row)
    {
        struct draws d = draws_of(row);
        if (variants[i].status)
            fail_msg("row %zu: %s", i, variants[i].message);
        assert_weights(&seen, i);
        double apart = expm1(mean_nll(&variants[i]) - d.mean);
        print_message("row %zu: %.2e from the authors', of a standard deviation of %.2e\n", i,
                      apart, d.deviation);
        if (!(fabs(apart) < bar(&d)))
            fail_msg("row %zu: perplexity is %g from the authors', expected %g", i, apart, bar(&d));
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
}

static int setup(void **state)
{
    (void)state;
    struct bs_error err;
    bs_blas_init();
    bs_set_threads(1); /* of models this small more would wait for each other */
    golden = json_load_file("tests/golden/quip.json", 0, NULL);
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
        cmocka_unit_test(the_model_is_the_authors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
