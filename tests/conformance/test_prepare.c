/* Whatever an algorithm of the registry does to a block before weights are rounded, the block
 * computes the same function, and the record of it leads back to the checkpoint's weights: errors
 * that are taken with nothing rounded are zero within the rounding of float32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/run/layer_error.h"
#include "eval/run/walk.h"
#include "tests/support/families.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"
#include "tests/support/values.h"

enum { MOST = 16 };

/* Relative, of a linear's outputs; of its weights in decibels; of a token's distribution in nats.
 * */
static const double MOST_OUTPUT_ERROR = 2e-5, LEAST_SQNR = 100, MOST_DIVERGENCE = 1e-6;

/* A linear that no token reached has no output error. */
static bool is_zero(const struct bs_layer_row *row)
{
    double error = layer_value(row, "relative_output_error");
    return (isnan(error) || error < MOST_OUTPUT_ERROR) && layer_value(row, "sqnr_db") > LEAST_SQNR;
}

/* --- on every family, as a sweep runs it --- */

/* The algorithms that prepare and need no format to prepare for: their recipes at 16 bits. */
static int recipes_at_16_bits(struct bs_recipe *recipes)
{
    int count = 0;
    for (int i = 0; bs_algorithm_at(i); i++) {
        struct bs_error err;
        struct bs_recipe *recipe = &recipes[count];
        if (!bs_algorithm_at(i)->prepare_block)
            continue;
        assert_in_range(count, 0, MOST - 1);
        recipe_build_unresolved(recipe, bs_algorithm_at(i)->plugin.name, "bits=16");
        if (bs_recipe_resolve(recipe, &err))
            bs_recipe_release(recipe);
        else
            count++;
    }
    return count;
}

/* A model that cannot be turned is refused, and no other. */
static bool is_refused(const struct bs_variant *variant)
{
    return variant->status == BS_EUNSUPPORTED && bs_recipe_turns(variant->recipe);
}

static double most_divergence(const struct bs_variant *variant, const struct bs_windows *text)
{
    const float *apart = bs_figure_floats(&variant->figures[0], BS_KLD);
    double most = 0;
    for (int i = 0; i < text->windows * (text->tokens - 1); i++)
        most = fmax(most, fabs((double)apart[i]));
    return most;
}

static void assert_zero_on(const json_t *row, const struct bs_recipe *recipes, int count, int *done)
{
    struct bs_error err;
    struct bs_model *model = family_open(row);
    struct bs_windows text = family_windows(row);
    struct bs_variant variants[MOST];
    struct bs_walk walk = {.model = model,
                           .calibration = &text,
                           .num_texts = 1,
                           .texts = &text,
                           .layer_error_windows = 2};
    memset(variants, 0, sizeof variants);
    for (int i = 0; i < count; i++)
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < count; i++) {
        const struct bs_variant *p = &variants[i];
        const char *algorithm = recipes[i].steps[0].plugin->name;
        const char *name = json_string_value(json_object_get(row, "name"));
        if (is_refused(p)) {
            bs_variant_release(&variants[i]);
            continue;
        }
        if (p->status)
            fail_msg("%s, %s: %s", name, algorithm, p->message);
        if (!(most_divergence(p, &text) < MOST_DIVERGENCE))
            fail_msg("%s, %s: a token's distribution is %g nats apart", name, algorithm,
                     most_divergence(p, &text));
        done[i]++;
        assert_true(p->num_layers > 0);
        for (int l = 0; l < p->num_layers; l++)
            if (!is_zero(&p->layers[l]))
                fail_msg("%s, %s: block %d, %s: output error %g, %g dB", name, algorithm,
                         p->layers[l].block, p->layers[l].name,
                         layer_value(&p->layers[l], "relative_output_error"),
                         layer_value(&p->layers[l], "sqnr_db"));
        bs_variant_release(&variants[i]);
    }
    bs_windows_release(&text);
    bs_model_free(model);
}

