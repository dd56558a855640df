#include <float.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "algorithms/algorithm.h"
#include "eval/base/mem.h"
#include "eval/base/option.h"
#include "eval/config/config.h"

/* One option of every kind. */
struct sample {
    bool flag;
    int whole, any, size, kind;
    double share, free;
    struct bs_numbers list;
};

static const struct bs_numbers three = {.count = 3, .values = {-1, 0, 0.5}};

static const char *const size_words[] = {"channel", "tensor", NULL};
static const char *const kind_words[] = {"false", "true", "auto", NULL};

static const struct bs_option sample_options[] = {
    BS_OPT(struct sample, flag, true, 0, 1, "a flag"),
    BS_OPT(struct sample, whole, 20, 1, 1000, "a whole number"),
    BS_OPT(struct sample, any, -3, INT_MIN, INT_MAX, "any whole number"),
    BS_OPT_WORDS(struct sample, size, BS_INT, 0, 1, 65536, size_words, "a number or a word"),
    BS_OPT_WORDS(struct sample, kind, BS_CHOICE, 2, 0, 2, kind_words, "a word"),
    BS_OPT(struct sample, share, 0.01, 0, 1, "a number"),
    BS_OPT(struct sample, free, 1e-5, -INFINITY, INFINITY, "any number"),
    {.name = "list",
     .help = "numbers",
     .offset = offsetof(struct sample, list),
     .type = BS_NUMBERS,
     .min = -10,
     .max = 10,
     .fewest = 2,
     .numbers = &three},
    {.name = NULL},
};

static const struct bs_option *sample_option(const char *name)
{
    const struct bs_option *option = bs_option_find(sample_options, name);
    assert_non_null(option);
    return option;
}

static void test_defaults(void **state)
{
    (void)state;
    struct sample values;
    memset(&values, 0x5a, sizeof values);
    bs_options_default(sample_options, &values);
    assert_true(values.flag);
    assert_int_equal(values.whole, 20);
    assert_int_equal(values.any, -3);
    assert_int_equal(values.size, 0);
    assert_int_equal(values.kind, 2);
    assert_true(values.share == 0.01);
    assert_true(values.free == 1e-5);
    for (const struct bs_option *o = sample_options; o->name; o++)
        assert_true(bs_option_is_default(o, &values));
    struct sample other = values;
    other.list.values[2] = 1;
    assert_false(bs_option_is_default(sample_option("list"), &other));
    assert_false(bs_option_equal(sample_option("list"), &other, &values));
    other.list = (struct bs_numbers){.count = 2, .values = {-1, 0}};
    assert_false(bs_option_equal(sample_option("list"), &other, &values));
    assert_true(bs_option_equal(sample_option("share"), &other, &values));
    values.share = 0.02;
    assert_false(bs_option_equal(sample_option("share"), &other, &values));
    assert_false(bs_option_is_default(sample_option("share"), &values));
    bs_options_default(NULL, &values); /* an algorithm without options */
    assert_null(bs_option_find(NULL, "share"));
    assert_null(bs_option_find(sample_options, "shar"));
}

/* Parses and prints: the text that comes back, or NULL where it is refused. */
static const char *round_trip(const char *name, const char *text)
{
    static char printed[64];
    struct sample values, before;
    struct bs_error err = {0};
    memset(&values, 0, sizeof values);
    bs_options_default(sample_options, &values);
    before = values;
    if (bs_option_parse(sample_option(name), text, &values, &err)) {
        assert_int_equal(err.status, BS_ECONFIG);
        assert_memory_equal(&values, &before, sizeof values);
        return NULL;
    }
    bs_option_print(sample_option(name), &values, printed, sizeof printed);
    return printed;
}

static void test_accepted_texts(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"flag", "true", "true"},
        {"flag", "false", "false"},
        {"flag", "True", "true"},
        {"flag", "FALSE", "false"},
        {"whole", "1", "1"},
        {"whole", "1000", "1000"},
        {"whole", "+7", "7"},
        {"whole", "007", "7"},
        {"any", "-2147483648", "-2147483648"},
        {"any", "2147483647", "2147483647"},
        {"any", "0", "0"},
        {"size", "channel", "channel"},
        {"size", "tensor", "tensor"},
        {"size", "128", "128"},
        {"kind", "auto", "auto"},
        {"kind", "true", "true"},
        {"kind", "False", "false"},
        {"share", "0", "0"},
        {"share", "-0", "0"},
        {"share", "1", "1"},
        {"share", "1.0", "1"},
        {"share", ".5", "0.5"},
        {"share", "5e-1", "0.5"},
        {"share", "0.1", "0.1"},
        {"share", "1e-300", "1e-300"},
        {"share", "0.30000000000000004", "0.30000000000000004"},
        {"free", "10", "10"},
        {"free", "100", "100"},
        {"free", "1000000", "1e+06"},
        {"free", "123456789", "123456789"},
        {"free", "-2.5", "-2.5"},
        {"list", "[1, 2]", "[1, 2]"},
        {"list", " [ -0,.5 ,\t1e1] ", "[0, 0.5, 10]"},
        {"list", "[3,3,3,3]", "[3, 3, 3, 3]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = round_trip(cases[i][0], cases[i][1]);
        assert_non_null(got);
        assert_string_equal(got, cases[i][2]);
    }
}

