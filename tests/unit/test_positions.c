/* Per-token values by position in the window: cut without gap, and taken as they lie. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/report/by_position.h"
#include "eval/report/table.h"
#include "tests/support/folder.h"
#include "tests/support/results.h"
#include "tests/support/tables.h"

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-6 * fmax(1, fabs(expected))))
        fail_msg("%.9g, expected %.9g", value, expected);
}

/* Ranges follow each other from 1 to the end of the window, and every second one begins at twice
 * the position, as far as whole numbers go. */
static void test_cut(void **state)
{
    (void)state;
    static const int windows[] = {1, 2, 3, 5, 31, 255, 2047, 4095, (1 << 20) - 1};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct bs_positions ranges[BS_MOST_POSITIONS];
        int count = bs_positions_cut(windows[i], ranges);
        assert_int_equal(ranges[0].first, 1);
        assert_int_equal(ranges[count - 1].last, windows[i]);
        for (int r = 0; r < count; r++) {
            assert_true(ranges[r].first <= ranges[r].last);
            if (r > 0)
                assert_int_equal(ranges[r].first, ranges[r - 1].last + 1);
            if (r > 3)
                assert_in_range(ranges[r].first - 2 * ranges[r - 2].first, 0, 1);
        }
    }
    struct bs_positions ranges[BS_MOST_POSITIONS];
    static const int first[] = {1, 2, 4, 5, 8, 11, 16, 22, 32, 45, 64, 90, 128, 181};
    assert_int_equal(bs_positions_cut(255, ranges), 14);
    for (int r = 0; r < 14; r++)
        assert_int_equal(ranges[r].first, first[r]);
}

enum { WINDOWS = 3, TOKENS = 9, PER_WINDOW = TOKENS - 1, ALL = WINDOWS * PER_WINDOW };

static char file[96];

static int make_folder(void **state)
{
    folder_setup(state);
    snprintf(file, sizeof file, "%s/r.h5", folder.path);
    return 0;
}

/* A trial whose NLLs are `nll`, of which `scored` are no NaN. */
static void add(const char *id, const float *nll, const float *kld, int scored)
{
    struct bs_row row = {.label = id, .recipe = id, .algorithm = id, .text = "text", .model = "m"};
    row.windows = WINDOWS;
    row.tokens = TOKENS;
    row.scored = scored;
    snprintf(row.id, sizeof row.id, "%s", id);
    snprintf(row.status, sizeof row.status, "done");
    static const uint8_t flags[ALL] = {1, 1, 0};
    float nlls[ALL], klds[ALL];
    uint8_t same[ALL];
    memcpy(nlls, nll, sizeof nlls);
    memcpy(klds, kld, sizeof klds);
    memcpy(same, flags, sizeof same);
    const struct bs_figures figures = {
        .of = {[BS_NLL] = nlls, [BS_KLD] = klds, [BS_SAME_TOP] = same}};
    const struct bs_trial_record record = {.row = row, .canonical = "", .figures = &figures};
    results_add(file, &record);
}

/* Mean and textbook error of three windows' means. */
static struct bs_mean of_three(double a, double b, double c)
{
    double mean = (a + b + c) / 3;
    double squares = (a - mean) * (a - mean) + (b - mean) * (b - mean) + (c - mean) * (c - mean);
    return (struct bs_mean){.mean = mean, .se = sqrt(squares / 2 / 3)};
}

/* A window's NLL is its own level plus what its position costs, the quantized model's more by a
 * share of the level that grows with the position. */
static void test_read(void **state)
{
    (void)state;
    static const double level[WINDOWS] = {1, 2, 4};
    float plain[ALL], quantized[ALL], kld[ALL];
    for (int w = 0; w < WINDOWS; w++)
        for (int i = 0; i < PER_WINDOW; i++) {
            plain[w * PER_WINDOW + i] = (float)(level[w] + 1.0 / (i + 1));
            quantized[w * PER_WINDOW + i] =
                (float)(level[w] + 1.0 / (i + 1) + level[w] * (i + 1) / 64.0);
            kld[w * PER_WINDOW + i] = (float)(level[w] * (i + 1));
        }
    add("unquantized", plain, kld, ALL);
    add("rtn", quantized, kld, ALL);
    struct bs_error err;
    struct bs_results results;
    assert_int_equal(bs_results_read(file, &results, &err), BS_OK);
    const struct bs_row *own = bs_results_find(&results, "rtn");
    const struct bs_row *other = bs_results_find(&results, "unquantized");
    struct bs_by_position_what what;
    struct bs_by_position by;
    assert_true(bs_by_position_find("perplexity", &what));
    assert_int_equal(bs_by_position_read(own, other, &what, &by, &err), BS_OK);
    assert_int_equal(by.count, 5); /* 1, 2 - 3, 4, 5 - 7, 8 */
    for (int r = 0; r < by.count; r++) {
        const struct bs_at_position *at = &by.at[r];
        double cost = 0, share = 0;
        int width = at->at.last - at->at.first + 1;
        for (int n = at->at.first; n <= at->at.last; n++) {
            cost += 1.0 / n / width;
            share += n / 64.0 / width;
        }
        struct bs_mean change = of_three(share, 2 * share, 4 * share);
        struct bs_mean nll = of_three(1 + share + cost, 2 + 2 * share + cost, 4 + 4 * share + cost);
        assert_near(at->value.mean, exp(nll.mean));
        assert_near(at->value.se, exp(nll.mean) * nll.se);
        assert_near(at->change.mean, change.mean);
        assert_near(at->change.se, change.se);
    }
    /* What compares anyway has no difference; flags are shares. */
    assert_true(bs_by_position_find("kld", &what));
    assert_int_equal(bs_by_position_read(own, other, &what, &by, &err), BS_OK);
    assert_near(by.at[4].value.mean, 7 * 8 / 3.0);
    assert_true(isnan(by.at[4].change.mean));
    assert_true(bs_by_position_find("same_top", &what));
    assert_int_equal(bs_by_position_read(own, other, &what, &by, &err), BS_OK);
    assert_near(by.at[0].value.mean, 1 / 3.0);
    assert_near(by.at[1].value.mean, 1 / 6.0);
    assert_near(by.at[2].value.mean, 0);
    assert_false(bs_by_position_find("perplexity_delta", &what));
    bs_results_release(&results);
}

