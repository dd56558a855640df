/* The result file: what goes in comes out, and no failure harms what was there. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hdf5.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/store/lock.h"
#include "eval/store/results_internal.h"
#include "eval/store/seal.h"

enum { WINDOWS = 4, TOKENS = 16, VALUES = WINDOWS * (TOKENS - 1) };

/* HDF5 itself loses memory over failed writes; ours is still watched. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "print_suppressions=0"; }

static char folder[64], file[96], partial[112];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/bitsweep-results-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/r.h5", folder);
    snprintf(partial, sizeof partial, "%s.partial", file);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char lock[112];
    snprintf(lock, sizeof lock, "%s.lock", file);
    if (unlink(file) != 0)
        rmdir(file);
    unlink(lock);
    if (H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) != 0)
        return -1;        /* an error path left something of HDF5's open */
    return rmdir(folder); /* fails where a partial file was left */
}

static const struct bs_run_info info = {
    .config = "model: tiny\n",
    .host = "host",
    .cpu = "cpu",
    .blas = "blas",
    .started = "2026-01-01T00:00:00Z",
    .finished = "",
    .threads = 3,
};

/* What a plug-in may call its values: the store knows none of them. */
static char columns[2][40] = {"roundness", "slack"};

/* One trial's record, with storage for what it borrows. */
struct sample {
    struct bs_trial_record record;
    char label[32];
    struct bs_value_row values[3];
    struct bs_layer_row layers[3];
    float nll[VALUES], kld[VALUES];
    uint8_t same_top[VALUES];
    struct bs_figures figures;
};