static void test_refused_texts(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"flag", "yes"},     {"flag", "1"},         {"flag", ""},
        {"flag", "tRue"},    {"whole", "0"},        {"whole", "1001"},
        {"whole", "2.0"},    {"whole", "1e2"},      {"whole", "0x10"},
        {"whole", " 5"},     {"whole", "5 "},       {"whole", ""},
        {"whole", "-"},      {"whole", "5-"},       {"whole", "nan"},
        {"whole", "true"},   {"any", "2147483648"}, {"any", "99999999999999999999999999"},
        {"size", "0"},       {"size", "-1"},        {"size", "Channel"},
        {"size", "65537"},   {"kind", "2"},         {"kind", "aut"},
        {"share", "1.1"},    {"share", "-1e-9"},    {"share", "nan"},
        {"share", "inf"},    {"share", "0x1p-1"},   {"share", "1e"},
        {"share", "0.5.5"},  {"share", "0,5"},      {"free", "inf"},
        {"free", "1e999"},   {"free", "-nan"},      {"list", "1"},
        {"list", "[1]"},     {"list", "[]"},        {"list", "[1, 2"},
        {"list", "[1, 2,]"}, {"list", "[1, 2] 3"},  {"list", "[1 2]"},
        {"list", "[1, x]"},  {"list", "[1, 11]"},   {"list", "[[1, 2]]"},
        {"list", "1, 2]"},   {"list", "[, 1, 2]"},  {"list", "[1, nan]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (round_trip(cases[i][0], cases[i][1]))
            fail_msg("%s took '%s'", cases[i][0], cases[i][1]);
}

static void test_messages(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"share", "2", "share is '2', expected a number from 0 to 1"},
        {"flag", "yes", "flag is 'yes', expected true or false"},
        {"whole", "x", "whole is 'x', expected a whole number from 1 to 1000"},
        {"any", "x", "any is 'x', expected a whole number"},
        {"free", "x", "free is 'x', expected a number"},
        {"kind", "x", "kind is 'x', expected false, true or auto"},
        {"list", "x", "list is 'x', expected a list of 2 to 256 numbers from -10 to 10"},
        {"size", "0", "size is '0', expected channel, tensor or a whole number from 1 to 65536"},
    };
    struct sample values;
    struct bs_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct bs_option *option = sample_option(cases[i][0]);
        assert_int_equal(bs_option_parse(option, cases[i][1], &values, &err), BS_ECONFIG);
        assert_string_equal(err.message, cases[i][2]);
    }
    /* As many numbers as there may be, and one more. */
    char many[2 * BS_MOST_NUMBERS + 4] = "[1";
    size_t length = 2;
    for (int k = 1; k <= BS_MOST_NUMBERS; k++) {
        snprintf(many + length, sizeof many - length, "%s", k < BS_MOST_NUMBERS ? ",1" : "]");
        length = strlen(many);
    }
    assert_int_equal(bs_option_parse(sample_option("list"), many, &values, &err), BS_OK);
    assert_int_equal(values.list.count, BS_MOST_NUMBERS);
    snprintf(many + length - 1, sizeof many - length + 1, ",1]");
    assert_int_equal(bs_option_parse(sample_option("list"), many, &values, &err), BS_ECONFIG);
    /* 59 letters, then one of two bytes that straddles the end of the quote. */
    char text[100];
    memset(text, 'a', 59);
    snprintf(text + 59, sizeof text - 59, "\xc3\xa9tail");
    assert_int_equal(bs_option_parse(sample_option("flag"), text, &values, &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "aaa...', expected true or false"));
}

