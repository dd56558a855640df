/* Trials of tasks side by side: what turned, whether that is more than chance, and how it is
 * said. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/report/table.h"
#include "eval/tasks/answer_changes.h"
#include "eval/tasks/paired_items.h"
#include "tests/support/folder.h"
#include "tests/support/results.h"
#include "tests/support/tables.h"
#include "tests/support/values.h"

enum { ITEMS = 60, MOST_TEXT = 1 << 16 };

static char file_a[96], file_b[96];

static int make_folder(void **state)
{
    folder_setup(state);
    snprintf(file_a, sizeof file_a, "%s/a.h5", folder.path);
    snprintf(file_b, sizeof file_b, "%s/b.h5", folder.path);
    return 0;
}

/* Items of three choices of which those from `first` to `last` are wrong: the next choice is taken
 * there. By characters all are right. With one choice they are last words. */
static struct bs_answers make_answers(int items, int choices, int first, int last)
{
    struct bs_answers answers = {0};
    struct bs_error err;
    for (int i = 0; i < items; i++)
        for (int k = 0; k < choices; k++) {
            bool gold = k == (choices == 1 ? 0 : i % choices), wrong = i >= first && i <= last;
            bool taken = choices == 1 ? !wrong : k == (i + wrong) % choices;
            const struct bs_answer row = {.item = i,
                                          .choice = k,
                                          .gold = gold,
                                          .line = i + 1,
                                          .id = "",
                                          .group = "",
                                          .tokens = 2,
                                          .characters = gold ? 100 : 1,
                                          .bytes = gold ? 100 : 1,
                                          .greedy = taken,
                                          .log_likelihood = taken ? -1 : -2 - 0.25 * k,
                                          .unconditional = (double)NAN,
                                          .suffix = choices == 1 ? (double)NAN
                                                    : taken      ? -0.5
                                                                 : -1};
            if (bs_answers_add(&answers, &row, &err))
                fail_msg("%s", err.message);
        }
    return answers;
}

static struct bs_row make_row(const char *id, const char *label, int seed)
{
    struct bs_row row = {.windows = ITEMS, .tokens = 8, .stride = 8, .scored = ITEMS, .bits = 3};
    snprintf(row.id, sizeof row.id, "%s", id);
    row.algorithm = label;
    row.label = row.recipe = label;
    row.text = "endings";
    row.model = "tiny";
    row.calibration_seed = seed;
    row.calibration_windows = seed >= 0;
    snprintf(row.evaluation, sizeof row.evaluation, "tasks");
    snprintf(row.protocol, sizeof row.protocol, "0-shot");
    snprintf(row.calibration_digest, sizeof row.calibration_digest, "%d", seed);
    snprintf(row.status, sizeof row.status, "done");
    return row;
}

/* Adds a trial with such answers, and values against `unquantized` where there is one. */
static void add(const char *path, struct bs_row row, struct bs_answers answers,
                const struct bs_flips *flips)
{
    struct bs_value_row values[4] = {value_row("acc", 0.5, 0.01)};
    values[0].n = answers.num_items;
    row.num_values = 1;
    row.values = values;
    values[row.num_values++] = answers.count > answers.num_items
                                   ? value_row("acc_norm", 1, 0)
                                   : value_row("target_perplexity", 3, 0.1);
    if (flips) {
        values[row.num_values++] = value_row("lost", flips->lost, NAN);
        values[row.num_values++] = value_row("gained", flips->gained, NAN);
    }
    struct bs_trial_record record = {.row = row, .canonical = "", .answers = answers};
    results_add(path, &record);
    bs_answers_release(&answers);
}

static enum bs_status diff(const char *columns, enum bs_table_style style, char **text,
                           struct bs_error *err)
{
    struct bs_results a, b;
    if (bs_results_read(file_a, &a, err) || bs_results_read(file_b, &b, err))
        fail_msg("%s", err->message);
    size_t size;
    FILE *out = open_memstream(text, &size);
    enum bs_status status = bs_diff_print(&a, &b, columns, style, out, err);
    fclose(out);
    bs_results_release(&a);
    bs_results_release(&b);
    return status;
}

