/* How long walks are said to take: sums, whatever the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/run/pace.h"
#include "eval/run/progress.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

enum { RECIPES = 4 };

static struct bs_model *model; /* the embedded one's first blocks */
static struct bs_windows calibration, texts[2];
static struct bs_recipe recipes[RECIPES];
static const struct bs_recipe *all[RECIPES];
static struct bs_walk walk;

static int setup(void **state)
{
    static const char *const chains[RECIPES] = {"rtn", "gptq", "awq", "smoothquant"};
    static const char *const settings[RECIPES] = {"bits=4", "bits=3", "bits=4 group_size=64",
                                                  "bits=8 a.bits=8"};
    bs_blas_init();
    bs_set_threads(2);
    folder_setup(state);
    model = tiny_model_cut(folder.path, 2, NULL);
    calibration = tiny_model_windows("datasets/commons/calibration.txt", 4, 32);
    texts[0] = tiny_model_windows("datasets/commons/evaluation.txt", 4, 24);
    texts[1] = tiny_model_windows("datasets/commons/evaluation.txt", 2, 48);
    for (int i = 0; i < RECIPES; i++) {
        recipe_build(&recipes[i], chains[i], settings[i]);
        all[i] = &recipes[i];
    }
    walk = (struct bs_walk){
        .model = model, .calibration = &calibration, .num_texts = 2, .texts = texts};
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < RECIPES; i++)
        bs_recipe_release(&recipes[i]);
    bs_windows_release(&calibration);
    bs_windows_release(&texts[0]);
    bs_windows_release(&texts[1]);
    bs_model_free(model);
    bs_set_threads(0);
    return folder_teardown(state);
}

static void every_rate_is_measured(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_pace pace;
    assert_int_equal(bs_pace_measure(&walk, all, RECIPES, &pace, &err), BS_OK);
    assert_int_equal(pace.num_kinds, 2); /* of floats alone, and of 8 bit activations */
    assert_true(pace.read > 0 && pace.flop > 0 && pace.logit > 0);
    for (int k = 0; k < pace.num_kinds; k++) {
        const struct bs_pace_kind *kind = &pace.kinds[k];
        assert_true(kind->weight > 0 && kind->flop > 0 && kind->logit > 0);
    }
    assert_int_equal(bs_pace_measure(&walk, NULL, 0, &pace, &err),
                     BS_OK); /* nothing but stream 0 */
    assert_int_equal(pace.num_kinds, 0);
    const unsigned none = 0;
    assert_true(bs_pace_seconds(&pace, &walk, NULL, &none, 0, 1) > 0);
}

/* Seconds of these recipes in one walk at rates of one each. */
static double seconds_of(int first, int count, unsigned wanted, double blocks)
{
    struct bs_pace pace = {.read = 1, .flop = 1, .logit = 1, .num_kinds = 2};
    unsigned of[RECIPES] = {wanted, wanted, wanted, wanted};
    for (int k = 0; k < 2; k++) /* the last recipe has activations of 8 bits */
        pace.kinds[k] = (struct bs_pace_kind){
            .like = &recipes[k ? RECIPES - 1 : 0], .weight = 1, .flop = 1, .logit = 1};
    return bs_pace_seconds(&pace, &walk, all + first, of, count, blocks);
}

static void a_walk_is_the_sum_of_its_parts(void **state)
{
    (void)state;
    double nobody = seconds_of(0, 0, 0, 1), all_texts = seconds_of(0, 1, 3, 1);
    assert_true(nobody > 0);
    /* Texts that are not wanted take nothing; each of them its flops and logits. */
    double first = seconds_of(0, 1, 1, 1), none = seconds_of(0, 1, 0, 1);
    assert_close(first - none, bs_walk_text_flops(&walk, 0) + bs_walk_text_logits(&walk, 0), 0,
                 1e-12);
    assert_close(all_texts - first, bs_walk_text_flops(&walk, 1) + bs_walk_text_logits(&walk, 1), 0,
                 1e-12);
    assert_close(none - nobody, 2 * bs_block_weights(bs_model_architecture(model), 0), 0, 1e-9);
    /* Where all blocks have been passed the head stays, and half a passage takes half. */
    const struct bs_architecture *a = bs_model_architecture(model);
    double logits = bs_walk_text_logits(&walk, 0) + bs_walk_text_logits(&walk, 1);
    double whole = seconds_of(0, RECIPES, 3, 1), head = seconds_of(0, RECIPES, 3, 0);
    assert_close(head, (double)a->vocab_size * a->embedding_size + (RECIPES + 1) * logits, 0,
                 1e-12);
    assert_close(seconds_of(0, RECIPES, 3, 0.5), (whole + head) / 2, 0, 1e-12);
    /* Recipes share what is common to them. */
    double apart = 0;
    for (int i = 0; i < RECIPES; i++)
        apart += seconds_of(i, 1, 3, 1);
    assert_true(whole > seconds_of(2, 1, 3, 1) && whole < apart);
}

/* Threads that wait for the last window take its time too. */
static void windows_that_do_not_share_out(void **state)
{
    (void)state;
    double two = seconds_of(0, 1, 2, 1) - seconds_of(0, 1, 0, 1);
    bs_set_threads(3);
    double waiting = seconds_of(0, 1, 2, 1) - seconds_of(0, 1, 0, 1);
    bs_set_threads(2);
    assert_close(waiting, 1.5 * two, 0, 1e-12);
}

static void what_is_told(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0.01, "1 s"},    {45.2, "45 s"},   {99.4, "99 s"},
                 {100, "1.7 min"}, {720, "12 min"},  {5900, "98 min"},
                 {5980, "1.7 h"},  {12600, "3.5 h"}, {360000, "100 h"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[32];
        bs_print_about(cases[c].seconds, text, sizeof text);
        assert_string_equal(text, cases[c].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rate_is_measured),
        cmocka_unit_test(a_walk_is_the_sum_of_its_parts),
        cmocka_unit_test(windows_that_do_not_share_out),
        cmocka_unit_test(what_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