static void test_print_cuts(void **state)
{
    (void)state;
    struct sample values;
    char out[8] = "unspoilt";
    bs_options_default(sample_options, &values);
    bs_option_print(sample_option("size"), &values, out, 4);
    assert_string_equal(out, "cha");
    bs_option_print_allowed(sample_option("size"), out, 6);
    assert_string_equal(out, "chann");
    bs_option_print_allowed(sample_option("size"), out, 0);
    assert_string_equal(out, "chann");
}

/* Reads `text` where `good` says whether it must be taken. */
static void expect(const struct bs_option *option, const char *text, void *values, bool good)
{
    struct bs_error err;
    bool taken = !bs_option_parse(option, text, values, &err);
    if (taken != good)
        fail_msg("%s %s '%s'", option->name, taken ? "took" : "refused", text);
}

/* What must hold for every table of the program: the default prints and reads back, the ends of the
 * range are taken and what lies just outside is refused. */
static void check_table(const struct bs_option *options, size_t size)
{
    void *values = bs_calloc(1, size ? size : 1);
    assert_non_null(values);
    bs_options_default(options, values);
    for (const struct bs_option *o = options; o && o->name; o++) {
        char text[64];
        assert_true(o->help && o->help[0]);
        assert_non_null(bs_option_find(options, o->name));
        bs_option_print_default(o, text, sizeof text);
        expect(o, text, values, true);
        assert_true(bs_option_is_default(o, values));
        expect(o, "nonsense", values, o->type == BS_FILE); /* which may be a file */
        expect(o, "", values, false);
        for (int k = 0; o->words && o->words[k]; k++)
            expect(o, o->words[k], values, true);
        if (o->type != BS_INT && o->type != BS_DOUBLE)
            continue;
        bool whole = o->type == BS_INT;
        snprintf(text, sizeof text, "%.17g", o->min);
        expect(o, text, values, true);
        snprintf(text, sizeof text, "%.*f", whole ? 0 : 17, o->max);
        expect(o, text, values, true);
        snprintf(text, sizeof text, whole ? "%.0f" : "%.17g",
                 whole ? o->min - 1 : nextafter(o->min, -DBL_MAX));
        expect(o, text, values, false);
        snprintf(text, sizeof text, whole ? "%.0f" : "%.17g",
                 whole ? o->max + 1 : nextafter(o->max, DBL_MAX));
        expect(o, text, values, false);
    }
    bs_free(values);
}

static void test_every_table(void **state)
{
    (void)state;
    check_table(bs_weights_options, sizeof(struct bs_setting));
    check_table(bs_activations_options, sizeof(struct bs_setting));
    for (int i = 0; bs_format_registry.rows[i]; i++)
        check_table(bs_format_registry.rows[i]->options, bs_format_registry.rows[i]->options_size);
    for (int i = 0; bs_range_registry.rows[i]; i++)
        check_table(bs_range_registry.rows[i]->options, bs_range_registry.rows[i]->options_size);
    check_table(bs_calibration_options, sizeof(struct bs_calibration_config));
    check_table(bs_evaluation_options, sizeof(struct bs_evaluation_config));
    check_table(bs_layer_error_options, sizeof(struct bs_layer_error_config));
    check_table(bs_recipe_options, sizeof(struct bs_recipe));
    for (int a = 0; bs_algorithm_at(a); a++)
        check_table(bs_algorithm_at(a)->plugin.options, bs_algorithm_at(a)->plugin.options_size);
}

static void test_nearest_word(void **state)
{
    (void)state;
    static const char *const words[] = {"bits",     "group_size", "symmetric", "grid", "rtn",
                                        "percdamp", "act_order",  "gptq",      "awq",  NULL};
    static const char *const cases[][2] = {
        {"bit", "bits"},
        {"wbits", "bits"},
        {"groupsize", "group_size"},
        {"gruop_size", "group_size"},
        {"sym", "symmetric"},
        {"percdmp", "percdamp"},
        {"act-order", "act_order"},
        {"gtpq", "gptq"},
        {"GPTQ", "gptq"},
        {"rtm", "rtn"},
        {"bits", "bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = bs_nearest_word(cases[i][0], words);
        assert_non_null(got);
        assert_string_equal(got, cases[i][1]);
    }
    char longer[4000];
    memset(longer, 'b', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    static const char *const strangers[] = {"", "x", "temperature", "smoothquant", "zzz"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        assert_null(bs_nearest_word(strangers[i], words));
    assert_null(bs_nearest_word(longer, words));
    assert_null(bs_nearest_word("bits", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_accepted_texts),
        cmocka_unit_test(test_refused_texts), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_print_cuts),    cmocka_unit_test(test_every_table),
        cmocka_unit_test(test_nearest_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
