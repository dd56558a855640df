/* The largest values of channels: those of a pass by hand, of every block; and as a result file
 * keeps them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/model/rope.h"
#include "eval/run/walk.h"
#include "eval/run/walk_cost.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/sample_trials.h"
#include "tests/support/tiny_model.h"

enum { LAYERS = 2, TOKENS = 40, WINDOWS = 3, LOOKED_AT = 2, MOST_WIDTH = 768, HIDDEN = 256 };

static struct bs_model *model;
static struct bs_windows evaluation;
static char down_input[] = "down_input", key[] = "key", *sites[] = {down_input, key};

static int setup(void **state)
{
    bs_blas_init();
    bs_set_threads(1);
    folder_setup(state);
    model = tiny_model_cut(folder.path, LAYERS, NULL);
    evaluation = tiny_model_windows("datasets/commons/evaluation.txt", WINDOWS, TOKENS);
    return 0;
}

static int teardown(void **state)
{
    bs_windows_release(&evaluation);
    bs_model_free(model);
    return folder_teardown(state);
}

/* What passes by. */
struct seen {
    const struct bs_program *program;
    float largest[2][MOST_WIDTH];
};

static void look(void *context, int value, const float *x, int rows, int stride)
{
    struct seen *seen = context;
    for (int s = 0; s < 2; s++)
        for (int t = 0; !strcmp(seen->program->values[value].name, sites[s]) && t < rows; t++)
            for (int j = 0; j < seen->program->values[value].width; j++)
                seen->largest[s][j] = fmaxf(seen->largest[s][j], fabsf(x[t * stride + j]));
}

/* Block after block of the unquantized model, over the windows that are looked at. */
static void assert_by_hand(const struct bs_channel_list *list)
{
    struct bs_error err;
    const struct bs_architecture *a = bs_model_architecture(model);
    const int tokens = TOKENS;
    static float x[LOOKED_AT][TOKENS * HIDDEN];
    struct bs_rope *rope = bs_rope_create(a, &tokens, 1);
    struct bs_scratch *scratch = bs_scratch_create(1, bs_block_scratch_floats(a, TOKENS));
    assert_int_equal(bs_model_embed(model, NULL, evaluation.ids, LOOKED_AT, TOKENS, x[0], &err),
                     BS_OK);
    for (int l = 0; l < LAYERS; l++) {
        struct bs_block block = {.architecture = NULL};
        struct seen seen = {.program = bs_program_of(a, l)};
        struct bs_observer observer = {.context = &seen, .site = look};
        assert_int_equal(bs_block_load(model, l, &block, &err), BS_OK);
        for (int w = 0; w < LOOKED_AT; w++)
            bs_block_forward(&block, rope, x[w], x[w], TOKENS, &observer, scratch);
        for (int s = 0; s < 2; s++) {
            const struct bs_channels *of = &list->of[s];
            assert_string_equal(of->site, sites[s]);
            assert_true(of->blocks == LAYERS && of->width == (s ? 128 : MOST_WIDTH));
            assert_memory_equal(of->largest + l * of->width, seen.largest[s],
                                (size_t)of->width * sizeof(float));
        }
        bs_block_release(&block);
    }
    bs_scratch_free(scratch, 1);
    bs_rope_free(rope);
}

static void largest_values_are_those_of_a_pass_by_hand(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipes[2];
    struct bs_variant variants[2];
    struct bs_walk walk = {.model = model,
                           .num_texts = 1,
                           .texts = &evaluation,
                           .channel_windows = LOOKED_AT,
                           .num_channel_sites = 2,
                           .channel_sites = sites};
    memset(variants, 0, sizeof variants);
    recipe_build(&recipes[0], "", "");
    recipe_build(&recipes[1], "rtn", "bits=16 @mlp.up_proj bits=2");
    for (int i = 0; i < 2; i++)
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    if (bs_walk_run(&walk, variants, 2, &err))
        fail_msg("%s", err.message);
    assert_by_hand(&variants[0].channels);
    /* Weights that are rounded change what comes after them in the block, and all of the next. */
    for (int s = 0; s < 2; s++) {
        const struct bs_channels *a = &variants[0].channels.of[s], *b = &variants[1].channels.of[s];
        size_t bytes = (size_t)a->width * sizeof(float);
        assert_int_equal(!memcmp(a->largest, b->largest, bytes), s == 1);
        assert_memory_not_equal(a->largest + a->width, b->largest + b->width, bytes);
    }
    /* A plan counts them. */
    double counted = bs_walk_recipe_bytes(&walk, &recipes[1], 1).memory, kept = 0;
    for (int s = 0; s < 2; s++) {
        const struct bs_channels *c = &variants[1].channels.of[s];
        kept += (double)c->blocks * c->width * (double)sizeof *c->largest;
    }
    walk.num_channel_sites = 0;
    assert_true(counted - bs_walk_recipe_bytes(&walk, &recipes[1], 1).memory == kept);
    for (int i = 0; i < 2; i++) {
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
}

static void a_result_file_keeps_them(void **state)
{
    (void)state;
    static struct sample sample;
    struct bs_error err;
    struct bs_channel_list list = {.count = 2}, read, none;
    sample_must(bs_channels_init(&list.of[0], "value", 3, 4, &err), &err);
    sample_must(bs_channels_init(&list.of[1], "attn_input", 2, 5, &err), &err);
    for (int i = 0; i < 10; i++) /* the others are of a block that has none */
        list.of[0].largest[i] = list.of[1].largest[i] = (float)i / 3;
    sample_make(&sample, "0123456789abcdef", 1);
    sample.record.channels = &list;
    sample_must(sample_commit(&sample, &err), &err);
    sample_make(&sample, "0123456789abcdee", 2);
    sample_must(sample_commit(&sample, &err), &err);
    sample_must(bs_results_read_channels(sample_file, "0123456789abcdef", &read, &err), &err);
    assert_int_equal(read.count, 2);
    for (int s = 0; s < 2; s++) { /* in the order of their names */
        const struct bs_channels *want = &list.of[1 - s], *got = &read.of[s];
        assert_string_equal(got->site, want->site);
        assert_true(got->blocks == want->blocks && got->width == want->width);
        assert_memory_equal(got->largest, want->largest,
                            (size_t)got->blocks * (size_t)got->width * sizeof(float));
    }
    sample_must(bs_results_read_channels(sample_file, "0123456789abcdee", &none, &err), &err);
    assert_int_equal(none.count, 0);
    bs_channel_list_release(&read);
    bs_channel_list_release(&list);
}

int main(void)
{
    const struct CMUnitTest passes[] = {
        cmocka_unit_test(largest_values_are_those_of_a_pass_by_hand)};
    const struct CMUnitTest files[] = {
        cmocka_unit_test_setup_teardown(a_result_file_keeps_them, sample_setup, sample_teardown)};
    return cmocka_run_group_tests(passes, setup, teardown) +
           cmocka_run_group_tests(files, NULL, NULL);
}