static struct bs_value_row make_value(const char *evaluation, const char *name, double value)
{
    struct bs_value_row row = {.value = value, .se = NAN, .df = 7, .n = 5};
    snprintf(row.evaluation, sizeof row.evaluation, "%s", evaluation);
    snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

static void make_sample(struct sample *s, const char *id, double seed)
{
    memset(s, 0xa5, sizeof *s); /* what is after the end of a text must not matter */
    struct bs_row *row = &s->record.row;
    *row = (struct bs_row){.bits = 3,
                           .activation_bits = 16,
                           .windows = WINDOWS,
                           .tokens = TOKENS,
                           .calibration_seed = -1,
                           .seconds_evaluate = seed,
                           .num_values = 3,
                           .values = s->values};
    s->values[0] = make_value("guesses", "right", 60 + seed);
    s->values[1] = make_value("guesses", "certainty", INFINITY);
    s->values[2] = make_value("model", "right", seed);
    snprintf(row->id, sizeof row->id, "%s", id);
    snprintf(s->label, sizeof s->label, "gptq w3 g128 %s", id);
    row->recipe = s->label;
    row->text = "evaluation";
    snprintf(row->compute, sizeof row->compute, "bfloat16");
    snprintf(row->status, sizeof row->status, "done");
    for (int i = 0; i < 3; i++) {
        s->layers[i] = (struct bs_layer_row){.block = i, .values = {seed + i, NAN}};
        snprintf(s->layers[i].name, sizeof s->layers[i].name, "self_attn.q_proj");
    }
    for (int i = 0; i < VALUES; i++) {
        s->nll[i] = (float)(seed + i * 0.01);
        s->kld[i] = (float)(seed * i * 1e-4);
        s->same_top[i] = i % 3 == 0;
    }
    s->record.canonical = "recipe: gptq\nbits: 3\n";
    s->record.notices = "model: block 2 is left out\n";
    s->record.layers = (struct bs_layer_table){
        .num_rows = 3, .num_columns = 2, .rows = s->layers, .columns = columns};
    s->figures = (struct bs_figures){
        .of = {[BS_NLL] = s->nll, [BS_KLD] = s->kld, [BS_SAME_TOP] = s->same_top}};
    s->record.figures = &s->figures;
}

static void make_failed(struct sample *s, const char *id)
{
    make_sample(s, id, 0);
    snprintf(s->record.row.status, sizeof s->record.row.status, "failed");
    s->record.row.message = "block 2: not finite";
    s->record.row.num_values = 0;
    s->record.layers = (struct bs_layer_table){.num_rows = 0};
    s->record.figures = NULL;
}

static enum bs_status commit(struct sample *s, struct bs_error *err)
{
    return bs_results_commit(file, &s->record, 1, NULL, 0, &info, err);
}

static void must(enum bs_status status, const struct bs_error *err)
{
    if (status)
        fail_msg("%s", err->message);
}

static struct bs_results read_back(void)
{
    struct bs_error err;
    struct bs_results results;
    must(bs_results_read(file, &results, &err), &err);
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
    must(bs_results_read_figure(file, row, which, &values, &err), &err);
    return values;
}

static void assert_figure(const struct bs_row *row, enum bs_figure which, const void *want)
{
    void *got = figure(row, which);
    assert_memory_equal(got, want, VALUES * bs_figure_bytes(which));
    bs_free(got);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    make_sample(&s, "0123456789abcdef", 1);
    must(commit(&s, &err), &err);
    struct bs_results results = read_back();
    assert_int_equal(results.num_rows, 1);
    assert_string_equal(results.config, info.config);
    assert_string_equal(results.path, file);
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
    assert_int_equal(bs_results_read_figure(file, row, BS_TARGET_IS_TOP, &nothing, &err), BS_EDATA);
    assert_null(nothing);

    struct bs_layer_table layers;
    must(bs_results_read_layers(file, row->id, &layers, &err), &err);
    assert_int_equal(layers.num_rows, 3);
    assert_int_equal(layers.num_columns, 2);
    assert_int_equal(layers.rows[2].block, 2);
    assert_string_equal(layers.rows[2].name, "self_attn.q_proj");
    assert_int_equal(bs_layer_column(&layers, "slack"), 1);
    assert_int_equal(bs_layer_column(&layers, "block"), -1);
    assert_true(layers.rows[2].values[0] == 3 && isnan(layers.rows[2].values[1]));
    bs_layer_table_release(&layers);

    char *text;
    must(bs_results_read_text(file, row->id, "canonical", &text, &err), &err);
    assert_string_equal(text, s.record.canonical);
    bs_free(text);
    must(bs_results_read_text(file, row->id, "notices", &text, &err), &err);
    assert_string_equal(text, s.record.notices);
    bs_free(text);

    struct bs_row other = *row;
    other.windows++;
    assert_int_equal(bs_results_read_figure(file, &other, BS_NLL, &nothing, &err), BS_EDATA);
    assert_null(nothing);
    snprintf(other.id, sizeof other.id, "beef");
    assert_int_equal(bs_results_read_figure(file, &other, BS_NLL, &nothing, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "beef"));
    assert_int_equal(bs_results_read_layers(file, "beef", &layers, &err), BS_EDATA);
    bs_results_release(&results);
}

static void test_append_and_order(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample a, b, c;
    make_sample(&a, "a", 1);
    make_sample(&b, "b", 2);
    make_sample(&c, "c", 3);
    const char *const order[] = {"c", "missing", "a"};
    must(commit(&a, &err), &err);
    must(commit(&b, &err), &err);
    must(bs_results_commit(file, &c.record, 1, order, 3, &info, &err), &err);
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
    must(bs_results_commit(file, NULL, 0, order + 2, 1, &info, &err), &err);
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
        make_sample(&s, commits[i][0], i);
        s.record.row.model = commits[i][1];
        struct bs_run_info run = info;
        run.num_models = 3;
        run.models = models;
        must(bs_results_commit(file, &s.record, 1, &commits[i][0], 1, &run, &err), &err);
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
    make_sample(&first, "1st", 1);
    make_failed(&failed, "2nd");
    make_sample(&again, "2nd", 5);
    must(commit(&first, &err), &err);
    must(commit(&failed, &err), &err);
    struct bs_results results = read_back();
    assert_string_equal(results.rows[1].message, "block 2: not finite");
    assert_int_equal(results.rows[1].num_values, 0);
    void *nll;
    assert_int_equal(bs_results_read_figure(file, &results.rows[1], BS_NLL, &nll, &err), BS_EDATA);
    bs_results_release(&results);
    must(commit(&again, &err), &err);
    results = read_back();
    assert_int_equal(results.num_rows, 2);
    assert_string_equal(results.rows[1].status, "done");
    assert_int_equal(results.rows[1].num_values, 3);
    assert_figure(&results.rows[1], BS_NLL, again.nll);
    bs_results_release(&results);
    /* A finished trial is never written over. */
    assert_int_equal(commit(&again, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "2nd"));
}

static char *text_attribute(const char *name)
{
    hid_t h5 = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
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
    make_sample(&a, "a", 1);
    make_sample(&b, "b", 2);
    must(commit(&a, &err), &err);
    struct bs_run_info later = info;
    /* A config longer than the 64 KiB that HDF5 keeps in an object's header. */
    char *config = bs_alloc(100001, 1);
    memset(config, '#', 100000);
    config[100000] = '\0';
    later.config = config;
    later.started = "2026-02-02T00:00:00Z";
    later.finished = "2026-02-03T00:00:00Z";
    must(bs_results_commit(file, &b.record, 1, NULL, 0, &later, &err), &err);
    char *started = text_attribute("started"), *finished = text_attribute("finished");
    assert_string_equal(started, info.started);
    assert_string_equal(finished, later.finished);
    bs_free(started);
    bs_free(finished);
    struct bs_results results = read_back();
    assert_string_equal(results.config, config);
    bs_results_release(&results);
    must(bs_results_commit(file, NULL, 0, NULL, 0, &info, &err), &err);
    results = read_back();
    assert_string_equal(results.config, info.config);
    bs_results_release(&results);
    bs_free(config);
    /* What is not said stays. */
    must(bs_results_commit(file, NULL, 0, NULL, 0, &(struct bs_run_info){.config = "new"}, &err),
         &err);
    char *host = text_attribute("host"), *text = text_attribute("config");
    assert_string_equal(host, info.host);
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
        make_sample(&s, "a", 1);
        memset(s.record.row.grid + strlen(s.record.row.grid) + 1, 'x' + i, 5);
        memset(s.values[0].name + strlen(s.values[0].name) + 1, 'x' + i, 5);
        must(commit(&s, &err), &err);
        must(bs_file_read(file, &data[i], &size[i], &err), &err);
        unlink(file);
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
        make_sample(&s, id, i);
        must(commit(&s, &err), &err);
    }
    /* What earlier /trials took is used again: otherwise it would be 100 * 101 / 2 rows. */
    struct stat found;
    assert_int_equal(stat(file, &found), 0);
    assert_true(found.st_size < TRIALS * 8000);
}

