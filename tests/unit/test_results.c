/* The result file: what goes in comes out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <hdf5.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/store/results_internal.h"
#include "tests/support/sample_trials.h"

/* HDF5 itself loses memory over failed writes; ours is still watched. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "print_suppressions=0"; }

static struct bs_results read_back(void)
{
    struct bs_error err;
    struct bs_results results;
    sample_must(bs_results_read(sample_file, &results, &err), &err);
    return results;
}

/* But for what a commit fills in. */
static void assert_same(const struct bs_row *got, const struct bs_row *want)
{
    for (const struct bs_field *field = bs_row_type.fields; field->name; field++) {
        if (!strcmp(field->name, "label") || !strcmp(field->name, "commit") ||
            !strcmp(field->name, "version"))
            continue;
        if (field->kind == BS_FIELD_STRING)
            assert_string_equal(bs_field_text(field, got), bs_field_text(field, want));
        else
            assert_memory_equal((const char *)got + field->offset,
                                (const char *)want + field->offset, field->size);
    }
}

/* A figure of a row, which must be there. */
static void *figure(const struct bs_row *row, enum bs_figure which)
{
    struct bs_error err;
    void *values;
    sample_must(bs_results_read_figure(sample_file, row, which, &values, &err), &err);
    return values;
}

static void assert_figure(const struct bs_row *row, enum bs_figure which, const void *want)
{
    void *got = figure(row, which);
    assert_memory_equal(got, want, SAMPLE_VALUES * bs_figure_bytes(which));
    bs_free(got);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    sample_make(&s, "0123456789abcdef", 1);
    sample_must(sample_commit(&s, &err), &err);
    struct bs_results results = read_back();
    assert_int_equal(results.num_rows, 1);
    assert_string_equal(results.config, sample_info.config);
    assert_string_equal(results.path, sample_file);
    const struct bs_row *row = bs_results_find(&results, "0123456789abcdef");
    assert_non_null(row);
    assert_null(bs_results_find(&results, "0"));
    assert_same(row, &s.record.row);
    assert_string_equal(row->label, s.label);
    assert_true(*row->commit != '\0' && *row->version != '\0');

    assert_int_equal(row->num_values, 3);
    for (int v = 0; v < 3; v++) {
        const struct bs_value_row *got = &row->values[v], *want = &s.values[v];
        assert_string_equal(got->trial, row->id);
        assert_string_equal(got->evaluation, want->evaluation);
        assert_string_equal(got->name, want->name);
        assert_true(got->value == want->value && isnan(got->se) && got->df == 7 && got->n == 5);
    }
    assert_true(bs_row_number(row, "right") == 61); /* the first of the name */
    assert_ptr_equal(bs_row_value(row, "model", "right"), &row->values[2]);
    assert_null(bs_row_value(row, "guesses", "roundness"));
    assert_true(isnan(bs_row_number(row, "roundness")));

    assert_figure(row, BS_NLL, s.nll);
    assert_figure(row, BS_KLD, s.kld);
    assert_figure(row, BS_SAME_TOP, s.same_top);
    void *nothing;
    assert_int_equal(bs_results_read_figure(sample_file, row, BS_TARGET_IS_TOP, &nothing, &err),
                     BS_EDATA);
    assert_null(nothing);

    struct bs_layer_table layers;
    sample_must(bs_results_read_layers(sample_file, row->id, &layers, &err), &err);
    assert_int_equal(layers.num_rows, 3);
    assert_int_equal(layers.num_columns, 2);
    assert_int_equal(layers.rows[2].block, 2);
    assert_string_equal(layers.rows[2].name, "self_attn.q_proj");
    assert_int_equal(bs_layer_column(&layers, "slack"), 1);
    assert_int_equal(bs_layer_column(&layers, "block"), -1);
    assert_true(layers.rows[2].values[0] == 3 && isnan(layers.rows[2].values[1]));
    bs_layer_table_release(&layers);

    char *text;
    sample_must(bs_results_read_text(sample_file, row->id, "canonical", &text, &err), &err);
    assert_string_equal(text, s.record.canonical);
    bs_free(text);
    sample_must(bs_results_read_text(sample_file, row->id, "notices", &text, &err), &err);
    assert_string_equal(text, s.record.notices);
    bs_free(text);

    struct bs_row other = *row;
    other.windows++;
    assert_int_equal(bs_results_read_figure(sample_file, &other, BS_NLL, &nothing, &err), BS_EDATA);
    assert_null(nothing);
    snprintf(other.id, sizeof other.id, "beef");
    assert_int_equal(bs_results_read_figure(sample_file, &other, BS_NLL, &nothing, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "beef"));
    assert_int_equal(bs_results_read_layers(sample_file, "beef", &layers, &err), BS_EDATA);
    bs_results_release(&results);
}

/* Answers in the place of figures, field for field; one without its item's right answer is refused
 * as it is read. */
