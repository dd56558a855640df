/* Conditions, orders and gates of tables. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/report/selection.h"

enum { ROWS = 6 };

/* A table as --format csv has it: names, a number that one row lacks, and a text of digits. */
static void make_sheet(struct bs_sheet *sheet)
{
    static const struct {
        const char *label, *algorithm, *granularity;
        int bits;
        double delta, bytes;
    } rows[ROWS] = {
        {"unquantized", "unquantized", "", 16, NAN, 4e9},
        {"rtn w3 g128", "rtn", "128", 3, 3.77, 2e9},
        {"gptq w3 g64", "gptq", "64", 3, 2.23, 2.5e9},
        {"awq w4", "awq", "channel", 4, 0.61, 3e9},
        {"gptq w4", "gptq", "channel", 4, 0.76, 3e9},
        {"awq+gptq w4", "awq+gptq", "128", 4, 0.4, 3e9},
    };
    static const char *const names[] = {
        "label", "model", "text", "algorithm", "granularity", "bits", "perplexity_delta", "bytes"};
    bs_sheet_init(sheet, 8);
    for (int j = 0; j < 8; j++)
        bs_sheet_text(sheet, "%s", names[j]);
    for (int i = 0; i < ROWS; i++) {
        bs_sheet_text(sheet, "%s", rows[i].label);
        bs_sheet_text(sheet, "tiny");
        bs_sheet_text(sheet, "wiki");
        bs_sheet_text(sheet, "%s", rows[i].algorithm);
        bs_sheet_text(sheet, "%s", rows[i].granularity);
        bs_sheet_int(sheet, rows[i].bits);
        bs_sheet_double(sheet, rows[i].delta);
        bs_sheet_double(sheet, rows[i].bytes);
    }
}

