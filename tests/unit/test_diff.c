/* Rows that can be told apart, and which of two files' trials are compared and how. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/report/table.h"
#include "tests/support/folder.h"
#include "tests/support/results.h"
#include "tests/support/values.h"

enum { WINDOWS = 24, TOKENS = 3, VALUES = WINDOWS * (TOKENS - 1) };

/* A trial as a test tells it apart. */
struct trial {
    const char *id, *recipe, *model_digest;
    int seed, calibration_windows; /* 0 windows: not calibrated */
    double shift;                  /* of every NLL */
    const char *commit;
};

/* NLLs that vary from window to window, alike in all trials but for the shift and a little
 * noise. */
static void make_nll(const struct trial *trial, float *nll)
{
    for (int k = 0; k < VALUES; k++) {
        int w = k / (TOKENS - 1);
        double common = 2 + 0.5 * sin(7.0 * w * w + k),
               own = 0.01 * sin(3.0 * k * k + trial->id[0]);
        nll[k] = (float)(common + own + trial->shift);
    }
}

static void add(const char *path, const struct trial *trial)
{
    float nll[VALUES];
    double sum = 0;
    make_nll(trial, nll);
    for (int k = 0; k < VALUES; k++)
        sum += (double)nll[k] / VALUES;
    struct bs_value_row values[] = {value_row("nll", sum, NAN),
                                    value_row("perplexity", exp(sum), NAN),
                                    value_row("kld_mean", 0.1, 0.01)};
    const struct bs_figures figures = {.of = {[BS_NLL] = nll, [BS_KLD] = nll}};
    struct bs_trial_record record = {.row = {.recipe = trial->recipe,
                                             .algorithm = "gptq",
                                             .model = "tiny",
                                             .text = "evaluation",
                                             .commit = trial->commit,
                                             .calibration_text = "texts/c.txt",
                                             .calibration_windows = trial->calibration_windows,
                                             .calibration_tokens = 64,
                                             .calibration_seed = trial->seed,
                                             .bits = 3,
                                             .activation_bits = 16,
                                             .kv_code_bits = 16,
                                             .windows = WINDOWS,
                                             .text_windows = WINDOWS,
                                             .tokens = TOKENS,
                                             .stride = TOKENS,
                                             .scored = VALUES,
                                             .num_values = 3,
                                             .values = values},
                                     .canonical = "",
                                     .figures = &figures};
    struct bs_row *row = &record.row;
    snprintf(row->id, sizeof row->id, "%s", trial->id);
    snprintf(row->model_digest, sizeof row->model_digest, "%s", trial->model_digest);
    if (trial->calibration_windows)
        snprintf(row->calibration_digest, sizeof row->calibration_digest, "%d-%d",
                 trial->calibration_windows, trial->seed);
    snprintf(row->calibration_sampling, sizeof row->calibration_sampling, "gptq");
    snprintf(row->evaluation, sizeof row->evaluation, "perplexity");
    snprintf(row->protocol, sizeof row->protocol, "gptq");
    snprintf(row->status, sizeof row->status, "done");
    results_add(path, &record);
}

static const char *make(const char *name, const struct trial *trials)
{
    const char *path = folder_file(&folder, name);
    unlink(path);
    for (; trials->id; trials++)
        add(path, trials);
    return path;
}

static char *compare(const char *left, const char *right, enum bs_table_style style)
{
    struct bs_results a, b;
    struct bs_error err;
    char *text = NULL;
    size_t size = 0;
    if (bs_results_read(left, &a, &err) || bs_results_read(right, &b, &err))
        fail_msg("%s", err.message);
    FILE *out = open_memstream(&text, &size);
    if (bs_diff_print(&a, &b, NULL, style, out, &err))
        fail_msg("%s", err.message);
    fclose(out);
    bs_results_release(&a);
    bs_results_release(&b);
    return text;
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text);
}

