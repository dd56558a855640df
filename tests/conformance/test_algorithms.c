/* What every algorithm of the registry must do: a new line in the table is tested with no new test.
 * Each runs at its default options, on a random block, through the code that a sweep runs. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"
#include "eval/run/apply.h"
#include "tests/support/option_values.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"

static struct random_block random_;
static struct bs_stream wanted; /* the original block's outputs */

/* What the block gives, in the checkpoint's basis as the inputs are. */
static struct bs_stream outputs_of(const struct bs_block *block)
{
    struct bs_error err;
    struct bs_stream out;
    const struct bs_stream *in = &random_.inputs;
    assert_int_equal(bs_stream_init(&out, in->windows, in->tokens, in->width, &err), BS_OK);
    memcpy(out.data, in->data, (size_t)(in->windows * in->tokens * in->width) * sizeof(float));
    float *room = bs_alloc((size_t)in->width, sizeof *room);
    int rows = in->windows * in->tokens;
    if (block->residual.count)
        bs_bases_apply(&block->residual, out.data, rows, room);
    if (bs_stream_push(block, random_.rope, &out, random_.scratch, &err))
        fail_msg("%s", err.message);
    if (block->residual.count)
        bs_bases_undo(&block->residual, out.data, rows, room);
    bs_free(room);
    return out;
}

static void use_shape(const struct random_shape *given)
{
    struct random_shape shape = *given;
    shape.windows = 3;
    random_block_init(&random_, &shape);
    wanted = outputs_of(&random_.block);
}

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    use_shape(&small_shape);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bs_stream_release(&wanted);
    random_block_release(&random_);
    return 0;
}

static enum bs_status try_quantize(const struct bs_recipe *recipe, struct bs_block *block,
                                   struct bs_error *err)
{
    struct bs_inputs inputs = {.rope = random_.rope,
                               .unquantized = &random_.inputs,
                               .quantized = &random_.inputs,
                               .scratch = random_.scratch};
    if (bs_block_copy(block, &random_.block, err))
        return err->status;
    return bs_apply_recipe(recipe, block, &inputs, err);
}

/* The block under one algorithm; zero `block` or one from an earlier call. */
static void quantize(const struct bs_recipe *recipe, struct bs_block *block)
{
    struct bs_error err;
    if (try_quantize(recipe, block, &err))
        fail_msg("%s: %s", recipe->steps[0].plugin->name, err.message);
}

/* |Y^ - Y| / |Y - X| over all inputs: the error next to what the block does. */
static double output_error(const struct bs_block *block)
{
    struct bs_stream got = outputs_of(block);
    size_t count = (size_t)(got.windows * got.tokens * got.width);
    double error = bs_sum_squared_difference(got.data, wanted.data, count);
    double size = bs_sum_squared_difference(wanted.data, random_.inputs.data, count);
    bs_stream_release(&got);
    return sqrt(error / size);
}

static void every_algorithm_describes_itself(void **state)
{
    (void)state;
    assert_non_null(bs_algorithm_at(0));
    for (int i = 0; bs_algorithm_at(i); i++) {
        const struct bs_algorithm *a = bs_algorithm_at(i);
        assert_true(a->plugin.name && *a->plugin.name);
        assert_true(a->plugin.summary && *a->plugin.summary);
        assert_true(a->plugin.reference && *a->plugin.reference);
        assert_true(a->prepare_block || a->quantize);
        assert_ptr_equal(bs_algorithm_find(a->plugin.name), a); /* so no two have one name */
        for (const struct bs_option *o = a->plugin.options; o && o->name; o++) {
            assert_true(o->help && *o->help);
            assert_ptr_equal(bs_option_find(a->plugin.options, o->name), o);
            assert_false(bs_setting_knows(BS_FOR_WEIGHTS, o->name)); /* a config has both */
            assert_in_range(o->offset, 0, a->plugin.options_size - 1);
        }
    }
    assert_null(bs_algorithm_find("no such algorithm"));
    assert_null(bs_algorithm_find(""));
}