/* The rows that are chosen, as digits. */
static void assert_chosen(const struct bs_selection *selection, const int *tables,
                          const bool *references, const char *wanted)
{
    struct bs_sheet sheet;
    struct bs_chosen chosen;
    struct bs_error err;
    char got[ROWS + 1] = "";
    make_sheet(&sheet);
    if (bs_selection_choose(selection, &sheet, tables, references, &chosen, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < chosen.count; i++)
        got[i] = (char)('0' + chosen.rows[i]);
    if (strcmp(got, wanted))
        fail_msg("%s: got %s, not %s", selection->where ? selection->where : "", got, wanted);
    bs_chosen_release(&chosen);
    bs_sheet_release(&sheet);
}

static void test_conditions(void **state)
{
    static const struct {
        const char *where, *rows;
    } cases[] = {
        {"bits<=4 and algorithm=gptq", "24"},
        {"bits = 3 or bits = 16", "012"},
        {"algorithm = *gptq", "245"},
        {"algorithm = awq+gptq", "5"},
        {"label = 'gptq w?'", "4"},
        {"label='gptq w3 g64'", "2"},
        {"label != 'gptq*'", "0135"},
        {"bytes < 3G", "12"},
        {"bytes <= 3000M AND bits == 4", "345"},
        {"granularity >= 128", "1345"}, /* a text that is no number is compared as one */
        {"granularity = 128", "15"},
        {"perplexity_delta < 61% or bits = 3", "125"},
        /* `and` binds closer than `or`, `not` closer than both */
        {"bits = 3 or bits = 4 and algorithm = awq", "123"},
        {"(bits = 3 or bits = 4) and algorithm = awq", "3"},
        {"not bits = 3 and bits < 16", "345"},
        {"not (bits = 3 or algorithm = gptq)", "035"},
        /* of what is not known neither a condition nor its opposite holds, but for what decides */
        {"perplexity_delta > 0.7", "124"},
        {"not perplexity_delta > 0.7", "35"},
        {"perplexity_delta != 1", "12345"},
        {"perplexity_delta > 0.7 or bits = 16", "0124"},
        {"perplexity_delta > 0.7 and bits = 16", ""},
        {"not (perplexity_delta > 0.7 and bits = 4)", "01235"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_chosen(&(struct bs_selection){.where = cases[i].where}, NULL, NULL, cases[i].rows);
}

static void assert_refused(const struct bs_selection *selection, const char *message)
{
    struct bs_sheet sheet;
    struct bs_chosen chosen;
    struct bs_error err;
    make_sheet(&sheet);
    assert_int_equal(bs_selection_choose(selection, &sheet, NULL, NULL, &chosen, &err), BS_ECONFIG);
    if (!strstr(err.message, message))
        fail_msg("'%s' is not in '%s'", message, err.message);
    bs_sheet_release(&sheet);
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *where, *message;
    } cases[] = {
        {"bits<=4 and algorthm=gptq",
         "--where 'bits<=4 and algorthm=gptq', character 13: 'algorthm' is no column (did you mean "
         "'algorithm'?)"},
        {"bits", "character 5: expected one of = != < <= > >="},
        {"bits = four", "character 8: 'four' is no number"},
        {"bits = 4 algorithm = gptq", "character 10: expected 'and', 'or', a bracket or the end"},
        {"bits = 4 and", "character 13: expected the name of a column"},
        {"bits =", "character 7: expected a number or a text"},
        {"(bits = 4", "character 1: this bracket has no end"},
        {"bits = 4)", "character 9: this bracket was not opened"},
        {"label = 'gptq", "character 9: this quote has no end"},
        {"", "character 1: expected the name of a column"},
        {"= 4", "character 1: expected the name of a column"},
        {"()", "character 2: expected the name of a column"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(&(struct bs_selection){.where = cases[i].where}, cases[i].message);
    assert_refused(&(struct bs_selection){.sort = "-bitss"},
                   "--sort: 'bitss' is no column (did you");
    assert_refused(&(struct bs_selection){.group_by = "bits,algo"},
                   "--group-by: 'algo' is no column");
}

static void test_order(void **state)
{
    static const int tables[ROWS] = {0, 0, 0, 1, 0, 1};
    static const bool references[ROWS] = {true};
    (void)state;
    /* what has no number is last either way, and what agrees keeps its order */
    assert_chosen(&(struct bs_selection){.sort = "perplexity_delta"}, NULL, NULL, "534210");
    assert_chosen(&(struct bs_selection){.sort = "-perplexity_delta"}, NULL, NULL, "124350");
    assert_chosen(&(struct bs_selection){.sort = "-bits,label"}, NULL, NULL, "035421");
    assert_chosen(&(struct bs_selection){.sort = "perplexity_delta", .top = 2}, NULL, NULL, "53");
    assert_chosen(&(struct bs_selection){.where = "bits = 4"}, tables, references, "435");
    assert_chosen(&(struct bs_selection){.where = "bits = 4", .keeps_references = true}, tables,
                  references, "0435");
    /* the reference is first, and not counted */
    assert_chosen(&(struct bs_selection){.sort = "perplexity_delta", .top = 2}, NULL, references,
                  "053");
    assert_chosen(&(struct bs_selection){.sort = "perplexity_delta", .top = 2}, tables, references,
                  "04253");
    assert_chosen(&(struct bs_selection){.sort = "perplexity_delta", .group_by = "bits", .top = 1},
                  NULL, references, "025");
    assert_chosen(&(struct bs_selection){.where = "bits = 4", .sort = "-label", .top = 9}, NULL,
                  references, "453");
}

static void check_gate(const char *condition, int held, int open, const char *names)
{
    struct bs_sheet sheet;
    struct bs_chosen chosen;
    struct bs_error err;
    struct bs_gate gate;
    make_sheet(&sheet);
    assert_int_equal(bs_selection_choose(&(struct bs_selection){.where = "bits > 3"}, &sheet, NULL,
                                         NULL, &chosen, &err),
                     BS_OK);
    if (bs_gate_check(condition, &sheet, &chosen, &gate, &err))
        fail_msg("%s", err.message);
    assert_int_equal(gate.held, held);
    assert_int_equal(gate.open, open);
    assert_string_equal(gate.names, names);
    bool passed;
    FILE *out = fopen("/dev/null", "w");
    enum bs_status status = bs_gate_report(condition, &gate, 0, out, &passed, &err);
    assert_int_equal(status, open == chosen.count ? BS_EDATA : BS_OK);
    assert_int_equal(passed, held == 0 && !status);
    /* a trial that failed passes no gate */
    assert_int_equal(bs_gate_report(condition, &gate, 1, out, &passed, &err), BS_OK);
    assert_false(passed);
    fclose(out);
    bs_gate_release(&gate);
    bs_chosen_release(&chosen);
    bs_sheet_release(&sheet);
}

static void test_gate(void **state)
{
    (void)state;
    check_gate("perplexity_delta > 0.5", 2, 1, "awq w4 (tiny on wiki), gptq w4 (tiny on wiki)");
    check_gate("perplexity_delta > 5", 0, 1, "");
    check_gate("perplexity_delta > 5 and bits = 16", 0, 1, "");
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_sheet sheet;
    struct bs_chosen chosen;
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    make_sheet(&sheet);
    do {
        bs_alloc_fail_at(++n);
        status = bs_selection_choose(
            &(struct bs_selection){.where = "bits = 4 and not (label = 'a' or label = b)",
                                   .sort = "label"},
            &sheet, NULL, NULL, &chosen, &err);
        bs_alloc_fail_at(0);
        assert_true(!status || status == BS_ENOMEM);
    } while (status);
    assert_true(n > 6);
    bs_chosen_release(&chosen);
    bs_sheet_release(&sheet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_gate),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