/* The labels of a file, a line each. */
static void assert_labels(const char *path, const char *want)
{
    struct bs_results results;
    struct bs_error err;
    char got[1024] = "";
    if (bs_results_read(path, &results, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < results.num_rows; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s\n", results.rows[i].label);
    assert_string_equal(got, want);
    bs_results_release(&results);
}

/* Three draws of calibration, a trial that looks at none, and a model that was trained on. */
static const struct trial draws[] = {
    {"u", "rtn w3", "aaaaaaaabb", -1, 0, 0, NULL},
    {"a", "gptq w3", "aaaaaaaabb", 0, 8, 0.1, NULL},
    {"b", "gptq w3", "aaaaaaaabb", 1, 8, 0.2, NULL},
    {"c", "gptq w3", "aaaaaaaabb", 2, 8, 0.3, NULL},
    {NULL, NULL, NULL, 0, 0, 0, NULL},
};

static void test_labels(void **state)
{
    (void)state;
    static const struct trial one[] = {{"a", "gptq w3", "aa", 0, 8, 0, NULL},
                                       {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial recalibrated[] = {{"u", "rtn w3", "aa", -1, 0, 0, NULL},
                                                {"a", "gptq w3", "aa", 0, 8, 0, NULL},
                                                {"b", "gptq w3", "aa", 0, 16, 0, NULL},
                                                {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial retrained[] = {{"a", "rtn w3", "aaaaaaaaff", -1, 0, 0, NULL},
                                             {"b", "rtn w3", "bbbbbbbbff", -1, 0, 0, NULL},
                                             {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial twice[] = {{"aaaaaaaaa", "rtn w3", "aa", -1, 0, 0, NULL},
                                         {"bbbbbbbbb", "rtn w3", "aa", -1, 0, 0, NULL},
                                         {NULL, NULL, NULL, 0, 0, 0, NULL}};
    assert_labels(make("l.h5", one), "gptq w3\n");
    assert_labels(make("l.h5", draws), "rtn w3\ngptq w3 seed=0\ngptq w3 seed=1\ngptq w3 seed=2\n");
    assert_labels(make("l.h5", recalibrated), "rtn w3\ngptq w3 cal=8x64\ngptq w3 cal=16x64\n");
    assert_labels(make("l.h5", retrained), "rtn w3 model=aaaaaaaa\nrtn w3 model=bbbbbbbb\n");
    assert_labels(make("l.h5", twice), "rtn w3 id=aaaaaaaa\nrtn w3 id=bbbbbbbb\n");
    /* However long: nothing is cut. */
    char recipe[600];
    memset(recipe, 'x', sizeof recipe - 1);
    recipe[sizeof recipe - 1] = '\0';
    const struct trial lengthy[] = {{"a", recipe, "aa", 0, 8, 0, NULL},
                                    {"b", recipe, "aa", 1, 8, 0, NULL},
                                    {NULL, NULL, NULL, 0, 0, 0, NULL}};
    char want[1400];
    snprintf(want, sizeof want, "%s seed=0\n%s seed=1\n", recipe, recipe);
    char got[1400] = "";
    struct bs_results results;
    struct bs_error err;
    if (bs_results_read(make("l.h5", lengthy), &results, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s\n", results.rows[i].label);
    assert_string_equal(got, want);
    bs_results_release(&results);
}

static void test_spread(void **state)
{
    (void)state;
    struct bs_results results;
    struct bs_error err;
    if (bs_results_read(make("s.h5", draws), &results, &err))
        fail_msg("%s", err.message);
    assert_int_equal(results.rows[0].calibrations, 0);
    assert_true(isnan(value_of(&results.rows[0], "nll")->calibration_sd));
    /* Shifts of 0.1, 0.2 and 0.3, but for a hundredth of noise: a deviation of 0.1. */
    for (int i = 1; i < 4; i++) {
        assert_int_equal(results.rows[i].calibrations, 3);
        assert_true(fabs(value_of(&results.rows[i], "nll")->calibration_sd - 0.1) < 0.005);
        assert_true(value_of(&results.rows[i], "perplexity")->calibration_sd > 0.5);
    }
    bs_results_release(&results);
}

/* A file and its copy are the same, whatever stands in it. */
static void test_copy(void **state)
{
    (void)state;
    static const struct trial trials[] = {
        {"a1", "rtn w3", "aa", -1, 0, 0, NULL},    {"b1", "rtn w3", "bb", -1, 0, 0.5, NULL},
        {"c1", "rtn w3", "bb", -1, 0, 0.6, NULL},  {"d1", "gptq w3", "aa", 0, 8, 0.1, NULL},
        {"e1", "gptq w3", "aa", 0, 16, 0.2, NULL}, {"f1", "gptq w3", "aa", 1, 16, 0.3, NULL},
        {NULL, NULL, NULL, 0, 0, 0, NULL}};
    char *text = compare(make("a.h5", trials), make("b.h5", trials), BS_TABLE_TERMINAL);
    assert_holds(text, "6 compared: 0 differ significantly (p corrected below 0.05), 6 have the "
                       "same bits");
    free(text);
}

/* A model that was trained on lies beside its old self: the digest says which is which. And what
 * the digest does not decide is listed. */
static void test_candidates(void **state)
{
    (void)state;
    static const struct trial old[] = {{"a", "rtn w3", "aa", -1, 0, 0, NULL},
                                       {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial both[] = {{"b", "rtn w3", "bb", -1, 0, 0, NULL},
                                        {"c", "rtn w3", "aa", -1, 0, 0, NULL},
                                        {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial others[] = {{"b", "rtn w3", "bb", -1, 0, 0, NULL},
                                          {"c", "rtn w3", "cc", -1, 0, 0, NULL},
                                          {NULL, NULL, NULL, 0, 0, 0, NULL}};
    char *text = compare(make("a.h5", old), make("b.h5", both), BS_TABLE_CSV);
    assert_holds(text, ",,a,c,paired,1,1,");
    assert_holds(text, ",,b,only in B,0,1,");
    free(text);
    text = compare(make("a.h5", old), make("b.h5", others), BS_TABLE_TERMINAL);
    assert_holds(text, "0 compared");
    assert_holds(text, "not paired, having several candidates: in A: rtn w3 on evaluation");
    assert_holds(text,
                 "not paired, having several candidates: in B: rtn w3 model=bb on evaluation");
    assert_holds(text,
                 "not paired, having several candidates: in B: rtn w3 model=cc on evaluation");
    free(text);
    text = compare(folder_file(&folder, "a.h5"), folder_file(&folder, "b.h5"), BS_TABLE_CSV);
    assert_holds(text, ",a,,several candidates,1,0,");
    free(text);
}

static const json_t *trial_of(const json_t *json, size_t i)
{
    return json_array_get(json_object_get(json, "trials"), i);
}

static double number(const json_t *trial, const char *name)
{
    return json_number_value(json_object_get(trial, name));
}

/* One draw against another looks like a difference of what was drawn for; several say what a draw
 * does. */
static void test_calibrations(void **state)
{
    (void)state;
    static const struct trial first[] = {{"a", "gptq w3", "aa", 0, 8, 0.10, NULL},
                                         {"b", "gptq w3", "aa", 1, 8, 0.16, NULL},
                                         {"c", "gptq w3", "aa", 2, 8, 0.12, NULL},
                                         {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial second[] = {{"d", "gptq w3", "aa", 3, 8, 0.17, NULL},
                                          {"e", "gptq w3", "aa", 4, 8, 0.11, NULL},
                                          {"f", "gptq w3", "aa", 5, 8, 0.13, NULL},
                                          {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial one[] = {{"d", "gptq w3", "aa", 3, 8, 0.17, NULL},
                                       {NULL, NULL, NULL, 0, 0, 0, NULL}};
    char *text = compare(make("a.h5", first), make("b.h5", second), BS_TABLE_JSON);
    json_t *json = json_loads(text, 0, NULL);
    const json_t *trial = trial_of(json, 0);
    assert_int_equal(json_array_size(json_object_get(json, "trials")), 1);
    assert_true(number(trial, "calibrations_a") == 3 && number(trial, "calibrations_b") == 3);
    /* Means 0.1267 and 0.1367; deviations about them 0.0306 both, so s^2 (1/3 + 1/3) = 0.025^2. */
    double perplexity = number(trial, "perplexity_a");
    assert_true(fabs(number(trial, "difference_calibration_se") / perplexity - 0.025) < 0.002);
    assert_true(number(trial, "difference_se") >= number(trial, "difference_calibration_se"));
    assert_true(number(trial, "p") > 0.5 && number(trial, "df") < 6);
    /* The divergences of these trials are their NLLs, of which perplexities are exponentials. */
    double mean = sqrt(perplexity * number(trial, "perplexity_b"));
    assert_true(fabs(number(trial, "delta_kld_mean_se") - number(trial, "difference_se") / mean) <
                0.001);
    assert_string_equal(json_string_value(json_object_get(trial, "test")), "t");
    json_decref(json);
    free(text);
    text = compare(folder_file(&folder, "a.h5"), folder_file(&folder, "b.h5"), BS_TABLE_TERMINAL);
    assert_holds(text, "3 and 3");
    assert_holds(text, "KL mean B - A");
    assert_holds(text, "0 differ significantly");
    free(text);
    /* A single draw takes its spread from the other side. */
    text = compare(folder_file(&folder, "a.h5"), make("b.h5", one), BS_TABLE_JSON);
    json = json_loads(text, 0, NULL);
    trial = trial_of(json, 0);
    assert_true(number(trial, "calibrations_a") == 3 && number(trial, "calibrations_b") == 1);
    assert_true(number(trial, "p") > 0.05);
    json_decref(json);
    free(text);
    /* One each: the text alone speaks, and the table says so. */
    static const struct trial single[] = {{"a", "gptq w3", "aa", 0, 8, 0.10, NULL},
                                          {NULL, NULL, NULL, 0, 0, 0, NULL}};
    text = compare(make("a.h5", single), folder_file(&folder, "b.h5"), BS_TABLE_TERMINAL);
    assert_holds(text, "gptq w3 *");
    assert_holds(text, "* calibrated on other windows");
    free(text);
    /* The same windows are compared draw by draw. */
    static const struct trial again[] = {{"x", "gptq w3", "aa", 0, 8, 0.10, NULL},
                                         {"y", "gptq w3", "aa", 1, 8, 0.16, NULL},
                                         {"z", "gptq w3", "aa", 2, 8, 0.12, NULL},
                                         {NULL, NULL, NULL, 0, 0, 0, NULL}};
    text = compare(make("a.h5", first), make("b.h5", again), BS_TABLE_TERMINAL);
    assert_holds(text, "3 compared");
    free(text);
}

/* Holm's correction is over the table: of three tests the smallest p counts three times. */
static void test_correction(void **state)
{
    (void)state;
    static const struct trial first[] = {{"a", "one", "aa", -1, 0, 0, NULL},
                                         {"b", "two", "aa", -1, 0, 0, NULL},
                                         {"c", "three", "aa", -1, 0, 0, NULL},
                                         {"d", "same", "aa", -1, 0, 0, NULL},
                                         {NULL, NULL, NULL, 0, 0, 0, NULL}};
    static const struct trial second[] = {{"k", "one", "aa", -1, 0, 0.004, NULL},
                                          {"l", "two", "aa", -1, 0, 0, NULL},
                                          {"m", "three", "aa", -1, 0, 0.5, NULL},
                                          {"d", "same", "aa", -1, 0, 0, NULL},
                                          {NULL, NULL, NULL, 0, 0, 0, NULL}};
    char *text = compare(make("a.h5", first), make("b.h5", second), BS_TABLE_JSON);
    json_t *json = json_loads(text, 0, NULL);
    double p[3], corrected[3], least = 1, most = 0;
    for (size_t i = 0; i < 3; i++) {
        p[i] = number(trial_of(json, i), "p");
        corrected[i] = number(trial_of(json, i), "p_corrected");
        least = fmin(least, p[i]);
        most = fmax(most, p[i]);
    }
    assert_true(least < 1e-6);
    for (size_t i = 0; i < 3; i++) {
        if (p[i] == least)
            assert_true(fabs(corrected[i] - 3 * p[i]) <= 1e-12 * p[i]);
        assert_true(corrected[i] >= p[i] && corrected[i] <= 1);
    }
    assert_true(json_integer_value(json_object_get(json, "significant")) >= 1);
    assert_int_equal(json_integer_value(json_object_get(json, "identical")), 1);
    json_decref(json);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),       cmocka_unit_test(test_spread),
        cmocka_unit_test(test_copy),         cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_calibrations), cmocka_unit_test(test_correction),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