/* Texts just beyond what the option allows; returns how many. */
static int beyond(const struct bs_option *option, char texts[2][VALUE_TEXT])
{
    switch (option->type) {
    case BS_INT:
        snprintf(texts[0], VALUE_TEXT, "%.0f", option->min - 1);
        snprintf(texts[1], VALUE_TEXT, "%.0f", option->max + 1);
        return 2;
    case BS_DOUBLE:
        snprintf(texts[0], VALUE_TEXT, "%.17g", nextafter(option->min, -(double)INFINITY));
        snprintf(texts[1], VALUE_TEXT, "%.17g", nextafter(option->max, (double)INFINITY));
        return 2;
    case BS_BOOL:
        snprintf(texts[0], VALUE_TEXT, "2");
        snprintf(texts[1], VALUE_TEXT, "yes");
        return 2;
    case BS_CHOICE:
    case BS_NUMBERS:
    case BS_FILE: /* of which any other text is a path */
        snprintf(texts[0], VALUE_TEXT, "%s", option->type == BS_FILE ? "" : "nonsense");
        snprintf(texts[1], VALUE_TEXT, "0");
        break;
    }
    return option->type == BS_FILE ? 1 : 2;
}

static void assert_bounds(const char *owner, const struct bs_option *table, size_t size)
{
    struct bs_error err;
    char texts[2][VALUE_TEXT], text[VALUE_TEXT];
    static unsigned char values[BS_MOST_OPTIONS_BYTES], before[BS_MOST_OPTIONS_BYTES];
    assert_true(size <= sizeof values);
    for (const struct bs_option *o = table; o && o->name; o++) {
        memset(values, 0, sizeof values);
        bs_options_default(table, values);
        memcpy(before, values, sizeof values);
        assert_true(bs_option_is_default(o, values));
        bs_option_print(o, values, text, sizeof text); /* the default is allowed */
        assert_int_equal(bs_option_parse(o, text, values, &err), BS_OK);
        assert_memory_equal(values, before, sizeof values);
        int count = beyond(o, texts);
        assert_true(count > 0);
        for (int k = 0; k < count; k++) {
            if (bs_option_parse(o, texts[k], values, &err) != BS_ECONFIG)
                fail_msg("%s: %s takes '%s'", owner, o->name, texts[k]);
            assert_non_null(strstr(err.message, o->name));
            assert_memory_equal(values, before, sizeof values);
        }
        for (int k = 0; k < 2 && (o->type == BS_INT || o->type == BS_DOUBLE); k++) {
            snprintf(text, sizeof text, "%.17g", k ? o->max : o->min);
            if (bs_option_parse(o, text, values, &err))
                fail_msg("%s: %s does not take '%s'", owner, o->name, text);
        }
    }
}

static void every_option_is_refused_just_outside_its_range(void **state)
{
    (void)state;
    for (int i = 0; bs_algorithm_at(i); i++)
        assert_bounds(bs_algorithm_at(i)->plugin.name, bs_algorithm_at(i)->plugin.options,
                      bs_algorithm_at(i)->plugin.options_size);
    assert_bounds("weights", bs_weights_options, sizeof(struct bs_setting));
    for (int i = 0; bs_format_registry.rows[i]; i++)
        assert_bounds(bs_format_registry.rows[i]->name, bs_format_registry.rows[i]->options,
                      bs_format_registry.rows[i]->options_size);
    for (int i = 0; bs_range_registry.rows[i]; i++)
        assert_bounds(bs_range_registry.rows[i]->name, bs_range_registry.rows[i]->options,
                      bs_range_registry.rows[i]->options_size);
    assert_bounds("activations", bs_activations_options, sizeof(struct bs_setting));
}

/* Every weight is what its code decodes to, by the cell of its group. */
static void assert_decoded(const struct bs_linear *linear)
{
    const struct bs_codes *codes = &linear->codes;
    int in = linear->in_features;
    for (int i = 0; i < linear->out_features; i++)
        for (int j = 0; j < in; j++) {
            struct bs_cell cell = bs_codes_cell(codes, i, bs_codes_group(codes, j));
            int code = bs_codes_get(codes, i, j);
            assert_true(isfinite(cell.scale) && cell.scale != 0);
            assert_in_range(code, 0, cell.levels->count - 1);
            assert_true(isfinite(linear->weight[i * in + j]));
            assert_true(linear->weight[i * in + j] == bs_cell_decode(&cell, code));
        }
}