static void test_answers(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    struct bs_answers got;
    sample_make(&s, "0123456789abcdef", 1);
    const struct bs_answer rows[] = {
        {0, 0, 0, 3, "a/1", "law", 2, 7, 8, 0, -1.5, (double)NAN, -0.75},
        {0, 1, 1, 3, "a/1", "law", 3, 9, 9, 1, -0.1, -2, -0.05},
        {1, 0, 1, 17, "", "", 1, 1, 1, 1, -3, (double)NAN, (double)NAN},
    };
    for (int i = 0; i < 3; i++)
        assert_int_equal(bs_answers_add(&s.record.answers, &rows[i], &err), BS_OK);
    s.record.figures = NULL;
    sample_must(sample_commit(&s, &err), &err);
    struct bs_results results = read_back();
    sample_must(bs_results_read_answers(sample_file, &results.rows[0], &got, &err), &err);
    assert_int_equal(got.count, 3);
    assert_int_equal(got.num_items, 2);
    for (int i = 0; i < 3; i++) {
        const struct bs_answer *a = &got.rows[i], *b = &rows[i];
        assert_string_equal(a->id, b->id);
        assert_string_equal(a->group, b->group);
        assert_true(a->item == b->item && a->choice == b->choice && a->gold == b->gold);
        assert_true(a->line == b->line && a->tokens == b->tokens && a->greedy == b->greedy);
        assert_true(a->characters == b->characters && a->bytes == b->bytes);
        assert_memory_equal(&a->log_likelihood, &b->log_likelihood, 3 * sizeof(double));
    }
    bs_answers_release(&got);
    bs_results_release(&results);
    s.record.answers.rows[1].gold = 0;
    memcpy(s.record.row.id, "1123456789abcdef", sizeof s.record.row.id);
    sample_must(sample_commit(&s, &err), &err);
    results = read_back();
    assert_int_equal(bs_results_read_answers(
                         sample_file, bs_results_find(&results, "1123456789abcdef"), &got, &err),
                     BS_EDATA);
    assert_int_equal(got.count, 0);
    bs_answers_release(&s.record.answers);
    bs_results_release(&results);
}

static void test_append_and_order(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample a, b, c;
    sample_make(&a, "a", 1);
    sample_make(&b, "b", 2);
    sample_make(&c, "c", 3);
    const char *const order[] = {"c", "missing", "a"};
    sample_must(sample_commit(&a, &err), &err);
    sample_must(sample_commit(&b, &err), &err);
    sample_must(bs_results_commit(sample_file, &c.record, 1, order, 3, &sample_info, &err), &err);
    struct bs_results results = read_back();
    assert_int_equal(results.num_rows, 3);
    assert_string_equal(results.rows[0].id, "c");
    assert_string_equal(results.rows[1].id, "a");
    assert_string_equal(results.rows[2].id, "b");
    for (int i = 0; i < 3; i++) {
        float *nll = figure(&results.rows[i], BS_NLL);
        assert_true((double)nll[0] == bs_row_number(&results.rows[i], "right") - 60);
        bs_free(nll);
    }
    bs_results_release(&results);
    /* Nothing to add is a commit too: it sets attributes and order. */
    sample_must(bs_results_commit(sample_file, NULL, 0, order + 2, 1, &sample_info, &err), &err);
    results = read_back();
    assert_string_equal(results.rows[0].id, "a");
    bs_results_release(&results);
}

/* Models stand in the run's order, whichever was run first; one that it does not name is last. */
static void test_order_of_models(void **state)
{
    (void)state;
    struct bs_error err;
    char one[] = "org/one", two[] = "two", three[] = "three";
    char *const models[] = {one, two, three};
    static const char *const commits[][2] = {{"a", "three"}, {"b", "gone"},  {"c", "org/one"},
                                             {"d", "two"},   {"e", "three"}, {"f", "org/one"}};
    for (int i = 0; i < 6; i++) {
        struct sample s;
        sample_make(&s, commits[i][0], i);
        s.record.row.model = commits[i][1];
        struct bs_run_info run = sample_info;
        run.num_models = 3;
        run.models = models;
        sample_must(bs_results_commit(sample_file, &s.record, 1, &commits[i][0], 1, &run, &err),
                    &err);
    }
    struct bs_results results = read_back();
    char got[16] = "";
    for (int i = 0; i < results.num_rows; i++)
        snprintf(got + i, sizeof got - (size_t)i, "%s", results.rows[i].id);
    assert_string_equal(got, "fcdeab");
    assert_true(bs_results_several_models(&results));
    bs_results_release(&results);
}

