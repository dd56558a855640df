/* Every kernel of the registry: which linears it is chosen for, and that it multiplies them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/model/kernel.h"
#include "eval/run/apply.h"
#include "eval/run/walk_cost.h"
#include "tests/support/folder.h"
#include "tests/support/processors.h"
#include "tests/support/recipes.h"
#include "tests/support/small_block.h"
#include "tests/support/tiny_model.h"

enum { MOST_KERNELS = 16 };

static struct bs_error err;

/* The random block as a recipe leaves it, without kernels; the recipe must outlive it. */
static struct bs_block quantized(struct bs_recipe *recipe, const char *settings)
{
    struct bs_block block = {.architecture = NULL}, plain = {.architecture = NULL};
    const struct bs_inputs inputs = {.rope = random_.rope,
                                     .unquantized = &random_.inputs,
                                     .quantized = &random_.inputs,
                                     .scratch = random_.scratch};
    recipe_build(recipe, "rtn", settings);
    assert_int_equal(bs_block_copy(&block, &random_.block, &err), BS_OK);
    assert_int_equal(bs_apply_recipe(recipe, &block, &inputs, &err), BS_OK);
    assert_int_equal(bs_block_copy(&plain, &block, &err), BS_OK);
    for (int s = 0; s < block.program->num_slots; s++) { /* the codes, which a copy does not have */
        plain.linears[s].codes = block.linears[s].codes;
        block.linears[s].codes = (struct bs_codes){.codes = NULL};
    }
    bs_block_release(&block);
    return plain;
}

/* The kernel of that name, or what it would be without the plug-ins of the tests. */
static const char *if_there(const char *name, const char *otherwise)
{
    return bs_registry_find(&bs_kernel_registry, name) ? name : otherwise;
}

static int number_of(const struct bs_kernel *kernel)
{
    for (int i = 0; bs_kernel_at(i); i++)
        if (bs_kernel_at(i) == kernel)
            return i;
    return -1;
}

static void each_multiplies_what_it_is_chosen_for(void **state)
{
    (void)state;
    const struct {
        const char *settings;
        enum bs_compute compute;
        const char *kernel;
    } cases[] = {
        {"bits=4 group_size=16", BS_FLOAT32, "float32"},
        {"bits=4 group_size=16", BS_BFLOAT16, "bfloat16"},
        {"bits=16", BS_BFLOAT16, "bfloat16"},
        {"bits=8 a.bits=8", BS_FLOAT32, "int8"},
        {"bits=8 a.bits=8", BS_BFLOAT16, "int8"},
        {"bits=8 group_size=16 a.bits=8", BS_FLOAT32, "float32"}, /* several scales a row */
        {"bits=8 group_size=16 a.bits=8", BS_BFLOAT16, "bfloat16"},
        {"bits=16 a.bits=8", BS_FLOAT32, "float32"}, /* no codes */
        {"bits=8", BS_FLOAT32, "float32"},           /* nothing to multiply them by */
        {"format=fp16", BS_AS_LLAMA_CPP, "llama_cpp"},
        {"bits=5", BS_FLOAT32, if_there("doubles", "float32")},
    };
    bool seen[MOST_KERNELS] = {false};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct bs_recipe recipe;
        struct bs_block chosen = quantized(&recipe, cases[c].settings);
        struct bs_block floats = {.architecture = NULL};
        assert_int_equal(bs_block_copy(&floats, &chosen, &err), BS_OK);
        assert_int_equal(bs_block_choose_kernels(&chosen, cases[c].compute, &err), BS_OK);
        bool exact = true;
        for (int s = 0; s < chosen.program->num_slots; s++) {
            const struct bs_kernel *kernel = chosen.linears[s].kernel;
            assert_string_equal(kernel->plugin.name, cases[c].kernel);
            assert_int_equal(kernel->prepare != NULL, chosen.linears[s].prepared != NULL);
            seen[number_of(kernel)] = true;
            exact &= kernel->exact;
        }
        /* A last bit can turn a code of a later input: a step of it, 1/127 of the largest. */
        double apart = outputs_apart(&random_, &floats, &chosen);
        assert_true(apart < (exact ? 5e-3 : 2e-2));
        assert_int_equal(apart == 0, !strcmp(cases[c].kernel, "float32"));
        assert_same_on_any_threads(&random_, &chosen);
        bs_block_release(&chosen);
        bs_block_release(&floats);
        bs_recipe_release(&recipe);
    }
    for (int i = 0; bs_kernel_at(i); i++)
        assert_true(seen[i]);
}

static double memory_of(const struct bs_walk *walk, const char *settings)
{
    struct bs_recipe recipe;
    const struct bs_recipe *one = &recipe;
    recipe_build(&recipe, "rtn", settings);
    double bytes = bs_walk_fixed_bytes(walk, &one, 1).memory;
    bs_recipe_release(&recipe);
    return bytes;
}

/* What a plan says of memory counts the weights once more as the row of the kernel says that will
 * multiply them, whichever it is. */
