#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "algorithms/algorithm.h"
#include "eval/config/describe.h"
#include "eval/data/corpus.h"
#include "eval/data/protocol.h"

/* What a description prints, in memory of malloc. */
static char *described(const char *name, bool markdown)
{
    char *text = NULL;
    size_t size = 0;
    struct bs_error err;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (name)
        assert_int_equal(bs_describe_one(name, out, markdown, &err), BS_OK);
    else
        bs_describe_all(out, markdown);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_describe(void **state)
{
    (void)state;
    char *all = described(NULL, false), *markdown = described(NULL, true);
    for (int a = 0; bs_algorithm_at(a); a++) {
        const struct bs_algorithm *algorithm = bs_algorithm_at(a);
        assert_non_null(strstr(all, algorithm->plugin.summary));
        assert_non_null(strstr(markdown, algorithm->plugin.reference));
        for (int m = 0; m < 2; m++) {
            char *one = described(algorithm->plugin.name, m == 1);
            assert_non_null(strstr(one, algorithm->plugin.reference));
            for (const struct bs_option *o = algorithm->plugin.options; o && o->name; o++) {
                char allowed[320];
                bs_option_print_allowed(o, allowed, sizeof allowed);
                assert_non_null(strstr(one, o->name));
                assert_non_null(strstr(one, allowed));
                assert_non_null(strstr(markdown, o->name));
            }
            free(one);
        }
    }
    static const char *const sections[] = {
        "config",      "sweep",    "weights", "activations", "calibration", "evaluation",
        "layer_error", "expected", "models",  "protocols",   "texts"};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        char *one = described(sections[i], false);
        assert_non_null(strstr(all, one)); /* the whole is made of its parts */
        free(one);
    }
    for (const struct bs_corpus *corpus = bs_corpora; corpus->name; corpus++)
        assert_non_null(strstr(markdown, corpus->summary));
    for (int p = 0; p < BS_NUM_PROTOCOLS; p++)
        assert_non_null(strstr(markdown, bs_protocols[p].summary));
    free(all);
    free(markdown);
    struct bs_error err;
    assert_int_equal(bs_describe_one("gtpq", stderr, false, &err), BS_ECONFIG);
    assert_memory_equal(err.message, "'gtpq' is nothing to describe, expected rtn, gptq, ", 50);
    assert_non_null(strstr(
        err.message, " layer_error, expected, models, protocols or texts (did you mean 'gptq'?)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