static void test_failed_is_replaced(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample first, failed, again;
    sample_make(&first, "1st", 1);
    sample_make_failed(&failed, "2nd");
    sample_make(&again, "2nd", 5);
    sample_must(sample_commit(&first, &err), &err);
    sample_must(sample_commit(&failed, &err), &err);
    struct bs_results results = read_back();
    assert_string_equal(results.rows[1].message, "block 2: not finite");
    assert_int_equal(results.rows[1].num_values, 0);
    void *nll;
    assert_int_equal(bs_results_read_figure(sample_file, &results.rows[1], BS_NLL, &nll, &err),
                     BS_EDATA);
    bs_results_release(&results);
    sample_must(sample_commit(&again, &err), &err);
    results = read_back();
    assert_int_equal(results.num_rows, 2);
    assert_string_equal(results.rows[1].status, "done");
    assert_int_equal(results.rows[1].num_values, 3);
    assert_figure(&results.rows[1], BS_NLL, again.nll);
    bs_results_release(&results);
    /* A finished trial is never written over. */
    assert_int_equal(sample_commit(&again, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "2nd"));
}

static char *text_attribute(const char *name)
{
    hid_t h5 = H5Fopen(sample_file, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t attribute = H5Aopen(h5, name, H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute);
    char *text = bs_calloc(H5Tget_size(type) + 1, 1);
    H5Aread(attribute, type, text);
    H5Tclose(type);
    H5Aclose(attribute);
    H5Fclose(h5);
    return text;
}

static void test_attributes(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample a, b;
    sample_make(&a, "a", 1);
    sample_make(&b, "b", 2);
    sample_must(sample_commit(&a, &err), &err);
    struct bs_run_info later = sample_info;
    /* A config longer than the 64 KiB that HDF5 keeps in an object's header. */
    char *config = bs_alloc(100001, 1);
    memset(config, '#', 100000);
    config[100000] = '\0';
    later.config = config;
    later.started = "2026-02-02T00:00:00Z";
    later.finished = "2026-02-03T00:00:00Z";
    sample_must(bs_results_commit(sample_file, &b.record, 1, NULL, 0, &later, &err), &err);
    char *started = text_attribute("started"), *finished = text_attribute("finished");
    assert_string_equal(started, sample_info.started);
    assert_string_equal(finished, later.finished);
    bs_free(started);
    bs_free(finished);
    struct bs_results results = read_back();
    assert_string_equal(results.config, config);
    bs_results_release(&results);
    sample_must(bs_results_commit(sample_file, NULL, 0, NULL, 0, &sample_info, &err), &err);
    results = read_back();
    assert_string_equal(results.config, sample_info.config);
    bs_results_release(&results);
    bs_free(config);
    /* What is not said stays. */
    sample_must(bs_results_commit(sample_file, NULL, 0, NULL, 0,
                                  &(struct bs_run_info){.config = "new"}, &err),
                &err);
    char *host = text_attribute("host"), *text = text_attribute("config");
    assert_string_equal(host, sample_info.host);
    assert_string_equal(text, "new");
    bs_free(host);
    bs_free(text);
}

static void test_same_bytes(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    char *data[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        sample_make(&s, "a", 1);
        memset(s.record.row.grid + strlen(s.record.row.grid) + 1, 'x' + i, 5);
        memset(s.values[0].name + strlen(s.values[0].name) + 1, 'x' + i, 5);
        sample_must(sample_commit(&s, &err), &err);
        sample_must(bs_file_read(sample_file, &data[i], &size[i], &err), &err);
        unlink(sample_file);
        if (i == 0)
            sleep(1); /* the clock must not matter */
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    bs_free(data[0]);
    bs_free(data[1]);
}

static void test_growth(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    enum { TRIALS = 100 };
    for (int i = 0; i < TRIALS; i++) {
        char id[17];
        snprintf(id, sizeof id, "%d", i);
        sample_make(&s, id, i);
        sample_must(sample_commit(&s, &err), &err);
    }
    /* What earlier /trials took is used again: otherwise it would be 100 * 101 / 2 rows. */
    struct stat found;
    assert_int_equal(stat(sample_file, &found), 0);
    assert_true(found.st_size < TRIALS * 8000);
}

static void test_bad_text(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    sample_make(&s, "a", 1);
    struct bs_row *row = &s.record.row;
    /* A text cut to its field in the middle of a character, and never ended. */
    memset(row->granularity, 'm', sizeof row->granularity);
    row->granularity[sizeof row->granularity - 2] = '\xc3';
    row->options = "\xff ok \xe2\x80\x94";
    sample_must(sample_commit(&s, &err), &err);
    struct bs_results results = read_back();
    assert_int_equal(strlen(results.rows[0].granularity), sizeof row->granularity - 1);
    assert_int_equal(results.rows[0].granularity[sizeof row->granularity - 2], '?');
    assert_string_equal(results.rows[0].options, "? ok \xe2\x80\x94");
    bs_results_release(&results);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sample_setup, sample_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),         TEST(test_answers),
        TEST(test_append_and_order),   TEST(test_order_of_models),
        TEST(test_failed_is_replaced), TEST(test_attributes),
        TEST(test_same_bytes),         TEST(test_growth),
        TEST(test_bad_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
