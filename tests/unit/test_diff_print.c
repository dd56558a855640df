/* Two result files side by side, in every style. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
#include "tests/support/results.h"
#include "tests/support/values.h"

enum { WINDOWS = 3, TOKENS = 5, VALUES = WINDOWS * (TOKENS - 1) };

static struct bs_row make_row(const char *id, const char *label)
{
    struct bs_row row = {.bits = 3,
                         .activation_bits = 16,
                         .kv_code_bits = 16,
                         .windows = WINDOWS,
                         .tokens = TOKENS,
                         .stride = TOKENS,
                         .scored = VALUES};
    snprintf(row.id, sizeof row.id, "%s", id);
    row.algorithm = "gptq";
    row.label = row.recipe = label;
    row.text = "evaluation";
    snprintf(row.evaluation, sizeof row.evaluation, "perplexity");
    snprintf(row.protocol, sizeof row.protocol, "gptq");
    snprintf(row.text_digest, sizeof row.text_digest, "00ff");
    snprintf(row.status, sizeof row.status, "done");
    return row;
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

/* Two files of three trials: one the same, one better by a constant, one in each only. */
static char folder[64], file_a[80], file_b[80];

static const char *model = "datasets/tiny";

static void write_rows(const char *path, const char *const *labels, double shift,
                       const struct bs_row *like)
{
    int windows = like->windows;
    static float nll[2 * VALUES], zero[2 * VALUES];
    for (int i = 0; labels[i]; i++) {
        char id[17];
        snprintf(id, sizeof id, "%s%s", model + strlen(model) - 1, labels[i]);
        struct bs_value_row values[] = {value_row("perplexity", 62.361, 0.808),
                                        value_row("kld_mean", 0.0312, 0.00123),
                                        value_row("unheard_of", i, NAN)};
        const struct bs_figures figures = {.of = {[BS_NLL] = nll, [BS_KLD] = zero}};
        struct bs_trial_record record = {
            .row = make_row(id, labels[i]), .canonical = "", .figures = &figures};
        record.row.num_values = 3;
        record.row.values = values;
        record.row.model = model;
        for (int k = 0; k < windows * (TOKENS - 1); k++)
            nll[k] = (float)(2 + 0.1 * (k % 7) + (i > 0 ? shift * (1 + 0.01 * (k % 5)) : 0));
        record.row.windows = windows;
        record.row.scored = like->scored;
        record.row.stride = like->stride;
        memcpy(record.row.protocol, like->protocol, sizeof like->protocol);
        memcpy(record.row.text_digest, like->text_digest, sizeof like->text_digest);
        for (int w = 0; w < windows && like->scored < windows * (TOKENS - 1); w++)
            nll[w * (TOKENS - 1)] = (float)NAN; /* a window's first prediction is not scored */
        results_add(path, &record);
    }
}

static void write_file(const char *path, const char *const *labels, double shift, int windows)
{
    struct bs_row like = make_row("", "");
    like.windows = windows;
    like.scored = windows * (TOKENS - 1);
    write_rows(path, labels, shift, &like);
}

static int make_files(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/bitsweep-table-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file_a, sizeof file_a, "%s/a.h5", folder);
    snprintf(file_b, sizeof file_b, "%s/b.h5", folder);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(file_a);
    unlink(file_b);
    return rmdir(folder);
}

static const char *columns; /* that diff() asks for */

static enum bs_status diff(enum bs_table_style style, char **text, struct bs_error *err)
{
    struct bs_results a, b;
    if (bs_results_read(file_a, &a, err) || bs_results_read(file_b, &b, err))
        fail_msg("%s", err->message);
    size_t size = 0;
    FILE *out = open_memstream(text, &size);
    enum bs_status status = bs_diff_print(&a, &b, columns, style, out, err);
    fclose(out);
    bs_results_release(&a);
    bs_results_release(&b);
    return status;
}

