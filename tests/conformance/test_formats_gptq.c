/* What error correction is worth in every number format there is: over the linears of the embedded
 * model's first blocks GPTQ has less output error than rounding to nearest, at the same bits.
 * configs/formats has the figures of the whole model. */
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
#include "eval/run/walk.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"
#include "tests/support/values.h"

enum { BLOCKS = 2, WINDOWS = 12, TOKENS = 256, MOST = 64, WIDTH = 768, FEWEST = 16, WIDEST = 256 };

static const char *const algorithms[] = {"rtn", "gptq"};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

/* The settings of a format by which columns of 16 to 256 share parameters: its defaults, or groups
 * of 128. False where it has neither, as a format without scales. */
static bool spans(const char *format, char *settings, size_t size)
{
    static const char *const more[] = {"", " group_size=128", " bits=4 group_size=128"};
    for (size_t k = 0; k < sizeof more / sizeof *more; k++) {
        struct bs_error err;
        struct bs_recipe recipe;
        struct bs_code_layout layout = {.span = 0};
        snprintf(settings, size, "format=%s%s", format, more[k]);
        const struct bs_plugin *plugin = bs_registry_find(&bs_format_registry, format);
        if (k && !bs_option_find(plugin->options, "group_size"))
            return false;
        recipe_build(&recipe, "rtn", settings);
        bool laid = bs_setting_quantizes(&recipe.weights) &&
                    !bs_setting_lay(&recipe.weights, WIDTH, WIDTH, &layout, &err);
        bs_recipe_release(&recipe);
        if (laid && layout.span >= FEWEST && layout.span <= WIDEST)
            return true;
    }
    return false;
}

/* Means over the linears. */
static double mean(const struct bs_variant *variant, const char *name)
{
    double sum = 0;
    for (int l = 0; l < variant->num_layers; l++)
        sum += layer_value(&variant->layers[l], name);
    assert_true(variant->num_layers > 0);
    return sum / variant->num_layers;
}

static void compare(const char *settings, const struct bs_variant *rtn,
                    const struct bs_variant *gptq)
{
    double nearest = mean(rtn, "relative_output_error");
    double corrected = mean(gptq, "relative_output_error");
    print_message("%s: %.4f of rtn, %.4f of gptq\n", settings, nearest, corrected);
    if (!(corrected < nearest))
        fail_msg("%s: output error %g by gptq, %g by rtn", settings, corrected, nearest);
    assert_true(mean(gptq, "bits_per_weight") == mean(rtn, "bits_per_weight"));
}

static void gptq_has_less_error_in_every_format(void **state)
{
    (void)state;
    static char settings[MOST][64];
    static struct bs_recipe recipes[MOST * ALGORITHMS];
    static struct bs_variant variants[MOST * ALGORITHMS];
    struct bs_error err;
    int count = 0;
    for (int f = 0; bs_format_registry.rows[f]; f++) {
        assert_true(count < MOST);
        if (!spans(bs_format_registry.rows[f]->name, settings[count], sizeof settings[count]))
            continue;
        for (int a = 0; a < ALGORITHMS; a++)
            recipe_build(&recipes[count * ALGORITHMS + a], algorithms[a], settings[count]);
        count++;
    }
    assert_true(count > 25);
    folder = folder_create();
    struct bs_model *model = tiny_model_cut(folder.path, BLOCKS, NULL);
    struct bs_windows calibration =
        tiny_model_windows("datasets/commons/calibration.txt", WINDOWS, TOKENS);
    struct bs_windows text = tiny_model_windows("datasets/commons/evaluation.txt", 1, TOKENS);
    struct bs_walk walk = {.model = model,
                           .calibration = &calibration,
                           .num_texts = 1,
                           .texts = &text,
                           .layer_error_windows = 1};
    for (int i = 0; i < count * ALGORITHMS; i++)
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    if (bs_walk_run(&walk, variants, count * ALGORITHMS, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < count * ALGORITHMS; i++)
        if (variants[i].status)
            fail_msg("%s: %s", settings[i / ALGORITHMS], variants[i].message);
    for (int i = 0; i < count; i++)
        compare(settings[i], &variants[i * ALGORITHMS], &variants[i * ALGORITHMS + 1]);
    for (int i = 0; i < count * ALGORITHMS; i++) {
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
    bs_windows_release(&calibration);
    bs_windows_release(&text);
    bs_model_free(model);
    folder_remove(&folder);
}

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    bs_set_threads(0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gptq_has_less_error_in_every_format),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