static void test_bad_text(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    make_sample(&s, "a", 1);
    struct bs_row *row = &s.record.row;
    /* A text cut to its field in the middle of a character, and never ended. */
    memset(row->granularity, 'm', sizeof row->granularity);
    row->granularity[sizeof row->granularity - 2] = '\xc3';
    row->options = "\xff ok \xe2\x80\x94";
    must(commit(&s, &err), &err);
    struct bs_results results = read_back();
    assert_int_equal(strlen(results.rows[0].granularity), sizeof row->granularity - 1);
    assert_int_equal(results.rows[0].granularity[sizeof row->granularity - 2], '?');
    assert_string_equal(results.rows[0].options, "? ok \xe2\x80\x94");
    bs_results_release(&results);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

enum { NOISE = 200 * VALUES };

/* A commit of a trial of some 50 kB that will not compress, with files limited to `limit` bytes. */
static enum bs_status commit_limited(const char *id, rlim_t limit, struct bs_error *err)
{
    static float noise[NOISE];
    unsigned x = 1;
    for (int i = 0; i < NOISE; i++) {
        x = x * 1664525U + 1013904223U;
        noise[i] = (float)(x >> 8);
    }
    struct sample s;
    make_sample(&s, id, 2);
    s.record.row.windows = 200 * WINDOWS;
    s.figures = (struct bs_figures){.of = {[BS_NLL] = noise}};
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    struct rlimit small = {limit, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    enum bs_status status = commit(&s, err);
    setrlimit(RLIMIT_FSIZE, &old);
    return status;
}

/* The line of the first thing that is not as it should be, 0 for none. In a process of its own, so
 * that what HDF5 does as it exits is seen too. */
static int run_out_of_room(void)
{
    struct bs_error err;
    struct sample s;
    make_sample(&s, "a", 1);
    char *before, *after;
    size_t size, size_after;
    if (commit(&s, &err) || bs_file_read(file, &before, &size, &err))
        return __LINE__;
    int descriptors = open_descriptors(), failures = 0;
    /* A limit at many places: in the copy, and wherever HDF5 happens to write. */
    for (rlim_t limit = 0;; limit += 1500) {
        enum bs_status status = commit_limited("b", limit, &err);
        if (open_descriptors() != descriptors)
            return __LINE__;
        if (!status)
            break;
        failures += limit > size;
        if (status != BS_EIO || !strstr(err.message, file) ||
            !strstr(err.message, "File too large") || access(partial, F_OK) == 0)
            return __LINE__;
        if (bs_file_read(file, &after, &size_after, &err) || size != size_after ||
            memcmp(before, after, size))
            return __LINE__;
        bs_free(after);
    }
    bs_free(before);
    make_sample(&s, "c", 3); /* the process can go on */
    if (failures < 20 || commit(&s, &err))
        return __LINE__;
    return 0;
}

static void test_no_room(void **state)
{
    (void)state;
    char said[128];
    snprintf(said, sizeof said, "%s/said", folder);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen(said, "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(99);
        signal(SIGXFSZ, SIG_IGN);
        alarm(60);
        int line = run_out_of_room();
        if (line)
            fprintf(stderr, "line %d", line);
        exit(line != 0);
    }
    int exited;
    assert_int_equal(waitpid(child, &exited, 0), child);
    struct bs_error err;
    char *words;
    size_t size;
    must(bs_file_read(said, &words, &size, &err), &err);
    unlink(said);
    assert_string_equal(words, "");
    bs_free(words);
    assert_int_equal(exited, 0);
}

static void test_no_place(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    struct bs_results_lock *lock;
    struct bs_results results;
    make_sample(&s, "a", 1);
    must(commit(&s, &err), &err);
    char below[128];
    snprintf(below, sizeof below, "%s/x.h5", file);
    assert_int_equal(bs_results_commit(below, &s.record, 1, NULL, 0, &info, &err), BS_EIO);
    assert_int_equal(bs_results_lock_take(below, &lock, &err), BS_EIO);
    assert_null(lock);
    assert_int_equal(bs_results_read(below, &results, &err), BS_EIO);
    unlink(file);
    assert_int_equal(mkdir(file, 0777), 0);
    assert_int_equal(commit(&s, &err), BS_EIO);
    assert_int_equal(bs_results_lock_take(file, &lock, &err), BS_EIO);
    assert_int_equal(bs_results_read(file, &results, &err), BS_EIO);
    rmdir(file);
    /* A folder where the copy should go. */
    assert_int_equal(mkdir(partial, 0777), 0);
    assert_int_equal(commit(&s, &err), BS_EIO);
    assert_int_equal(rmdir(partial), 0);
    assert_int_equal(bs_results_read(file, &results, &err), BS_EIO);
    assert_non_null(strstr(err.message, "No such file"));
}

static void test_damaged(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    struct bs_results results;
    make_sample(&s, "a", 1);
    must(commit(&s, &err), &err);
    char *good;
    size_t size;
    must(bs_file_read(file, &good, &size, &err), &err);
    for (size_t cut = 0; cut < size; cut += 97) {
        assert_int_equal(truncate(file, (off_t)cut), 0);
        assert_int_equal(bs_results_read(file, &results, &err), BS_EDATA);
        assert_non_null(strstr(err.message, file));
        assert_int_equal(commit(&s, &err), BS_EDATA);
        struct stat found;
        assert_int_equal(stat(file, &found), 0);
        assert_int_equal(found.st_size, cut); /* left as it was, for the user to look at */
        FILE *out = fopen(file, "wb");
        assert_int_equal(fwrite(good, 1, size, out), size);
        fclose(out);
    }
    /* So is a changed byte, wherever it is, before HDF5 sees the file. */
    for (size_t place = 0; place < size; place += place < BS_SEAL_BYTES ? 1 : 7) {
        good[place] ^= 0x55;
        FILE *out = fopen(file, "wb");
        assert_int_equal(fwrite(good, 1, size, out), size);
        fclose(out);
        good[place] ^= 0x55;
        assert_int_equal(bs_results_read(file, &results, &err), BS_EDATA);
        assert_non_null(strstr(err.message, file));
        assert_non_null(strstr(err.message, "damaged"));
    }
    bs_free(good);
}

static void test_foreign(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results results;
    struct sample s;
    make_sample(&s, "a", 1);
    hid_t h5 = H5Fcreate(file, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(h5);
    assert_int_equal(bs_results_read(file, &results, &err), BS_EDATA);
    assert_int_equal(commit(&s, &err), BS_EDATA);
    unlink(file);
    must(commit(&s, &err), &err);
    h5 = H5Fopen(file, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(h5, "schema_version", H5P_DEFAULT);
    int version = 99;
    H5Awrite(attribute, H5T_NATIVE_INT, &version);
    H5Aclose(attribute);
    H5Fclose(h5);
    /* Another program's change is refused as damage is. */
    assert_int_equal(bs_results_read(file, &results, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "another program"));
    must(bs_seal_write(file, file, &err), &err);
    assert_int_equal(bs_results_read(file, &results, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "99"));
    assert_int_equal(commit(&s, &err), BS_EDATA);
}

/* Sound HDF5 that keeps an array anywhere but in the file is refused, as is one of a size that no
 * file could hold. */
static void test_elsewhere(void **state)
{
    (void)state;
    enum { SOFT_LINK, OTHER_FILE, VIRTUAL, EXTERNAL, ENORMOUS, KINDS };
    static const char *const said[KINDS] = {"is missing", "is missing", "not kept in this file",
                                            "not kept in this file", "more than the file can hold"};
    const char *place = "trial/a/evaluation/nll";
    struct bs_error err;
    struct sample s;
    make_sample(&s, "a", 1);
    for (int kind = 0; kind < KINDS; kind++) {
        must(commit(&s, &err), &err);
        struct bs_row row = s.record.row;
        if (kind == ENORMOUS)
            row.windows = 1 << 30;
        hsize_t dims[2] = {(hsize_t)row.windows, TOKENS - 1};
        hid_t h5 = H5Fopen(file, H5F_ACC_RDWR, H5P_DEFAULT);
        hid_t space = H5Screate_simple(2, dims, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
        H5Ldelete(h5, place, H5P_DEFAULT);
        if (kind == SOFT_LINK)
            H5Lcreate_soft("/trial/a/evaluation/kld", h5, place, H5P_DEFAULT, H5P_DEFAULT);
        if (kind == OTHER_FILE)
            H5Lcreate_external(file, "/trial/a/evaluation/kld", h5, place, H5P_DEFAULT,
                               H5P_DEFAULT);
        if (kind == VIRTUAL) /* made of itself: HDF5 would go round until the stack ends */
            H5Pset_virtual(create, space, ".", place, space);
        if (kind == EXTERNAL)
            H5Pset_external(create, "/dev/zero", 0, H5F_UNLIMITED);
        if (kind >= VIRTUAL)
            H5Dclose(
                H5Dcreate2(h5, place, H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT));
        H5Pclose(create);
        H5Sclose(space);
        H5Fclose(h5);
        must(bs_seal_write(file, file, &err), &err);
        void *nll;
        assert_int_equal(bs_results_read_figure(file, &row, BS_NLL, &nll, &err), BS_EDATA);
        assert_null(nll);
        assert_non_null(strstr(err.message, said[kind]));
        unlink(file);
    }
}

static void test_lock(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results_lock *lock, *second;
    must(bs_results_lock_take(file, &lock, &err), &err);
    assert_int_equal(bs_results_lock_take(file, &second, &err), BS_EIO);
    assert_non_null(strstr(err.message, "another run"));
    bs_results_unlock(lock);
    must(bs_results_lock_take(file, &lock, &err), &err);
    bs_results_unlock(lock);
    bs_results_unlock(NULL);
    /* The lock of a process that was killed does not outlive it. */
    pid_t child = fork();
    if (child == 0) {
        if (bs_results_lock_take(file, &lock, &err))
            _exit(1);
        _exit(0);
    }
    int exited;
    waitpid(child, &exited, 0);
    assert_int_equal(exited, 0);
    must(bs_results_lock_take(file, &lock, &err), &err);
    bs_results_unlock(lock);
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample a, b;
    make_sample(&a, "a", 1);
    make_sample(&b, "b", 2);
    must(commit(&a, &err), &err);
    bs_alloc_fail_at(0);
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = commit(&b, &err);
        long made = bs_alloc_fail_at(0);
        if (!status && made < n)
            break;
        if (!status) /* an allocation one can do without */
            break;
        assert_int_equal(status, BS_ENOMEM);
        assert_int_equal(access(partial, F_OK), -1);
    }
    for (long n = 1;; n++) {
        struct bs_results results;
        bs_alloc_fail_at(n);
        enum bs_status status = bs_results_read(file, &results, &err);
        bs_alloc_fail_at(0);
        if (!status) {
            bs_results_release(&results);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),      TEST(test_append_and_order),
        TEST(test_order_of_models), TEST(test_failed_is_replaced),
        TEST(test_attributes),      TEST(test_same_bytes),
        TEST(test_growth),          TEST(test_bad_text),
        TEST(test_no_room),         TEST(test_no_place),
        TEST(test_damaged),         TEST(test_foreign),
        TEST(test_elsewhere),       TEST(test_lock),
        TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