static void prepared_alone_every_family_has_no_error(void **state)
{
    (void)state;
    const json_t *row;
    size_t i;
    json_t *rows = families_load();
    static struct bs_recipe recipes[MOST];
    int count = recipes_at_16_bits(recipes);
    assert_true(rows && json_array_size(rows) > 0 && count >= 2);
    int done[MOST] = {0};
    json_array_foreach(rows, i, row) { assert_zero_on(row, recipes, count, done); }
    for (int k = 0; k < count; k++) {
        if (!bs_recipe_turns(&recipes[k])) /* which asks for sizes that few of these have */
            assert_int_equal(done[k], json_array_size(rows));
        bs_recipe_release(&recipes[k]);
    }
    json_decref(rows);
}

/* --- the algorithms that prepare for a format --- */

static struct random_block random_;
static struct bs_probe probe;

/* The recipe with each of its switches as the bits of `thrown` say; false where that is refused. */
static bool recipe_with(struct bs_recipe *recipe, const struct bs_algorithm *a, unsigned thrown)
{
    struct bs_error err;
    char settings[512];
    int length = snprintf(settings, sizeof settings, "bits=4 group_size=16"), k = 0;
    for (const struct bs_option *o = a->plugin.options; o && o->name; o++)
        if (o->type == BS_BOOL)
            length += snprintf(settings + length, sizeof settings - (size_t)length, " %s=%s",
                               o->name, thrown >> k++ & 1 ? "true" : "false");
    recipe_build_unresolved(recipe, a->plugin.name, settings);
    if (!bs_recipe_resolve(recipe, &err))
        return true;
    bs_recipe_release(recipe);
    return false;
}

static int switches_of(const struct bs_algorithm *a)
{
    int switches = 0;
    for (const struct bs_option *o = a->plugin.options; o && o->name; o++)
        switches += o->type == BS_BOOL;
    return switches;
}

/* Whether the block as prepared, nothing rounded, has no error, and is not what it was. */
static void look(const struct bs_recipe *recipe, bool *zero, bool *changed)
{
    struct bs_error err;
    struct bs_block block = {.architecture = NULL};
    struct bs_layer_row rows[BS_MAX_SLOTS];
    struct bs_layer_totals totals = {.weights = 0};
    random_block_prepare(&random_, recipe, &block);
    assert_int_equal(
        bs_layer_errors(&random_.block, &block, &probe, random_.scratch, rows, &totals, &err),
        BS_OK);
    *zero = outputs_apart(&random_, &random_.block, &block) < MOST_OUTPUT_ERROR;
    for (int s = 0; s < random_.architecture.programs[0].num_slots; s++)
        *zero = *zero && is_zero(&rows[s]);
    *changed = !same_block(&random_.block, &block);
    bs_block_release(&block);
}

/* What changes the function on purpose, a clipping, can be switched off. */
static void some_switches_keep_the_function(void **state)
{
    (void)state;
    for (int i = 0; bs_algorithm_at(i); i++) {
        const struct bs_algorithm *a = bs_algorithm_at(i);
        bool kept = false;
        for (unsigned thrown = 0; a->prepare_block && thrown < 1u << switches_of(a); thrown++) {
            struct bs_recipe recipe;
            bool zero, changed;
            if (!recipe_with(&recipe, a, thrown))
                continue;
            look(&recipe, &zero, &changed);
            kept |= zero && changed;
            bs_recipe_release(&recipe);
        }
        if (a->prepare_block && !kept)
            fail_msg("%s: no switches keep the function", a->plugin.name);
    }
}

static int setup(void **state)
{
    (void)state;
    struct bs_error err;
    bs_blas_init();
    bs_set_threads(0);
    random_block_init(&random_, &small_shape);
    const struct bs_stream *inputs = &random_.inputs;
    return bs_probe_init(&probe, &random_.architecture, inputs->windows, inputs->tokens, &err) ||
                   bs_probe_fill(&probe, &random_.block, random_.rope, inputs, random_.scratch,
                                 &err)
               ? -1
               : 0;
}

static int teardown(void **state)
{
    (void)state;
    bs_probe_release(&probe);
    random_block_release(&random_);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepared_alone_every_family_has_no_error),
        cmocka_unit_test(some_switches_keep_the_function),
    };
    cmocka_set_test_filter(getenv("BITSWEEP_ONLY")); /* NULL: every one */
    return cmocka_run_group_tests(tests, setup, teardown);
}
