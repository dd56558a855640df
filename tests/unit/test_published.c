/* What a result file's own config expects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/run/published.h"

static char path[] = "results/x.h5";

/* Neither the models nor the texts are anywhere. */
static char config[] = "model: [nowhere/a, nowhere/b]\n"
                       "calibration: {text: nowhere.txt}\n"
                       "evaluation:\n"
                       "  perplexity:\n"
                       "    - {text: nowhere/e.txt, tokens: 512, windows: 7}\n"
                       "    - {text: nowhere/f.txt}\n"
                       "sweep: [{algorithm: [rtn, gptq], weights: {bits: 4}}]\n"
                       "charts: [of_another_version]\n"
                       "expected:\n"
                       "  - source: a paper\n"
                       "    text: f\n"
                       "    values: {nowhere/b: {gptq w4 channel: 12.50}}\n"
                       "  - source: another\n"
                       "    text: e\n"
                       "    values: {nowhere/a: {unquantized: 9}}\n";

static void test_read(void **state)
{
    (void)state;
    struct bs_results results = {.path = path, .config = config};
    struct bs_published_set set;
    struct bs_error err;
    if (bs_published_read(&results, &set, &err))
        fail_msg("%s", err.message);
    assert_int_equal(set.count, 2);
    const struct bs_published *first = &set.figures[0], *second = &set.figures[1];
    assert_string_equal(first->model, "nowhere/b");
    assert_string_equal(first->text, "f");
    assert_string_equal(first->label, "gptq w4 channel");
    assert_string_equal(first->printed, "12.50");
    assert_string_equal(first->source, "a paper");
    assert_true(first->value == 12.5);
    assert_int_equal(first->tokens, 2048);
    assert_int_equal(first->windows, 0);
    assert_string_equal(second->source, "another");
    assert_int_equal(second->tokens, 512);
    assert_int_equal(second->windows, 7);
    bs_published_release(&set);
    bs_published_release(&set); /* nothing left to free */
}

static void test_unreadable(void **state)
{
    (void)state;
    static char of_another_version[] = "model: m\nbatch_size: 3\n", empty[] = "";
    struct bs_results results = {.path = path, .config = of_another_version};
    struct bs_published_set set;
    struct bs_error err;
    assert_int_equal(bs_published_read(&results, &set, &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "results/x.h5:2:1: error: unknown key 'batch_size'"));
    assert_int_equal(set.count, 0);
    bs_published_release(&set);
    results.config = empty;
    assert_int_equal(bs_published_read(&results, &set, &err), BS_ECONFIG);
    assert_int_equal(set.count, 0);
    bs_published_release(&set);
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_results results = {.path = path, .config = config};
    struct bs_published_set set;
    struct bs_error err;
    long n = 0;
    enum bs_status status;
    do {
        bs_alloc_fail_at(++n);
        status = bs_published_read(&results, &set, &err);
        bs_alloc_fail_at(0);
        assert_true(!status || status == BS_ENOMEM);
        assert_int_equal(set.count, !status ? 2 : 0);
        bs_published_release(&set);
    } while (status);
    assert_true(n > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