static enum bs_status between(const char *first, const char *second, const char *columns,
                              enum bs_table_style style, char **text, struct bs_error *err)
{
    struct bs_results results;
    size_t size;
    if (bs_results_read(file_a, &results, err))
        fail_msg("%s", err->message);
    FILE *out = open_memstream(text, &size);
    enum bs_status status =
        bs_diff_print_between(&results, first, second, columns, style, out, err);
    fclose(out);
    bs_results_release(&results);
    return status;
}

/* Whether a gate that holds of no pair is passed. */
static bool gate_passes(const char *first, const char *second)
{
    const char *const names[] = {first, second};
    struct bs_results results;
    struct bs_error err;
    bool passed = false;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (bs_results_read(file_a, &results, &err) ||
        bs_diff_gate(&results, &results, names, "difference > 2", out, &passed, &err))
        fail_msg("%s", err.message);
    fclose(out);
    free(text);
    bs_results_release(&results);
    return passed;
}

static char *print(bool items, const char *columns, enum bs_table_style style,
                   enum bs_status expected, struct bs_error *err)
{
    struct bs_results results;
    struct bs_trials shown;
    char *text;
    size_t size;
    if (bs_results_read(file_a, &results, err) || select_all(&results, &shown, err))
        fail_msg("%s", err->message);
    FILE *out = open_memstream(&text, &size);
    enum bs_status status = items ? bs_items_print(&shown, columns, style, out, err)
                                  : print_selected(&results, NULL, NULL, columns, style, out, err);
    fclose(out);
    if (status != expected)
        fail_msg("status %d: %s", status, err->message);
    bs_trials_release(&shown);
    bs_results_release(&results);
    return text;
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12))
        fail_msg("%.15g, expected %.15g", value, expected);
}