static void plans_count_what_kernels_prepare(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *without; /* the same but that float32 multiplies it */
        const char *kernel;             /* "" where it is float32 */
    } cases[] = {
        {"bits=8 a.bits=8", "bits=8", "int8"},
        {"bits=8 a.bits=8 @*_proj bits=8", "bits=8", "int8"},
        {"bits=8 a.bits=8 @* bits=16", "bits=8 @* bits=16", ""},
        {"bits=8 group_size=64 a.bits=8", "bits=8 group_size=64", ""},
        {"bits=8 compute=bfloat16", "bits=8", "bfloat16"},
        {"bits=8 compute=bfloat16 group_size=64", "bits=8 group_size=64", "bfloat16"},
        {"format=q4_0 compute=as,llama.cpp", "format=q4_0", "llama_cpp"},
        {"bits=5", "bits=6", "doubles"},
        {"bits=6", "bits=7", ""},
    };
    folder_setup(state);
    struct bs_model *model = tiny_model_cut(folder.path, 1, NULL);
    struct bs_windows text = tiny_model_windows("datasets/commons/calibration.txt", 1, 8);
    const struct bs_walk walk = {.model = model, .num_texts = 1, .texts = &text};
    double weights = bs_block_weights(bs_model_architecture(model), 0);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct bs_plugin *row = bs_registry_find(&bs_kernel_registry, cases[c].kernel);
        double want = row ? weights * (double)((const struct bs_kernel *)row)->weight_bytes() : 0;
        double got = memory_of(&walk, cases[c].settings) - memory_of(&walk, cases[c].without);
        if (got != want)
            fail_msg("%s: %g more, expected %g", cases[c].settings, got, want);
    }
    bs_windows_release(&text);
    bs_model_free(model);
    folder_teardown(state);
}

static void the_choice_stays_until_another_suits(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    struct bs_block block = quantized(&recipe, "bits=8 a.bits=8");
    assert_int_equal(bs_block_choose_kernels(&block, BS_FLOAT32, &err), BS_OK);
    const void *prepared = block.linears[SLOT_Q].prepared;
    bs_alloc_fail_at(1);
    assert_int_equal(bs_block_choose_kernels(&block, BS_BFLOAT16, &err), BS_OK);
    bs_alloc_fail_at(0);
    assert_ptr_equal(block.linears[SLOT_Q].prepared, prepared);
    bs_block_clear_sites(&block); /* inputs are floats from now on */
    struct bs_block floats = {.architecture = NULL};
    assert_int_equal(bs_block_copy(&floats, &block, &err), BS_OK);
    assert_true(outputs_apart(&random_, &floats, &block) == 0);
    assert_int_equal(bs_block_choose_kernels(&block, BS_FLOAT32, &err), BS_OK);
    assert_ptr_equal(block.linears[SLOT_Q].kernel, &bs_kernel_float32);
    assert_null(block.linears[SLOT_Q].prepared);
    assert_int_equal(bs_block_copy(&block, &random_.block, &err), BS_OK); /* which forgets it */
    assert_null(block.linears[SLOT_Q].kernel);
    bs_block_release(&block);
    bs_block_release(&floats);
    bs_recipe_release(&recipe);
}

static void no_memory_leaves_a_block_that_can_be_released(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=8 a.bits=8", "bits=8"};
    for (int k = 0; k < 2; k++) {
        enum bs_status status = BS_ENOMEM;
        for (long n = 1; status; n++) {
            struct bs_recipe recipe;
            struct bs_block block = quantized(&recipe, settings[k]);
            bs_alloc_fail_at(n);
            status = bs_block_choose_kernels(&block, k ? BS_BFLOAT16 : BS_FLOAT32, &err);
            bs_alloc_fail_at(0);
            assert_true(!status || status == BS_ENOMEM);
            assert_true(n > 3 || status == BS_ENOMEM);
            bs_block_release(&block);
            bs_recipe_release(&recipe);
        }
    }
}

static void rows_are_whole(void **state)
{
    (void)state;
    size_t room = 0;
    int count = 0;
    for (; bs_kernel_at(count); count++) {
        const struct bs_kernel *kernel = bs_kernel_at(count);
        assert_true(kernel->plugin.name && kernel->plugin.summary && kernel->suits &&
                    kernel->multiply);
        assert_int_equal(kernel->encode != NULL, kernel->room_floats != NULL);
        assert_int_equal(kernel->prepare != NULL, kernel->release != NULL);
        assert_int_equal(kernel->prepare != NULL, kernel->weight_bytes != NULL);
        assert_int_equal(bs_kernel_room_at(kernel, 3, 40), room);
        room += kernel->room_floats ? kernel->room_floats(3, 40) : 0;
    }
    assert_in_range(count, 1, MOST_KERNELS);
    assert_int_equal(bs_kernels_room_floats(3, 40), room);
    assert_ptr_equal(bs_kernel_at(count - 1), &bs_kernel_float32); /* which suits what is left */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_multiplies_what_it_is_chosen_for),
        cmocka_unit_test(plans_count_what_kernels_prepare),
        cmocka_unit_test(the_choice_stays_until_another_suits),
        cmocka_unit_test(no_memory_leaves_a_block_that_can_be_released),
        cmocka_unit_test(rows_are_whole),
    };
    (void)argc;
    int failed = run_again_with_avx2(argv);
    return cmocka_run_group_tests(tests, small_block_setup, small_block_teardown) || failed;
}
