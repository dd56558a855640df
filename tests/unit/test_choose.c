/* Which trials hold what is asked for, and why the others fall. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/report/choose.h"
#include "tests/support/values.h"

enum { ROWS = 8, VALUES = 4 };

static struct bs_row rows[ROWS];
static struct bs_value_row values[ROWS][VALUES];
static char path[] = "a.h5", config[] = "";

/* A trial of 100 tokens' perplexity 20 + delta. */
static void set_row(int i, const char *label, int bits, double bytes, double delta, double se)
{
    rows[i] = (struct bs_row){.label = label,
                              .recipe = label,
                              .algorithm = i ? "some" : "unquantized",
                              .model = "tiny",
                              .text = "wiki",
                              .bits = bits,
                              .activation_bits = 16,
                              .kv_code_bits = 16,
                              .windows = 4,
                              .tokens = 26,
                              .stride = 26,
                              .values = values[i]};
    snprintf(rows[i].id, sizeof rows[i].id, "%d", i);
    snprintf(rows[i].status, sizeof rows[i].status, "done");
    snprintf(rows[i].evaluation, sizeof rows[i].evaluation, "perplexity");
    values[i][0] = value_row("perplexity", 20 + (i ? delta : 0), 1);
    values[i][1] = value_row("bytes", bytes, (double)NAN);
    values[i][2] = value_row("perplexity_delta", delta, se);
    rows[i].num_values = i ? 3 : 2;
}

static int make_rows(void **state)
{
    (void)state;
    set_row(0, "unquantized", 16, 16e9, 0, 0);
    set_row(1, "small", 2, 2e9, 5.0, 0.5);
    set_row(2, "three", 3, 3e9, 1.0, 0.09);
    set_row(3, "three worse", 3, 3e9, 1.5, 0.1); /* worse beyond the noise, as small */
    set_row(4, "three alike", 3, 3e9, 1.1, 0.1); /* as small, worse within the noise */
    set_row(5, "four", 4, 4e9, 0.25, 0.05);
    set_row(6, "larger", 4, 5e9, 0.30, 0.05); /* larger and no better: within the noise */
    set_row(7, "failed", 4, 5e9, 0.1, 0.05);
    snprintf(rows[7].status, sizeof rows[7].status, "failed");
    rows[7].num_values = 0;
    return 0;
}

