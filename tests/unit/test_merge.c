/* Result files of parts of a sweep, put together. */
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

#include "eval/base/mem.h"
#include "eval/store/results.h"
#include "tests/support/sample_trials.h"

static char part_a[112], part_b[112], whole[112];

static int setup(void **state)
{
    sample_setup(state);
    snprintf(part_a, sizeof part_a, "%s/a.h5", sample_folder);
    snprintf(part_b, sizeof part_b, "%s/b.h5", sample_folder);
    snprintf(whole, sizeof whole, "%s/whole.h5", sample_folder);
    return 0;
}

static int teardown(void **state)
{
    unlink(part_a);
    unlink(part_b);
    unlink(whole);
    return sample_teardown(state);
}

static bool same_recipe; /* of the trials that are added: else each has its own */

/* Adds a trial whose perplexity is 10 + `seed`, or a failed one for a NaN. */
static void add(const char *path, const char *id, double seed)
{
    struct sample s;
    struct bs_error err;
    if (isnan(seed))
        sample_make_failed(&s, id);
    else
        sample_make(&s, id, seed);
    if (same_recipe)
        s.record.row.recipe = "rtn w4";
    sample_must(bs_results_commit(path, &s.record, 1, NULL, 0, &sample_info, &err), &err);
}

static enum bs_status merge(const char *const *ids, int num_ids, struct bs_error *err)
{
    const char *const from[] = {part_a, part_b};
    const struct bs_merge_order order = {.num_ids = num_ids, .ids = ids};
    return bs_results_merge(whole, from, 2, &order, err);
}

/* Rows in the order asked for, and all that is stored of each: what one run would have left. */
static void test_parts(void **state)
{
    (void)state;
    static const char *const ids[] = {"one", "two", "three"};
    struct bs_error err;
    struct bs_results merged, one_run;
    add(part_a, "three", 3);
    add(part_a, "one", 1);
    add(part_b, "two", 2);
    add(part_b, "one", 1); /* as both measure the unquantized model */
    for (int i = 0; i < 3; i++)
        add(sample_file, ids[i], i + 1);
    sample_must(merge(ids, 3, &err), &err);
    sample_must(bs_results_read(whole, &merged, &err), &err);
    sample_must(bs_results_read(sample_file, &one_run, &err), &err);
    assert_int_equal(merged.num_rows, 3);
    assert_string_equal(merged.config, one_run.config);
    for (int i = 0; i < 3; i++) {
        const struct bs_row *row = &merged.rows[i], *own = &one_run.rows[i];
        assert_string_equal(row->id, ids[i]);
        assert_string_equal(row->label, own->label);
        assert_int_equal(row->num_values, own->num_values);
        for (int v = 0; v < row->num_values; v++) {
            assert_string_equal(row->values[v].name, own->values[v].name);
            assert_true(row->values[v].value == own->values[v].value);
        }
        void *nll, *expected;
        char *canonical;
        struct bs_layer_table layers;
        sample_must(bs_results_read_figure(whole, row, BS_NLL, &nll, &err), &err);
        sample_must(bs_results_read_figure(sample_file, own, BS_NLL, &expected, &err), &err);
        assert_memory_equal(nll, expected, SAMPLE_VALUES * sizeof(float));
        sample_must(bs_results_read_text(whole, row->id, "canonical", &canonical, &err), &err);
        sample_must(bs_results_read_layers(whole, row->id, &layers, &err), &err);
        assert_int_equal(layers.num_rows, 3);
        bs_layer_table_release(&layers);
        bs_free(canonical);
        bs_free(expected);
        bs_free(nll);
    }
    bs_results_release(&one_run);
    bs_results_release(&merged);
}

/* What is done goes before what failed, whichever file has it. A merged file takes more trials. */
static void test_failed(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results merged;
    add(part_a, "one", NAN);
    add(part_a, "two", 2);
    add(part_b, "one", 1);
    add(part_b, "two", NAN);
    sample_must(merge(NULL, 0, &err), &err);
    add(whole, "three", 3);
    sample_must(bs_results_read(whole, &merged, &err), &err);
    assert_int_equal(merged.num_rows, 3);
    for (int i = 0; i < 3; i++)
        assert_true(bs_row_is_done(&merged.rows[i]));
    bs_results_release(&merged);
}

