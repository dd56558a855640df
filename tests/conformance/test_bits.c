/* The portable numerics give every token's figures the same bytes at every level of instructions
 * that the machine has, and those that are stored in tests/golden/bits.json: what another processor
 * gave. What these figures are worth other tests say; this one sees a bit that has changed.
 *
 * `test_bits --print` prints the file anew, from the level in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/file.h"
#include "eval/base/isa.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/numerics.h"
#include "eval/run/walk.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

enum { BLOCKS = 2, WINDOWS = 2, TOKENS = 32 };

static const char path[] = "tests/golden/bits.json";

/* The recipes, each with a kernel, a solver or loops that no other has. */
static const struct {
    const char *chain, *settings;
    bool is_long; /* left out where fused multiply-adds are emulated */
} recipes[] = {
    {"", "", false},
    {"rtn", "bits=3 group_size=128", false},
    {"smoothquant", "bits=8 group_size=channel a.bits=8 a.sharing=token", false},
    {"rtn", "bits=4 group_size=channel compute=bfloat16", false},
    {"gptq", "bits=3 group_size=128 act_order=true", false},
    {"awq", "bits=3 group_size=128", true}, /* the last: those before it make a walk */
};
enum { RECIPES = sizeof recipes / sizeof *recipes };

static struct bs_model *model;
static struct bs_windows calibration, evaluation;

/* The figures of a recipe that are compared, by their digests. */
struct bits {
    struct bs_digest nll, kld;
};

static struct bs_digest digest(const struct bs_variant *variant, enum bs_figure figure)
{
    size_t count = (size_t)evaluation.windows * (size_t)(evaluation.tokens - 1);
    return bs_digest_of(bs_figure_floats(&variant->figures[0], figure), count * sizeof(float));
}

/* What the level in use gives; returns for how many recipes. */
static int measure(struct bits bits[RECIPES])
{
    int count = RECIPES;
    while (bs_isa() == BS_ISA_BASE && recipes[count - 1].is_long)
        count--;
    struct bs_error err;
    struct bs_recipe built[RECIPES];
    struct bs_variant variants[RECIPES];
    memset(variants, 0, sizeof variants);
    for (int i = 0; i < count; i++) {
        if (*recipes[i].chain)
            recipe_build(&built[i], recipes[i].chain, recipes[i].settings);
        else
            bs_recipe_init(&built[i]);
        variants[i] = (struct bs_variant){.recipe = &built[i], .wanted = {true}};
    }
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &evaluation};
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < count; i++) {
        if (variants[i].status)
            fail_msg("%s %s: %s", recipes[i].chain, recipes[i].settings, variants[i].message);
        bits[i] = (struct bits){digest(&variants[i], BS_NLL), digest(&variants[i], BS_KLD)};
        bs_variant_release(&variants[i]);
        bs_recipe_release(&built[i]);
    }
    return count;
}

static void every_level_gives_the_stored_bits(void **state)
{
    (void)state;
    json_t *stored = json_load_file(path, 0, NULL), *rows = json_object_get(stored, "rows");
    assert_int_equal(json_array_size(rows), RECIPES);
    assert_string_equal(bs_numerics()->plugin.name, "portable");
    enum bs_isa best = bs_isa();
    int first = 0, wrong = 0;
#ifdef __SANITIZE_ADDRESS__
    first = (int)best; /* the others take their time there */
#endif
    for (int level = first; level <= (int)best; level++) {
        struct bits bits[RECIPES];
        assert_true(bs_isa_use((enum bs_isa)level));
        size_t count = (size_t)measure(bits);
        for (size_t i = 0; i < count; i++) {
            const char *chain, *settings, *nll, *kld;
            assert_int_equal(json_unpack(json_array_get(rows, i), "{s:s, s:s, s:s, s:s}", "chain",
                                         &chain, "settings", &settings, "nll", &nll, "kld", &kld),
                             0);
            assert_string_equal(chain, recipes[i].chain);
            assert_string_equal(settings, recipes[i].settings);
            bool same = !strcmp(bits[i].nll.hex, nll) && !strcmp(bits[i].kld.hex, kld);
            wrong += !same;
            if (!same)
                print_error("%s %s at level %s: nll %s, kld %s, stored %s, %s\n", chain, settings,
                            bs_isa_name((enum bs_isa)level), bits[i].nll.hex, bits[i].kld.hex, nll,
                            kld);
        }
    }
    json_decref(stored);
    assert_int_equal(wrong, 0);
}

static int open_inputs(void **state)
{
    folder_setup(state);
    bs_set_threads(0);
    bs_blas_init();
    model = tiny_model_cut(folder.path, BLOCKS, NULL);
    calibration = tiny_model_windows("datasets/commons/calibration.txt", WINDOWS, TOKENS);
    evaluation = tiny_model_windows("datasets/commons/evaluation.txt", WINDOWS, TOKENS);
    return 0;
}

static int close_inputs(void **state)
{
    bs_windows_release(&calibration);
    bs_windows_release(&evaluation);
    bs_model_free(model);
    return folder_teardown(state);
}

static void print(void **state)
{
    (void)state;
    struct bits bits[RECIPES];
    measure(bits);
    printf(
        "{\"model\": \"datasets/tiny, %d blocks\", \"windows\": %d, \"tokens\": %d, \"rows\": [\n",
        BLOCKS, WINDOWS, TOKENS);
    for (int i = 0; i < RECIPES; i++)
        printf(
            "  {\"chain\": \"%s\", \"settings\": \"%s\",\n   \"nll\": \"%s\", \"kld\": \"%s\"}%s\n",
            recipes[i].chain, recipes[i].settings, bits[i].nll.hex, bits[i].kld.hex,
            i + 1 < RECIPES ? "," : "");
    printf("]}\n");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_level_gives_the_stored_bits)};
    if (argc > 1 && !strcmp(argv[1], "--print")) {
        open_inputs(NULL);
        print(NULL);
        return close_inputs(NULL);
    }
    return cmocka_run_group_tests(tests, open_inputs, close_inputs);
}