static void test_diff(void **state)
{
    (void)state;
    static const char *const in_a[] = {"same", "better", "old", NULL};
    static const char *const in_b[] = {"same", "better", "new", NULL};
    write_file(file_a, in_a, 0.2, WINDOWS);
    write_file(file_b, in_b, 0.1, WINDOWS);
    struct bs_error err;
    char *text;
    for (int style = 0; style < 4; style++) {
        assert_int_equal(diff((enum bs_table_style)style, &text, &err), BS_OK);
        assert_holds(text, "better");
        assert_holds(text, "old");
        assert_holds(text, "new");
        free(text);
    }
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_OK);
    /* Three windows can show no difference: of 8 choices of signs 2 are as far out. */
    assert_holds(text, "2 compared: 0 differ significantly (p corrected below 0.05), 1 has the "
                       "same bits");
    assert_holds(text, "only in A: old on evaluation");
    assert_holds(text, "only in B: new on evaluation");
    assert_holds(text, " identical ");
    free(text);

    assert_int_equal(diff(BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "identical")), 1);
    json_t *trials = json_object_get(json, "trials");
    assert_int_equal(json_array_size(trials), 4);
    double same = json_real_value(json_object_get(json_array_get(trials, 0), "difference"));
    double better = json_real_value(json_object_get(json_array_get(trials, 1), "difference"));
    assert_true(same == 0 && better < 0);
    assert_true(json_is_null(json_object_get(json_array_get(trials, 2), "perplexity_b")));
    assert_true(json_is_null(json_object_get(json_array_get(trials, 3), "perplexity_a")));
    json_decref(json);
    free(text);
}

/* Values of any name: for programs all, for the eye those asked for. */
static void test_diff_values(void **state)
{
    (void)state;
    static const char *const in_a[] = {"one", "two", NULL}, *const in_b[] = {"zero", "one", "two",
                                                                             NULL};
    struct bs_error err;
    char *text;
    write_file(file_a, in_a, 0, WINDOWS);
    write_file(file_b, in_b, 0, WINDOWS);
    assert_int_equal(diff(BS_TABLE_CSV, &text, &err), BS_OK);
    assert_holds(text, ",kld_mean_a,kld_mean_b,delta_kld_mean,delta_kld_mean_se,");
    assert_holds(text,
                 ",unheard_of_a,unheard_of_b,delta_unheard_of,delta_perplexity,identical\r\n");
    assert_holds(text, ",1,2,1,0,1\r\n"); /* `two` stands second in A, third in B */
    free(text);
    assert_int_equal(diff(BS_TABLE_MARKDOWN, &text, &err), BS_OK);
    assert_holds(text, "| KL mean A 10");
    assert_holds(text, "| KL mean B - A 10");
    assert_null(strstr(text, "unheard"));
    free(text);
    columns = "unheard_of";
    assert_int_equal(diff(BS_TABLE_MARKDOWN, &text, &err), BS_OK);
    assert_holds(text, "| unheard\\_of A | unheard\\_of B |\n");
    free(text);
    columns = "unheard_off";
    assert_int_equal(diff(BS_TABLE_MARKDOWN, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "did you mean 'unheard_of'?");
    free(text);
    columns = NULL;
}

/* A condition that is true of a pair, or of one that is missing; and what tells of none. */
static void test_diff_gate(void **state)
{
    (void)state;
    static const char *const in_a[] = {"one", "two", "three", NULL}, *const in_b[] = {"one", "two",
                                                                                      NULL};
    static const char *const none[2] = {NULL, NULL};
    static const struct {
        const char *condition;
        enum bs_status status;
        bool passed;
    } cases[] = {
        {"delta_perplexity > 0.1", BS_OK, false},
        {"delta_perplexity > 0.1 and identical = 1", BS_OK, true},
        {"delta_perplexity < 0", BS_OK, true},
        {"pairing != paired", BS_OK, false},
        {"items > 3", BS_EDATA, false},
        {"delta_perplexty > 0", BS_ECONFIG, false},
    };
    struct bs_results a, b;
    struct bs_error err;
    write_file(file_a, in_a, 0, WINDOWS);
    write_file(file_b, in_b, 0.2, WINDOWS);
    if (bs_results_read(file_a, &a, &err) || bs_results_read(file_b, &b, &err))
        fail_msg("%s", err.message);
    FILE *out = fopen("/dev/null", "w");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool passed = false;
        assert_int_equal(bs_diff_gate(&a, &b, none, cases[i].condition, out, &passed, &err),
                         cases[i].status);
        assert_int_equal(passed, cases[i].passed);
    }
    fclose(out);
    bs_results_release(&b);
    bs_results_release(&a);
}

