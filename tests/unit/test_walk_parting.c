/* Where a recipe's windows part from the unquantized model's does not show in its figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "eval/run/walk.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

enum { MOST_RIDERS = 8 };

static struct bs_model *model; /* the embedded one's first two blocks */
static struct bs_windows calibration, text;

static int setup(void **state)
{
    bs_blas_init();
    folder_setup(state);
    model = tiny_model_cut(folder.path, 2, NULL);
    calibration = tiny_model_windows("datasets/commons/calibration.txt", 5, 24);
    text = tiny_model_windows("datasets/commons/evaluation.txt", 3, 70);
    return 0;
}

static int teardown(void **state)
{
    bs_windows_release(&calibration);
    bs_windows_release(&text);
    bs_model_free(model);
    return folder_teardown(state);
}

/* A walk's variants with their recipes. */
struct ride {
    int count;
    struct bs_recipe recipes[MOST_RIDERS];
    struct bs_variant variants[MOST_RIDERS];
};

/* riders: { chain, settings }, "" for the unquantized model; ends with NULL. */
static void run(struct ride *ride, const char *const (*riders)[2])
{
    struct bs_error err;
    const struct bs_walk walk = {.model = model,
                                 .calibration = &calibration,
                                 .num_texts = 1,
                                 .texts = &text,
                                 .layer_error_windows = 2};
    memset(ride, 0, sizeof *ride);
    for (; riders[ride->count][0]; ride->count++) {
        int i = ride->count;
        recipe_build(&ride->recipes[i], riders[i][0], riders[i][1]);
        ride->variants[i] = (struct bs_variant){.recipe = &ride->recipes[i], .wanted = {true}};
    }
    if (bs_walk_run(&walk, ride->variants, ride->count, &err))
        fail_msg("%s", err.message);
}

static void ride_release(struct ride *ride)
{
    for (int i = 0; i < ride->count; i++) {
        bs_variant_release(&ride->variants[i]);
        bs_recipe_release(&ride->recipes[i]);
    }
}

/* Every figure is the same bytes, and so is the error of the last linear. */
static void assert_same_figures(const struct bs_variant *a, const struct bs_variant *b)
{
    size_t tokens = (size_t)text.windows * (size_t)(text.tokens - 1);
    assert_int_equal(a->status, BS_OK);
    assert_int_equal(b->status, BS_OK);
    for (int f = 0; f < BS_NUM_FIGURES; f++)
        if (a->figures[0].of[f])
            assert_memory_equal(a->figures[0].of[f], b->figures[0].of[f],
                                tokens * bs_figure_bytes((enum bs_figure)f));
    assert_int_equal(a->num_layers, b->num_layers);
    if (a->num_layers)
        assert_memory_equal(a->layers[a->num_layers - 1].values,
                            b->layers[b->num_layers - 1].values, sizeof a->layers->values);
}

/* bfloat16 is what the model's weights are: rounding one to it changes nothing, but a recipe that
 * does so in the first block has windows of its own from there on. */
static void windows_part_from_the_unquantized_ones_without_a_trace(void **state)
{
    (void)state;
    static const char *const late[][2] = {
        {"", ""},
        {"rtn", "bits=16 @layer[1].self_attn.q_proj bits=2"},
        {"gptq", "bits=16 @layer[1].* bits=3 group_size=64"},
        {"gptq", "bits=16 @layer[1].mlp.down_proj bits=3 group_size=64"},
        {"rtn", "bits=16 @head bits=4"},
        {"rtn", "bits=16"},
        {NULL, NULL},
    };
#define APART " @layer[0].self_attn.q_proj format=bf16"
    static const char *const at_once[][2] = {
        {"", ""},
        {"rtn", "bits=16 @layer[1].self_attn.q_proj bits=2" APART},
        {"gptq", "bits=16 @layer[1].* bits=3 group_size=64" APART},
        {"gptq", "bits=16 @layer[1].mlp.down_proj bits=3 group_size=64" APART},
        {"rtn", "bits=16 @head bits=4" APART},
        {"rtn", "bits=16" APART},
        {NULL, NULL},
    };
#undef APART
    static struct ride parting, apart;
    run(&parting, late);
    run(&apart, at_once);
    for (int i = 0; i < parting.count; i++)
        assert_same_figures(&parting.variants[i], &apart.variants[i]);
    ride_release(&parting);
    ride_release(&apart);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_part_from_the_unquantized_ones_without_a_trace),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