/* The format's layout is what its options ask for, and all weights are on its levels; or, of an
 * algorithm that rounds in another basis, they are numbers and their bits are said. */
static void assert_on_grid(const struct bs_linear *linear, const struct bs_recipe *recipe)
{
    struct bs_error err;
    struct bs_code_layout want;
    const struct bs_codes *codes = &linear->codes;
    size_t count = (size_t)linear->out_features * (size_t)linear->in_features;
    assert_int_equal(
        bs_setting_lay(&recipe->weights, linear->out_features, linear->in_features, &want, &err),
        BS_OK);
    assert_true(bs_linear_bits(linear) >= want.bits);
    if (bs_recipe_drops_codes(recipe)) {
        assert_null(codes->codes);
        assert_int_equal(bs_first_not_finite(linear->weight, count), count);
        return;
    }
    assert_non_null(codes->codes);
    assert_int_equal(codes->layout.out, linear->out_features);
    assert_int_equal(codes->layout.in, linear->in_features);
    assert_int_equal(codes->layout.group, want.group);
    assert_int_equal(codes->layout.code_bits, want.code_bits);
    assert_decoded(linear);
}

static const char *const granularities[] = {"channel", "16", "tensor"};

/* The recipe of an algorithm at its defaults; false where it refuses the format. */
static bool recipe_of(struct bs_recipe *recipe, const struct bs_algorithm *algorithm, int bits,
                      const char *group_size)
{
    struct bs_error err;
    char settings[64];
    snprintf(settings, sizeof settings, "bits=%d group_size=%s", bits, group_size);
    recipe_build_unresolved(recipe, algorithm->plugin.name, settings);
    if (!bs_recipe_resolve(recipe, &err))
        return true;
    assert_int_equal(err.status, BS_ECONFIG);
    assert_true(err.message[0] != '\0');
    bs_recipe_release(recipe);
    return false;
}

static void every_weight_is_finite_and_on_its_grid(void **state)
{
    (void)state;
    struct bs_block block = {.architecture = NULL};
    for (int i = 0; bs_algorithm_at(i); i++) {
        int formats = 0;
        for (int bits = 2; bits <= 8; bits++)
            for (size_t g = 0; g < sizeof granularities / sizeof *granularities; g++) {
                struct bs_recipe recipe;
                if (!recipe_of(&recipe, bs_algorithm_at(i), bits, granularities[g]))
                    continue;
                quantize(&recipe, &block);
                for (int r = 0; r < NUM_SLOTS; r++)
                    assert_on_grid(&block.linears[r], &recipe);
                for (int n = BS_NORM_ATTENTION; n <= BS_NORM_MLP; n++)
                    assert_int_equal(bs_first_not_finite(block.norms[n].weight, 40), 40);
                formats++;
                bs_recipe_release(&recipe);
            }
        assert_true(formats >= 14); /* all bits at two granularities or more */
    }
    bs_block_release(&block);
}

/* The output errors with 2, 4 and 8 bits; false where the algorithm refuses the granularity. */
static bool errors_by_bits(const struct bs_algorithm *algorithm, const char *granularity,
                           double error[3])
{
    static const int bits[] = {2, 4, 8};
    struct bs_block block = {.architecture = NULL};
    bool good = true;
    for (int k = 0; k < 3 && good; k++) {
        struct bs_recipe recipe;
        good = recipe_of(&recipe, algorithm, bits[k], granularity);
        if (!good)
            continue;
        quantize(&recipe, &block);
        error[k] = output_error(&block);
        bs_recipe_release(&recipe);
    }
    bs_block_release(&block);
    return good;
}