/* Two files of one model each are compared whatever their models are called; where a file has
 * several, trials of one name belong together. */
static void test_diff_of_models(void **state)
{
    (void)state;
    static const char *const one[] = {"one", NULL};
    struct bs_error err;
    char *text;
    model = "x/a";
    write_file(file_a, one, 0, WINDOWS);
    model = "y/b";
    write_file(file_b, one, 0, WINDOWS);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "1 compared");
    free(text);
    write_file(file_a, one, 0, WINDOWS + 1); /* y/b: other windows than in the second file */
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "4 windows \xc3\x97 5 tokens");
    free(text);
    model = "x/a";
    write_file(file_b, one, 0, WINDOWS);
    unlink(file_a);
    write_file(file_a, one, 0, WINDOWS);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "\nx/a, one ");
    assert_holds(text, "1 compared");
    assert_holds(text, "only in B: y/b, one on evaluation");
    free(text);
    assert_int_equal(diff(BS_TABLE_CSV, &text, &err), BS_OK);
    assert_holds(text, "label_a,label_b,model,text,");
    assert_holds(text, "\n,one,y/b,evaluation,perplexity,gptq,,5,3,5,,,,bone,only in B,0,1,");
    free(text);
    model = "datasets/tiny";
}

static void test_diff_refusals(void **state)
{
    (void)state;
    static const char *const one[] = {"one", NULL}, *const other[] = {"other", NULL};
    struct bs_error err;
    char *text;
    write_file(file_a, one, 0, WINDOWS);
    write_file(file_b, one, 0, WINDOWS + 1);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "text 'evaluation' is measured in ");
    assert_holds(err.message, "by protocol gptq, 3 windows \xc3\x97 5 tokens, in ");
    assert_holds(err.message, "by protocol gptq, 4 windows \xc3\x97 5 tokens: their");
    free(text);
    unlink(file_b);
    write_file(file_b, other, 0, WINDOWS);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "nothing to compare");
    free(text);
}

/* The same label, text and windows are not enough: protocol, stride and bytes count. */
static void test_diff_protocols(void **state)
{
    (void)state;
    static const char *const one[] = {"one", "two", NULL};
    struct bs_error err;
    char *text;
    write_file(file_a, one, 0, WINDOWS);
    struct bs_row like = make_row("", "");
    like.scored = WINDOWS * (TOKENS - 2);
    snprintf(like.protocol, sizeof like.protocol, "sliding");
    like.stride = 2;
    write_rows(file_b, one, 0, &like);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "by protocol gptq, 3 windows");
    assert_holds(err.message, "by protocol sliding with stride 2, 3 windows");
    free(text);
    /* What is not scored is left out of the pairs. */
    unlink(file_a);
    write_rows(file_a, one, 0.1, &like);
    assert_int_equal(diff(BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL);
    json_t *trial = json_array_get(json_object_get(json, "trials"), 1);
    assert_true(json_real_value(json_object_get(trial, "difference")) < 0);
    assert_true(json_real_value(json_object_get(trial, "difference_se")) > 0);
    assert_string_equal(json_string_value(json_object_get(trial, "protocol")), "sliding");
    json_decref(json);
    free(text);
    unlink(file_a);
    snprintf(like.text_digest, sizeof like.text_digest, "00fe");
    write_rows(file_a, one, 0, &like);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "differ in their bytes (digests 00fe and 00ff)");
    free(text);
}

#define DIFF(name) cmocka_unit_test_setup_teardown(name, make_files, remove_files)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIFF(test_diff),           DIFF(test_diff_values),   DIFF(test_diff_gate),
        DIFF(test_diff_of_models), DIFF(test_diff_refusals), DIFF(test_diff_protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