static double number(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

/* One pair the same to the bit, one with few that turned, one with many. */
static void write_pairs(void)
{
    add(file_a, make_row("1", "same", -1), make_answers(ITEMS, 3, 0, 9), NULL);
    add(file_b, make_row("1", "same", -1), make_answers(ITEMS, 3, 0, 9), NULL);
    add(file_a, make_row("2", "few", -1), make_answers(ITEMS, 3, 0, 5), NULL);
    add(file_b, make_row("2", "few", -1), make_answers(ITEMS, 3, 4, 9), NULL);
    add(file_a, make_row("3", "many", -1), make_answers(ITEMS, 3, 0, 2), NULL);
    add(file_b, make_row("3", "many", -1), make_answers(ITEMS, 3, 3, 32), NULL);
}

static void test_diff(void **state)
{
    (void)state;
    write_pairs();
    struct bs_error err;
    char *text;
    assert_int_equal(diff(NULL, BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL), *rows = json_object_get(json, "trials");
    assert_int_equal(json_array_size(rows), 3);
    static const struct {
        int lost, gained;
        const char *test;
    } expected[] = {{0, 0, "McNemar exact"}, {4, 4, "McNemar exact"}, {30, 3, "McNemar"}};
    double p[3];
    for (size_t i = 0; i < 3; i++) {
        const json_t *row = json_array_get(rows, i);
        const struct bs_flips flips = {.lost = expected[i].lost,
                                       .gained = expected[i].gained,
                                       .both_right = ITEMS - expected[i].lost - expected[i].gained};
        p[i] = bs_mcnemar(flips).p;
        assert_string_equal(json_string_value(json_object_get(row, "compared")), "acc");
        assert_string_equal(json_string_value(json_object_get(row, "test")), expected[i].test);
        assert_near(number(row, "items"), ITEMS);
        assert_near(number(row, "lost"), expected[i].lost);
        assert_near(number(row, "gained"), expected[i].gained);
        assert_near(number(row, "difference"), bs_flips_change(flips).mean);
        assert_near(number(row, "difference_se"), bs_flips_change(flips).se);
        assert_near(number(row, "p"), p[i]);
        assert_true(json_is_null(json_object_get(row, "df")));
        if (i < 2)
            assert_true(json_is_null(json_object_get(row, "t")));
        else
            assert_near(number(row, "t"), -27 / sqrt(33));
        assert_true(number(row, "interval_low") <= number(row, "difference"));
        assert_true(number(row, "interval_high") >= number(row, "difference"));
        assert_int_equal((int)number(row, "identical"), i == 0);
    }
    /* Those that are the same to the bit test nothing. */
    assert_near(number(json_array_get(rows, 1), "p_corrected"), p[1]);
    assert_near(number(json_array_get(rows, 2), "p_corrected"), 2 * p[2]);
    assert_near(number(json, "significant"), 1);
    json_decref(json);
    free(text);
}

static void test_for_eyes(void **state)
{
    (void)state;
    write_pairs();
    struct bs_error err;
    char *text;
    setenv("COLUMNS", "200", 1);
    assert_int_equal(diff(NULL, BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, ": acc. \xc2\xb1 is one standard error over items");
    assert_holds(text, "3 compared: 1 differs significantly");
    assert_holds(text, "exact where fewer than 25 items turned, else chi-square");
    assert_null(strstr(text, "perplexity")); /* no table of texts where there are none */
    free(text);
    /* By characters all are right, whatever is taken else. */
    assert_int_equal(diff("bits,acc_norm", BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, ": acc_norm. ");
    assert_holds(text, "3 compared: 0 differ significantly");
    assert_holds(text, "bits A");
    free(text);
    unsetenv("COLUMNS");
}

/* Several seeds are compared by their items' means, and what another draw does is in p. */
static void test_seeds(void **state)
{
    (void)state;
    for (int seed = 0; seed < 3; seed++) {
        char id[2][16];
        snprintf(id[0], sizeof id[0], "a%d", seed);
        snprintf(id[1], sizeof id[1], "b%d", seed);
        add(file_a, make_row(id[0], "gptq", seed), make_answers(ITEMS, 3, 0, 5 + 2 * seed), NULL);
        add(file_b, make_row(id[1], "gptq", seed + 5), make_answers(ITEMS, 3, 0, 12 + seed), NULL);
    }
    struct bs_error err;
    char *text;
    assert_int_equal(diff(NULL, BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL);
    const json_t *row = json_array_get(json_object_get(json, "trials"), 0);
    assert_near(number(row, "calibrations_a"), 3);
    assert_string_equal(json_string_value(json_object_get(row, "test")), "t");
    assert_near(number(row, "difference"), -6.0 / ITEMS);
    /* shares spread by 2 and by 1 items: pooled variance (4 + 1) / 2, of 3 and 3 */
    assert_near(number(row, "difference_calibration_se"), sqrt(2.5 * 2 / 3) / ITEMS);
    assert_true(number(row, "difference_se") > number(row, "difference_calibration_se"));
    assert_true(json_is_null(json_object_get(row, "lost")));
    json_decref(json);
    free(text);
}

/* Trials of one file: by labels, by a star, by ids, and by a recipe of several seeds. */
static void test_between(void **state)
{
    (void)state;
    struct bs_error err;
    char *text;
    add(file_a, make_row("1", "rtn w3", -1), make_answers(ITEMS, 3, 0, 9), NULL);
    add(file_a, make_row("2", "rtn w4", -1), make_answers(ITEMS, 3, 0, 7), NULL);
    for (int seed = 0; seed < 2; seed++) {
        char id[2] = {(char)('3' + seed), 0};
        add(file_a, make_row(id, "gptq w3", seed), make_answers(ITEMS, 3, 0, 3 + seed), NULL);
    }
    setenv("COLUMNS", "200", 1);
    assert_int_equal(between("rtn w3", "rtn w4", NULL, BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "a.h5: A: rtn w3, B: rtn w4: acc.");
    assert_holds(text, "\nendings ");
    assert_holds(text, "1 compared: 0 differ significantly");
    assert_null(strstr(text, "only in"));
    free(text);
    /* Every one with every other, each couple once; seeds are told apart by their labels. */
    assert_int_equal(between("*", "*w3*", NULL, BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL), *rows = json_object_get(json, "trials");
    assert_int_equal(json_array_size(rows), 3 + 3);
    json_decref(json);
    free(text);
    /* A recipe is its trials together: shares of 4 and 5 items wrong against 10. */
    assert_int_equal(between("1", "gptq w3", NULL, BS_TABLE_JSON, &text, &err), BS_OK);
    json = json_loads(text, 0, NULL);
    const json_t *row = json_array_get(json_object_get(json, "trials"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "label_a")), "rtn w3");
    assert_string_equal(json_string_value(json_object_get(row, "label_b")), "gptq w3");
    assert_near(number(row, "calibrations_b"), 2);
    assert_near(number(row, "difference"), 5.5 / ITEMS);
    json_decref(json);
    free(text);
    assert_int_equal(between("rtn w3", "gptq w3", NULL, BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "A: rtn w3, B: gptq w3, 2 calibrations: acc.");
    free(text);
    /* no trial is held against a recipe that it is of */
    assert_int_equal(between("gptq w3", "*", NULL, BS_TABLE_JSON, &text, &err), BS_OK);
    json = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(json, "trials")), 2);
    json_decref(json);
    free(text);
    unsetenv("COLUMNS");
    assert_int_equal(between("rtn w5", "*", NULL, BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "a.h5: no trial is called 'rtn w5', did you mean 'rtn w");
    free(text);
    /* what failed is told of, and no gate passes with it */
    struct bs_row failed = make_row("5", "rtn w5", -1);
    snprintf(failed.status, sizeof failed.status, "failed");
    failed.message = "not finite";
    results_add(file_a, &(struct bs_trial_record){.row = failed, .canonical = ""});
    assert_int_equal(between("rtn w3", "rtn*", NULL, BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "1 that the names fit failed, and is not compared");
    free(text);
    assert_false(gate_passes("rtn w3", "rtn*"));
    assert_true(gate_passes("rtn w3", "rtn w4"));
    assert_int_equal(between("rtn w5", "*", NULL, BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "what is called 'rtn w5' failed");
    free(text);
    assert_int_equal(between("rtn w3", "rtn w3", NULL, BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "'rtn w3' and 'rtn w3' have nothing to compare");
    free(text);
}

/* Last words are compared by what is right and, by Student's t, by their log-likelihoods. */
static void test_words(void **state)
{
    (void)state;
    struct bs_error err;
    char *text;
    struct bs_row before = make_row("1", "unquantized", -1), after = make_row("2", "rtn", -1);
    add(file_a, before, make_answers(ITEMS, 1, 0, 9), NULL);
    add(file_a, after, make_answers(ITEMS, 1, 0, 24), NULL);
    assert_int_equal(between("unquantized", "rtn", NULL, BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL), *rows = json_object_get(json, "trials");
    assert_int_equal(json_array_size(rows), 2);
    const json_t *words = json_array_get(rows, 1);
    /* 15 of 60 words lose a nat: their mean is 1/4, their sample variance 45 / 236. */
    double t = 0.25 / sqrt(45.0 / 236 / 60);
    assert_string_equal(json_string_value(json_object_get(words, "compared")), "target_perplexity");
    assert_string_equal(json_string_value(json_object_get(words, "test")), "t");
    assert_near(number(words, "difference"), exp(85.0 / 60) - exp(70.0 / 60));
    assert_near(number(words, "t"), t);
    assert_near(number(words, "df"), ITEMS - 1);
    assert_near(number(words, "p"), bs_student_p(t, ITEMS - 1));
    assert_near(number(words, "p_corrected"), number(words, "p")); /* of one, whatever acc's */
    assert_true(number(words, "interval_low") > 0);
    assert_true(number(words, "interval_high") > number(words, "difference"));
    json_decref(json);
    free(text);
    setenv("COLUMNS", "200", 1);
    assert_int_equal(between("unquantized", "rtn", NULL, BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, ": acc. ");
    assert_holds(text, "\n\n");
    assert_holds(text, ": target_perplexity. ");
    free(text);
    assert_int_equal(
        between("unquantized", "rtn", "target_perplexity", BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_null(strstr(text, ": acc. "));
    free(text);
    text = print(false, NULL, BS_TABLE_TERMINAL, BS_OK, &err);
    assert_holds(text, "1 of 1 differs significantly from the unquantized model in "
                       "target_perplexity");
    free(text);
    /* A task without words has none of it. */
    before.text = after.text = "others";
    memcpy(before.id, "3", 2);
    memcpy(after.id, "4", 2);
    add(file_a, before, make_answers(ITEMS, 3, 0, 9), NULL);
    add(file_a, after, make_answers(ITEMS, 3, 0, 24), NULL);
    assert_int_equal(between("unquantized", "rtn", "target_perplexity", BS_TABLE_CSV, &text, &err),
                     BS_OK);
    assert_holds(text, "unquantized,rtn,tiny,others,");
    assert_holds(text, ",not measured,");
    free(text);
    unsetenv("COLUMNS");
}

/* Trials that stand alone are told with what they have of what is compared, never as nan. */
static void test_single(void **state)
{
    (void)state;
    struct bs_error err;
    char *text;
    struct bs_row word = make_row("9", "rtn", -1);
    word.text = "lastword";
    for (int side = 0; side < 2; side++)
        add(side ? file_b : file_a, make_row("1", "rtn", -1), make_answers(ITEMS, 3, 0, 9), NULL);
    add(file_b, word, make_answers(ITEMS, 1, 0, 9), NULL);
    setenv("COLUMNS", "200", 1);
    assert_int_equal(diff("acc_norm", BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "only in B: rtn on lastword, no acc_norm, acc 0.5");
    assert_null(strstr(text, "nan"));
    free(text);
    unsetenv("COLUMNS");
}

/* Other items are never compared as if they were the same. */
static void test_refused(void **state)
{
    (void)state;
    add(file_a, make_row("1", "rtn", -1), make_answers(ITEMS, 3, 0, 9), NULL);
    add(file_b, make_row("1", "rtn", -1), make_answers(ITEMS - 1, 3, 0, 9), NULL);
    struct bs_error err;
    char *text;
    assert_int_equal(diff(NULL, BS_TABLE_TERMINAL, &text, &err), BS_EDATA);
    assert_holds(err.message, "60 and 59 items");
    free(text);
}

/* The table lists what turned, and says of which trials that is more than chance. */
static void test_items(void **state)
{
    (void)state;
    struct bs_error err;
    const struct bs_flips few = {.lost = 4, .gained = 4}, many = {.lost = 30, .gained = 3};
    add(file_a, make_row("0", "unquantized", -1), make_answers(ITEMS, 3, 0, 3), NULL);
    add(file_a, make_row("1", "rtn", -1), make_answers(ITEMS, 3, 2, 5), &few);
    add(file_a, make_row("2", "gptq", -1), make_answers(ITEMS, 3, 0, 3), &many);
    char *text = print(true, NULL, BS_TABLE_CSV, BS_OK, &err);
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 1 + 4);
    assert_holds(text, "rtn,gained,1,,0,1,0,-1,1.25,tiny,endings,acc,1");
    assert_holds(text, "rtn,lost,5,,1,1,2,1,-1.25,tiny,endings,acc,1");
    free(text);
    text = print(true, NULL, BS_TABLE_JSON, BS_OK, &err);
    json_t *json = json_loads(text, 0, NULL);
    const json_t *counts = json_array_get(json_object_get(json, "trials"), 0);
    assert_int_equal(json_array_size(json_object_get(json, "items")), 4);
    assert_near(number(counts, "lost"), 2);
    assert_near(number(counts, "p"), 1);
    assert_near(number(counts, "alike"), ITEMS - 4);
    json_decref(json);
    free(text);
    setenv("COLUMNS", "80", 1);
    text = print(true, "acc", BS_TABLE_TERMINAL, BS_OK, &err);
    for (const char *line = text, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        int columns = 0;
        for (const char *c = line; c < end; c++)
            columns += ((unsigned char)*c & 0xc0) != 0x80;
        assert_true(columns <= 80);
    }
    assert_holds(text, "rtn: 2 lost, 2 gained of 60 items, p 1 (McNemar, exact, not corrected)");
    assert_holds(text, "gptq: 0 lost, 0 gained");
    free(text);
    free(print(true, "accc", BS_TABLE_TERMINAL, BS_ECONFIG, &err));
    assert_holds(err.message, "did you mean 'acc'?");
    free(print(true, "acc_mutual_info", BS_TABLE_TERMINAL, BS_ECONFIG, &err));
    assert_holds(err.message, "endings was not measured by acc_mutual_info");
    setenv("COLUMNS", "200", 1);
    text = print(false, NULL, BS_TABLE_TERMINAL, BS_OK, &err);
    assert_holds(text, "tiny on endings, 0-shot, 60 items. \xc2\xb1 is one standard error over");
    assert_holds(text, "1 of 2 differs significantly from the unquantized model in acc");
    assert_holds(text, "gptq (p ");
    free(text);
    unsetenv("COLUMNS");
}

/* A task that was not measured by what is asked for is left out, and said to be. */
static void test_not_measured(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_row word = make_row("3", "unquantized", -1), other = make_row("4", "rtn", -1);
    word.text = other.text = "lastword";
    for (int side = 0; side < 2; side++) {
        const char *path = side ? file_b : file_a;
        add(path, word, make_answers(ITEMS, 1, 0, 3), NULL);
        add(path, other, make_answers(ITEMS, 1, 2, 5), NULL);
    }
    char *text;
    assert_int_equal(diff("acc_suffix,acc_norm", BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "lastword was not measured by acc_suffix, nor any other task");
    free(text);
    free(print(true, "acc_norm", BS_TABLE_TERMINAL, BS_ECONFIG, &err));
    assert_holds(err.message, "lastword was not measured by acc_norm, nor any other task");
    for (int side = 0; side < 2; side++) {
        const char *path = side ? file_b : file_a;
        add(path, make_row("1", "unquantized", -1), make_answers(ITEMS, 3, 0, 3), NULL);
        add(path, make_row("2", "rtn", -1), make_answers(ITEMS, 3, 2, 5), NULL);
    }
    setenv("COLUMNS", "200", 1);
    assert_int_equal(diff("acc_norm", BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "\n2 compared: ");
    assert_holds(text, "lastword: has no acc_norm, not compared");
    free(text);
    assert_int_equal(diff("acc_norm", BS_TABLE_CSV, &text, &err), BS_OK);
    assert_holds(text, ",not measured,");
    free(text);
    text = print(true, NULL, BS_TABLE_TERMINAL, BS_OK, &err); /* words by what they turned by */
    assert_holds(text, "\nrtn     gained     1           2          -2.000  -1.000  +1.000\n");
    free(text);
    text = print(true, "bits,acc_norm,acc", BS_TABLE_TERMINAL, BS_OK, &err);
    assert_holds(text, "tiny on endings: items that turned");
    assert_holds(text, "by acc_norm");
    assert_holds(text, "tiny on lastword: has no acc_norm, not compared");
    free(text);
    free(print(true, "bits", BS_TABLE_TERMINAL, BS_ECONFIG, &err));
    assert_holds(err.message, "--items compares by one of acc, acc_norm");
    unsetenv("COLUMNS");
}

/* The values of a trial against the unquantized model's, by hand. */
static void test_values(void **state)
{
    (void)state;
    static const struct bs_value_type types[BS_NUM_CHANGES] = {
        [BS_ACC_DELTA + BS_ACC] = {.name = "acc_delta"},
        [BS_ACC_DELTA + BS_ACC_NORM] = {.name = "acc_norm_delta"},
        [BS_TARGET_PERPLEXITY_DELTA] = {.name = "target_perplexity_delta"},
        [BS_AGREEMENT] = {.name = "agreement"},
        [BS_LOST] = {.name = "lost"},
        [BS_GAINED] = {.name = "gained"}};
    struct bs_error err;
    struct bs_measured out[BS_NUM_CHANGES];
    int count = 0;
    struct bs_answers before = make_answers(40, 1, 0, 9), after = make_answers(40, 1, 5, 24);
    assert_int_equal(bs_answers_changes(&before, &after, types, out, &count, &err), BS_OK);
    assert_int_equal(count, 5); /* of last words one convention, and the perplexity */
    assert_near(out[0].value, -10.0 / 40);
    assert_near(out[1].value, exp(1.5) - exp(1.25));
    assert_true(out[1].se > 0);
    assert_near(out[2].value, 1 - 20.0 / 40);
    assert_near(out[3].value, 15);
    assert_near(out[4].value, 5);
    assert_string_equal(out[4].type->name, "gained");
    bs_answers_release(&before);
    bs_answers_release(&after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_diff),         TEST(test_for_eyes),
        TEST(test_seeds),        TEST(test_between),
        TEST(test_words),        TEST(test_single),
        TEST(test_refused),      TEST(test_items),
        TEST(test_not_measured), cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