static void every_error_shrinks_with_more_bits(void **state)
{
    (void)state;
    for (int i = 0; bs_algorithm_at(i); i++)
        for (int g = 0; g < 3; g++) {
            double error[3];
            bool coarse =
                g == 2; /* one scale, the largest weight's, leaves two bits little to say */
            if (!errors_by_bits(bs_algorithm_at(i), granularities[g], error)) {
                assert_true(coarse);
                continue;
            }
            if (!(error[1] < error[0] / (coarse ? 1 : 2) && error[2] < error[1] / 2 &&
                  error[2] > 0))
                fail_msg("%s %s: %g, %g, %g with 2, 4, 8 bits", bs_algorithm_at(i)->plugin.name,
                         granularities[g], error[0], error[1], error[2]);
        }
}

/* True where the algorithm looks at calibration inputs. */
static bool looks_at_inputs(const struct bs_recipe *recipe)
{
    const struct bs_choice *step = &recipe->steps[0];
    struct bs_wanted wishes = {.architecture = &random_.architecture,
                               .weights = setting_at_slots(&recipe->weights)};
    if (bs_algorithm_of(step)->needs)
        bs_algorithm_of(step)->needs(step->options, &wishes);
    bool any = bs_wanted_any(&wishes);
    bs_wanted_release(&wishes);
    return any;
}

static void who_looks_at_inputs_does_no_worse_on_them_than_rtn(void **state)
{
    (void)state;
    struct bs_block block = {.architecture = NULL};
    int compared = 0;
    for (int i = 0; bs_algorithm_at(i); i++)
        for (int bits = 3; bits <= 4; bits++)
            for (int g = 0; g < 2; g++) {
                struct bs_recipe recipe, nearest;
                struct bs_error err;
                assert_true(recipe_of(&recipe, bs_algorithm_at(i), bits, granularities[g]));
                recipe_build(&nearest, "rtn", "");
                bs_setting_release(&nearest.weights);
                assert_int_equal(bs_setting_copy(&nearest.weights, &recipe.weights, &err),
                                 BS_OK); /* on the same grid */
                if (looks_at_inputs(&recipe)) {
                    quantize(&recipe, &block);
                    double error = output_error(&block);
                    quantize(&nearest, &block);
                    double rtn = output_error(&block);
                    assert_true(error <= rtn);
                    compared++;
                }
                bs_recipe_release(&recipe);
                bs_recipe_release(&nearest);
            }
    assert_true(compared >= 4);
    bs_block_release(&block);
}

/* The recipe of an algorithm on a format at its defaults, or of 4 bits where these leave values as
 * they are; false where it refuses the format. */
static bool recipe_on(struct bs_recipe *recipe, const struct bs_algorithm *algorithm,
                      const struct bs_plugin *format, const char *more)
{
    struct bs_error err;
    char settings[96];
    snprintf(settings, sizeof settings, "format=%s %s", format->name, more);
    recipe_build_unresolved(recipe, algorithm->plugin.name, settings);
    if (!bs_setting_quantizes(&recipe->weights))
        assert_int_equal(bs_setting_set(&recipe->weights, BS_FOR_WEIGHTS, "bits", "4", &err),
                         BS_OK);
    if (!bs_recipe_resolve(recipe, &err))
        return true;
    assert_int_equal(err.status, BS_ECONFIG);
    bs_recipe_release(recipe);
    return false;
}

/* The small shape, or the first of these whose widths the format takes. */
static const struct random_shape *shape_for(const struct bs_plugin *format)
{
    struct bs_recipe recipe;
    struct bs_code_layout layout;
    struct bs_error err;
    const struct random_shape *shape = &small_shape;
    assert_true(recipe_on(&recipe, bs_algorithm_find("rtn"), format, ""));
    for (int k = 0; k < 2; k++)
        if (bs_setting_lay(&recipe.weights, 1, shape->hidden, &layout, &err))
            shape = &block_shapes[k];
    bs_recipe_release(&recipe);
    return shape;
}