static void test_differs(void **state)
{
    (void)state;
    struct bs_error err;
    add(part_a, "one", 1);
    add(part_b, "one", 2);
    assert_int_equal(merge(NULL, 0, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "and they differ: "));
    assert_non_null(strstr(err.message, part_a));
    assert_non_null(strstr(err.message, part_b));
    assert_int_not_equal(access(whole, F_OK), 0); /* nothing is left */
    unlink(part_b);
    add(part_b, "one", 1);
    sample_must(merge(NULL, 0, &err), &err);
    assert_int_equal(merge(NULL, 0, &err), BS_EIO);
    assert_non_null(strstr(err.message, "is there already"));
    assert_int_equal(access(whole, F_OK), 0);
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    add(part_a, "one", 1);
    add(part_b, "two", 2);
    do {
        bs_alloc_fail_at(++n);
        status = merge(NULL, 0, &err);
        bs_alloc_fail_at(0);
        assert_true(!status || status == BS_ENOMEM);
        assert_int_equal(access(whole, F_OK), status ? -1 : 0);
    } while (status);
    assert_true(n > 20);
}

/* The same trials without a new file: each knows where the rest of it is kept. */
static void test_read_all(void **state)
{
    (void)state;
    static const char *const files[] = {"two", "one", "three"};
    const char *const from[] = {part_a, part_b};
    struct bs_error err;
    struct bs_results all;
    add(part_a, "two", 2);
    add(part_a, "one", NAN); /* done in the other file */
    add(part_b, "one", 1);
    add(part_b, "two", 2);
    add(part_b, "three", 3);
    sample_must(bs_results_read_all(from, 2, &all, &err), &err);
    assert_int_equal(all.num_rows, 3);
    assert_int_equal(all.num_parts, 2);
    for (int i = 0; i < 3; i++) {
        const struct bs_row *row = &all.rows[i];
        void *nll;
        assert_string_equal(row->id, files[i]);
        assert_true(bs_row_is_done(row));
        assert_string_equal(row->file, i == 0 ? part_a : part_b);
        sample_must(bs_results_read_figure(row->file, row, BS_NLL, &nll, &err), &err);
        bs_free(nll);
    }
    bs_results_release(&all);
}

/* Trials that only their files tell apart are called by these; equal ids must be equal trials. */
static void test_read_all_apart(void **state)
{
    (void)state;
    const char *const from[] = {part_a, part_b};
    struct bs_error err;
    struct bs_results all;
    same_recipe = true;
    add(part_a, "one", 1);
    add(part_b, "two", 2);
    sample_must(bs_results_read_all(from, 2, &all, &err), &err);
    assert_non_null(strstr(all.rows[0].label, " file=a.h5"));
    assert_non_null(strstr(all.rows[1].label, " file=b.h5"));
    bs_results_release(&all);
    add(part_b, "one", 2);
    assert_int_equal(bs_results_read_all(from, 2, &all, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "and they differ: "));
    assert_non_null(strstr(err.message, part_b));
    unlink(part_b);
    add(part_b, "two", 2);
    add(part_b, "three", 3); /* of one file both: it does not tell them apart */
    sample_must(bs_results_read_all(from, 2, &all, &err), &err);
    assert_string_equal(all.rows[0].label, "rtn w4 file=a.h5");
    assert_string_equal(all.rows[1].label, "rtn w4 id=two");
    same_recipe = false;
    bs_results_release(&all);
}

static void test_read_all_memory(void **state)
{
    (void)state;
    const char *const from[] = {part_a, part_b};
    struct bs_error err;
    struct bs_results all;
    enum bs_status status;
    long n = 0;
    add(part_a, "one", 1);
    add(part_b, "two", 2);
    do {
        bs_alloc_fail_at(++n);
        status = bs_results_read_all(from, 2, &all, &err);
        bs_alloc_fail_at(0);
        assert_true(!status || status == BS_ENOMEM);
    } while (status);
    bs_results_release(&all);
    assert_true(n > 20);
}

#define MERGE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {MERGE(test_parts),          MERGE(test_failed),
                                       MERGE(test_differs),        MERGE(test_memory),
                                       MERGE(test_read_all),       MERGE(test_read_all_apart),
                                       MERGE(test_read_all_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