static char *print(const char *figure, enum bs_table_style style, enum bs_status expected,
                   struct bs_error *err)
{
    struct bs_results results;
    struct bs_trials shown;
    char *text = NULL;
    size_t size;
    assert_int_equal(bs_results_read(file, &results, err), BS_OK);
    assert_int_equal(select_all(&results, &shown, err), BS_OK);
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(bs_positions_print(&shown, figure, style, out, err), expected);
    fclose(out);
    bs_trials_release(&shown);
    bs_results_release(&results);
    return text;
}

/* As numbers: a row a range for every trial that has the figure, with its change. */
static void test_print(void **state)
{
    (void)state;
    float plain[ALL], quantized[ALL];
    for (int i = 0; i < ALL; i++) {
        plain[i] = 1;
        quantized[i] = 1.5F;
    }
    add("rtn", quantized, quantized, ALL);
    add("unquantized", plain, plain, ALL);
    struct bs_error err;
    setenv("COLUMNS", "80", 1);
    char *text = print(NULL, BS_TABLE_TERMINAL, BS_OK, &err);
    assert_null(strstr(strstr(text, "\nrtn "), "\nunquantized ")); /* that comes first */
    assert_non_null(strstr(text, "\nunquantized       1   2.718 \xc2\xb1 0 "));
    assert_non_null(strstr(text, "\nrtn             5-7   4.482 \xc2\xb1 0  +500 "));
    free(text);
    unsetenv("COLUMNS");
    text = print("kld", BS_TABLE_JSON, BS_OK, &err);
    json_t *json = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(json), 5); /* of the one trial that it compares */
    const json_t *row = json_array_get(json, 1);
    assert_string_equal(json_string_value(json_object_get(row, "label")), "rtn");
    assert_near(json_number_value(json_object_get(row, "first")), 2);
    assert_near(json_number_value(json_object_get(row, "last")), 3);
    assert_near(json_number_value(json_object_get(row, "value")), 1.5);
    assert_true(json_is_null(json_object_get(row, "change")));
    json_decref(json);
    free(text);
    free(print("kld_mean", BS_TABLE_CSV, BS_ECONFIG, &err));
    assert_non_null(strstr(err.message, "expected perplexity, nll, kld or same_top"));
}

/* Where nothing is scored there is no range; a value that is missing is never averaged away. */
static void test_not_scored(void **state)
{
    (void)state;
    float nll[ALL];
    for (int i = 0; i < ALL; i++)
        nll[i] = i % PER_WINDOW < 4 ? NAN : 1;
    add("half", nll, nll, WINDOWS * 4);
    nll[ALL - 1] = NAN;
    add("missing", nll, nll, WINDOWS * 4);
    struct bs_error err;
    struct bs_results results;
    assert_int_equal(bs_results_read(file, &results, &err), BS_OK);
    struct bs_by_position_what what;
    struct bs_by_position by;
    assert_true(bs_by_position_find("perplexity", &what));
    const struct bs_row *half = bs_results_find(&results, "half");
    assert_int_equal(bs_by_position_read(half, NULL, &what, &by, &err), BS_OK);
    assert_int_equal(by.count, 2);
    assert_int_equal(by.at[0].at.first, 5);
    assert_near(by.at[1].value.mean, exp(1));
    const struct bs_row *missing = bs_results_find(&results, "missing");
    assert_int_equal(bs_by_position_read(missing, NULL, &what, &by, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "nll of missing: not all of its 12 predictions"));
    bs_results_release(&results);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        TEST(test_read),
        TEST(test_print),
        TEST(test_not_scored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