/* What is chosen, printed in memory of malloc. */
static char *choose(const struct bs_choice_limits *limits, const char *where,
                    enum bs_table_style style, bool *held)
{
    struct bs_results results = {.path = path, .config = config, .num_rows = ROWS, .rows = rows};
    const struct bs_published_list nothing = {.count = 0};
    struct bs_trials shown;
    struct bs_error err;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (bs_trials_select(&results, &nothing, &(struct bs_selection){.where = where}, &shown,
                         &err) ||
        bs_choose_print(&shown, limits, style, out, held, &err))
        fail_msg("%s", err.message);
    bs_trials_release(&shown);
    fclose(out);
    return text;
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static void test_front(void **state)
{
    (void)state;
    bool held;
    char *text = choose(&(struct bs_choice_limits){.bits = 0}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_true(held);
    /* those that hold first, by size */
    const char *small = strstr(text, "| small | holds |");
    const char *three = strstr(text, "| three | holds |");
    const char *four = strstr(text, "| four | holds |");
    assert_true(small && small < three && three < four);
    assert_holds(text, "| three alike | holds |");
    assert_holds(text, "| three worse | three is as small and loses 0.5 less |");
    assert_holds(text, "| larger | four is smaller and loses 0.05 less |");
    assert_holds(text, "| failed | failed |");
    assert_holds(text, "recommended: four, which loses least of what holds");
    assert_null(strstr(text, "is the smallest that"));
    free(text);
}

static void test_limits(void **state)
{
    (void)state;
    bool held;
    char *text =
        choose(&(struct bs_choice_limits){.memory = 3.5e9}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_holds(text, "| four | too large |");
    assert_holds(text, "recommended: three, which loses least");
    free(text);
    text = choose(&(struct bs_choice_limits){.bits = 2}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_holds(text, "| three | 3 bits |");
    assert_holds(text, "recommended: small,");
    free(text);
    /* four loses 0.1 less than three, of errors of 0.09: which of them loses less is not known */
    values[5][2] = value_row("perplexity_delta", 0.9, 0.09);
    text = choose(&(struct bs_choice_limits){.memory = 4e9}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_holds(text, "recommended: four, which loses least of what holds; three is the smallest "
                       "that is not known to lose more");
    assert_null(strstr(text, "small is the smallest"));
    free(text);
    values[5][2] = value_row("perplexity_delta", 0.25, 0.05);
    /* 6 % of 20 is 1.2: three keeps two standard errors from it, three alike does not, and three
     * worse is over it by more than as much */
    text = choose(&(struct bs_choice_limits){.max_delta = 0.06, .is_relative = true}, NULL,
                  BS_TABLE_MARKDOWN, &held);
    assert_true(held);
    assert_holds(text, "to lose no more than 1.2");
    assert_holds(text, "| three | holds |");
    assert_holds(text, "| three alike | not known to lose no more than 1.2 |");
    assert_holds(text, "| three worse | loses more than 1.2 |");
    assert_holds(text, "recommended: three, the smallest of what holds");
    free(text);
    text = choose(&(struct bs_choice_limits){.max_delta = 0.01}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_false(held);
    assert_holds(text, "none of 7 holds");
    free(text);
}

/* What draws of calibration do is part of the error; what is compared with need not be shown. */
static void test_calibrations(void **state)
{
    (void)state;
    bool held;
    values[2][2].calibration_sd = 0.3;
    char *text =
        choose(&(struct bs_choice_limits){.max_delta = 1.2}, "bits = 3", BS_TABLE_CSV, &held);
    assert_holds(text,
                 "label,model,text,compared,bits_per_weight,bytes,loss,se,verdict,reason\r\n");
    assert_holds(text, "three,tiny,wiki,perplexity,,3000000000,1,0.31320");
    assert_holds(text, ",fell,not known to lose no more than 1.2");
    assert_null(strstr(text, "four"));
    assert_false(held);
    free(text);
}

/* Of one window the error is not known: no limit is known to be kept, nothing beats anything. */
static void test_unknown_error(void **state)
{
    (void)state;
    bool held;
    for (int i = 1; i < 7; i++)
        values[i][2].se = (double)NAN;
    char *text = choose(&(struct bs_choice_limits){.bits = 0}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_holds(text, "| three worse | holds |");
    assert_holds(text, "| larger | holds |");
    assert_holds(text, "+0.25 \xc2\xb1 n/a |");
    free(text);
    text = choose(&(struct bs_choice_limits){.max_delta = 4}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_false(held);
    assert_holds(text, "| four | not known, its error is not known |");
    assert_holds(text, "| small | not known, its error is not known |");
    free(text);
}

/* Two draws of one calibration are one choice, their mean: the luckier one is no recipe. */
static void test_seeds(void **state)
{
    (void)state;
    bool held;
    static const char *const labels[] = {"drawn seed=0", "drawn seed=1"};
    for (int s = 0; s < 2; s++) {
        set_row(5 + s, labels[s], 4, 4e9, 0.2 + 0.2 * s, 0.05);
        rows[5 + s].recipe = "drawn";
        rows[5 + s].calibrations = 2;
        rows[5 + s].calibration_seed = s;
        rows[5 + s].calibration_windows = 128;
        rows[5 + s].calibration_text = "wiki";
    }
    char *text = choose(&(struct bs_choice_limits){.bits = 0}, NULL, BS_TABLE_MARKDOWN, &held);
    assert_holds(text, ", mean of 2 seeds | holds |");
    assert_holds(text, "+0.300 \xc2\xb1 0.050 |");
    assert_null(strstr(text, "seed=0"));
    free(text);
    /* where one of them is not shown there is no mean */
    text = choose(&(struct bs_choice_limits){.bits = 0}, "perplexity_delta < 0.3",
                  BS_TABLE_MARKDOWN, &held);
    assert_holds(text, "| drawn seed=0 | holds |");
    free(text);
}

/* A model that has nothing right has nothing to lose: nothing is judged. */
static void test_nothing_judged(void **state)
{
    (void)state;
    struct bs_results results = {.path = path, .config = config, .num_rows = 2, .rows = rows};
    const struct bs_published_list nothing = {.count = 0};
    const struct bs_choice_limits any = {.bits = 0};
    struct bs_trials shown;
    struct bs_error err;
    char *text = NULL;
    size_t size = 0;
    bool held;
    for (int i = 0; i < 2; i++) {
        snprintf(rows[i].evaluation, sizeof rows[i].evaluation, "tasks");
        values[i][0] = value_row("acc", 0, 0);
    }
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(
        bs_trials_select(&results, &nothing, &(struct bs_selection){.top = 0}, &shown, &err),
        BS_OK);
    assert_int_equal(bs_choose_print(&shown, &any, BS_TABLE_MARKDOWN, out, &held, &err), BS_EDATA);
    assert_holds(err.message, "no trial to judge");
    bs_trials_release(&shown);
    fclose(out);
    assert_holds(text, "tiny on wiki has nothing right to lose");
    free(text);
}

#define CHOOSE(name) cmocka_unit_test_setup(name, make_rows)

int main(void)
{
    const struct CMUnitTest tests[] = {CHOOSE(test_front),        CHOOSE(test_limits),
                                       CHOOSE(test_calibrations), CHOOSE(test_unknown_error),
                                       CHOOSE(test_seeds),        CHOOSE(test_nothing_judged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