/* On each format weights end on its levels, and who looks at inputs does no worse than rtn. */
static void assert_served(const struct bs_plugin *format, const struct bs_algorithm *algorithm,
                          const char *more)
{
    struct bs_block block = {.architecture = NULL}, plain = {.architecture = NULL};
    struct bs_recipe recipe, nearest;
    if (!recipe_on(&recipe, algorithm, format, more))
        return;
    assert_true(recipe_on(&nearest, bs_algorithm_find("rtn"), format, more));
    quantize(&recipe, &block);
    quantize(&nearest, &plain);
    for (int r = 0; r < block.program->num_slots; r++)
        assert_on_grid(&block.linears[r], &recipe);
    if (looks_at_inputs(&recipe) && algorithm->quantize &&
        output_error(&block) > output_error(&plain))
        fail_msg("%s is worse than rtn on %s %s", algorithm->plugin.name, format->name, more);
    bs_recipe_release(&recipe);
    bs_recipe_release(&nearest);
    bs_block_release(&block);
    bs_block_release(&plain);
}

static void every_format_serves_every_algorithm(void **state)
{
    (void)state;
    static const char *const more[] = {"", "importance=imatrix", "range=mse",
                                       "range=mse range_weighted=true", "rounding=stochastic"};
    for (const struct bs_plugin *const *f = bs_format_registry.rows; *f; f++) {
        const struct random_shape *shape = shape_for(*f);
        teardown(NULL);
        use_shape(shape);
        for (int i = 0; bs_algorithm_at(i); i++)
            for (int m = 0; m < (shape == &small_shape ? 5 : 1); m++)
                if (shape != &block_shapes[1] || !bs_algorithm_at(i)->prepare_block) /* slow */
                    assert_served(*f, bs_algorithm_at(i), more[m]);
    }
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 7};
    for (int i = 0; bs_algorithm_at(i); i++)
        for (int g = 0; g < 2; g++) {
            struct bs_recipe recipe;
            struct bs_block blocks[2] = {{.architecture = NULL}, {.architecture = NULL}};
            assert_true(recipe_of(&recipe, bs_algorithm_at(i), 3, granularities[g]));
            for (int t = 0; t < 3; t++) {
                bs_set_threads(threads[t]);
                quantize(&recipe, &blocks[t > 0]);
                if (t && !same_block(&blocks[0], &blocks[1]))
                    fail_msg("%s: %d threads", bs_algorithm_at(i)->plugin.name, threads[t]);
            }
            bs_block_release(&blocks[0]);
            bs_block_release(&blocks[1]);
            bs_recipe_release(&recipe);
        }
    bs_set_threads(0);
}

/* Whether what was noted of the linears is the same too. */
static bool same_notes(const struct bs_block *a, const struct bs_block *b)
{
    bool same = true;
    for (int s = 0; s < random_.architecture.programs[0].num_slots; s++)
        same = same && a->linears[s].fallback == b->linears[s].fallback;
    return same;
}

/* The algorithm's block at three bits, with further settings; false where they are refused. */
static bool quantize_with(const struct bs_algorithm *algorithm, const char *further,
                          struct bs_block *block)
{
    struct bs_error err;
    struct bs_recipe recipe;
    char settings[256];
    snprintf(settings, sizeof settings, "bits=3 group_size=16%s", further);
    recipe_build_unresolved(&recipe, algorithm->plugin.name, settings);
    bool good = !bs_recipe_resolve(&recipe, &err);
    if (good)
        quantize(&recipe, block);
    bs_recipe_release(&recipe);
    return good;
}

/* Whether one of the option's other values makes another block where `base` holds besides. */
static bool has_effect(const struct bs_algorithm *algorithm, const struct bs_option *option,
                       const char *base)
{
    bool effect = false;
    struct bs_block plain = {.architecture = NULL}, block = {.architecture = NULL};
    char text[VALUE_TEXT], settings[3 * VALUE_TEXT];
    bool good = quantize_with(algorithm, base, &plain);
    for (int k = 0; good && !effect && another_value(option, k, text); k++) {
        snprintf(settings, sizeof settings, "%s %s=%s", base, option->name, text);
        if (quantize_with(algorithm, settings, &block))
            effect = !same_block(&plain, &block) || !same_notes(&plain, &block);
    }
    bs_block_release(&plain);
    bs_block_release(&block);
    return effect;
}

/* At the defaults, with one of the algorithm's switches thrown or another number elsewhere, or
 * where keys are quantized. */
static bool has_effect_somewhere(const struct bs_algorithm *algorithm,
                                 const struct bs_option *option)
{
    char base[2 * VALUE_TEXT];
    bool effect = has_effect(algorithm, option, "");
    for (const struct bs_option *o = algorithm->plugin.options; !effect && o->name; o++) {
        bool other = o != option && (o->type == BS_BOOL || o->type == BS_DOUBLE);
        snprintf(base, sizeof base, " %s=", o->name);
        if (other && another_value(o, o->type == BS_BOOL ? 0 : 3, base + strlen(base)))
            effect = has_effect(algorithm, option, base);
    }
    return effect || has_effect(algorithm, option, " a.bits=8 a.where=key");
}

static void every_option_has_an_effect(void **state)
{
    (void)state;
    for (int i = 0; bs_algorithm_at(i); i++) {
        const struct bs_algorithm *algorithm = bs_algorithm_at(i);
        for (const struct bs_option *o = algorithm->plugin.options; o && o->name; o++)
            if (strcmp(o->name, "remove_mean") && /* of the embedding, which no block has */
                !has_effect_somewhere(algorithm, o))
                fail_msg("%s: no value of %s changes anything", algorithm->plugin.name, o->name);
    }
}

/* Either the options are refused together, or all weights come out right. */
static void every_switch_can_be_thrown(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_block block = {.architecture = NULL};
    for (int i = 0; bs_algorithm_at(i); i++)
        for (const struct bs_option *o = bs_algorithm_at(i)->plugin.options; o && o->name; o++) {
            struct bs_recipe recipe;
            char settings[128];
            if (o->type != BS_BOOL)
                continue;
            snprintf(settings, sizeof settings, "bits=3 group_size=16 %s=%s", o->name,
                     o->initial != 0 ? "false" : "true");
            recipe_build_unresolved(&recipe, bs_algorithm_at(i)->plugin.name, settings);
            if (!bs_recipe_resolve(&recipe, &err)) {
                quantize(&recipe, &block);
                for (int r = 0; r < NUM_SLOTS; r++)
                    assert_on_grid(&block.linears[r], &recipe);
            } else {
                assert_int_equal(err.status, BS_ECONFIG);
            }
            bs_recipe_release(&recipe);
        }
    bs_block_release(&block);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct bs_error err;
    bs_set_threads(1); /* so that the n-th is the same one every time */
    for (int i = 0; bs_algorithm_at(i); i++) {
        struct bs_recipe recipe;
        struct bs_block block = {.architecture = NULL}, whole = {.architecture = NULL};
        assert_true(recipe_of(&recipe, bs_algorithm_at(i), 3, "16"));
        quantize(&recipe, &whole);
        for (long n = 1;; n++) {
            bs_alloc_fail_at(n);
            enum bs_status status = try_quantize(&recipe, &block, &err);
            long made = bs_alloc_fail_at(0);
            if (!status) {
                assert_true(made < n && n > NUM_SLOTS);
                break;
            }
            assert_int_equal(status, BS_ENOMEM);
        }
        assert_true(same_block(&block, &whole)); /* what failed before left no trace */
        bs_block_release(&block);
        bs_block_release(&whole);
        bs_recipe_release(&recipe);
    }
    bs_set_threads(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_describes_itself),
        cmocka_unit_test(every_option_is_refused_just_outside_its_range),
        cmocka_unit_test(every_weight_is_finite_and_on_its_grid),
        cmocka_unit_test(every_error_shrinks_with_more_bits),
        cmocka_unit_test(who_looks_at_inputs_does_no_worse_on_them_than_rtn),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(every_switch_can_be_thrown),
        cmocka_unit_test(every_option_has_an_effect),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_format_serves_every_algorithm), /* of another shape afterwards */
    };
    cmocka_set_test_filter(getenv("BITSWEEP_ONLY")); /* NULL: every one */
    return cmocka_run_group_tests(tests, setup, teardown);
}
