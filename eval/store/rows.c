/* What the rows of a result file are called, and which of them belong together. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/store/results.h"

static const char *text_of(const char *text) { return text ? text : ""; }

static bool same(const char *a, const char *b) { return !strcmp(text_of(a), text_of(b)); }

static bool is_calibrated(const struct bs_row *row) { return row->calibration_windows > 0; }

bool bs_row_is_done(const struct bs_row *row) { return !strcmp(row->status, "done"); }

bool bs_rows_same_subject(const struct bs_row *a, const struct bs_row *b)
{
    return same(a->model, b->model) && same(a->model_digest, b->model_digest) &&
           same(a->numerics, b->numerics) && bs_rows_comparable(a, b);
}

bool bs_rows_drawn_alike(const struct bs_row *a, const struct bs_row *b)
{
    return is_calibrated(a) && is_calibrated(b) && a->calibration_seed >= 0 &&
           b->calibration_seed >= 0 &&
           same(a->calibration_text_digest, b->calibration_text_digest) &&
           same(a->calibration_sampling, b->calibration_sampling) &&
           a->calibration_windows == b->calibration_windows &&
           a->calibration_tokens == b->calibration_tokens &&
           a->calibration_documents == b->calibration_documents;
}

bool bs_rows_group(const struct bs_row *a, const struct bs_row *b)
{
    return same(a->recipe, b->recipe) && bs_rows_drawn_alike(a, b) && bs_rows_same_subject(a, b);
}

/* ---- labels ---- */

/* In what the calibrations of a file differ, and whether its numerics do. */
struct differences {
    bool text, bytes, sampling, extent, documents, seed;
    bool numerics;
};

static struct differences find_differences(const struct bs_row *rows, int num_rows)
{
    struct differences d = {false};
    const struct bs_row *first = NULL;
    for (int i = 0; i < num_rows; i++) {
        const struct bs_row *row = &rows[i];
        d.numerics |= !same(rows[0].numerics, row->numerics);
        if (!is_calibrated(row))
            continue;
        first = first ? first : row;
        d.text |= !same(first->calibration_text, row->calibration_text);
        d.bytes |= !same(first->calibration_text_digest, row->calibration_text_digest);
        d.sampling |= !same(first->calibration_sampling, row->calibration_sampling);
        d.extent |= first->calibration_windows != row->calibration_windows ||
                    first->calibration_tokens != row->calibration_tokens;
        d.documents |= first->calibration_documents != row->calibration_documents;
        d.seed |= first->calibration_seed != row->calibration_seed;
    }
    return d;
}

static void print_calibration(const struct differences *d, const struct bs_row *row, FILE *out)
{
    if (!is_calibrated(row))
        return;
    if (d->text || d->bytes)
        fprintf(out, " cal=%s", bs_path_name(text_of(row->calibration_text)));
    if (d->bytes)
        fprintf(out, "@%.8s", row->calibration_text_digest);
    if (d->sampling)
        fprintf(out, " %s", row->calibration_sampling);
    if (d->extent)
        fprintf(out, "%s%dx%d", d->text || d->bytes ? " " : " cal=", row->calibration_windows,
                row->calibration_tokens);
    if (d->documents && row->calibration_documents)
        fprintf(out, " documents=%d", row->calibration_documents);
    if (d->seed && row->calibration_seed >= 0)
        fprintf(out, " seed=%d", row->calibration_seed);
}

bool bs_rows_share_name(const struct bs_row *rows, int num_rows, const struct bs_row *row)
{
    for (int i = 0; i < num_rows; i++)
        if (same(rows[i].model, row->model) && !same(rows[i].model_digest, row->model_digest))
            return true;
    return false;
}

/* Replaces the label, which is the row's own. */
static void replace_label(struct bs_row *row, char *label)
{
    char *old;
    memcpy(&old, &row->label, sizeof old);
    bs_free(old);
    row->label = label;
}

/* The same; NULL = memory has run out. */
static enum bs_status set_label(struct bs_row *row, char *label, struct bs_error *err)
{
    replace_label(row, label);
    return label ? BS_OK : bs_fail_memory(err);
}

/* In new memory, NULL where it has run out. `shared`: another model has the name of the row's. */
static char *label_of(const struct bs_row *row, const struct differences *d, bool shared)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return NULL;
    fputs(text_of(row->recipe), out);
    print_calibration(d, row, out);
    if (d->numerics)
        fprintf(out, " numerics=%s", row->numerics);
    if (shared)
        fprintf(out, " model=%.8s", row->model_digest);
    return bs_print_end(&printing);
}

static int by_label(const void *left, const void *right)
{
    const struct bs_row *a = *(struct bs_row *const *)left, *b = *(struct bs_row *const *)right;
    int order = strcmp(text_of(a->label), text_of(b->label));
    return order ? order : strcmp(text_of(a->model), text_of(b->model));
}

/* What tells rows[at] from those of rows[first .. end) that are of its subject and have its label,
 * in new memory: the name of its file, where each of them has another, else its id. */
static char *parted(struct bs_row **rows, int first, int end, int at)
{
    const char *file = bs_path_name(text_of(rows[at]->file));
    bool by_file = *file;
    for (int k = first; k < end; k++)
        by_file &= k == at || !bs_rows_same_subject(rows[at], rows[k]) ||
                   !same(file, bs_path_name(text_of(rows[k]->file)));
    return by_file ? bs_printf("%s file=%s", text_of(rows[at]->label), file)
                   : bs_printf("%s id=%.8s", text_of(rows[at]->label), rows[at]->id);
}

/* Rows that nothing above tells apart, as after a change of the program. */
static enum bs_status part_equals(struct bs_row **sorted, int count, struct bs_error *err)
{
    for (int first = 0, end; first < count; first = end) {
        end = first + 1;
        while (end < count && !by_label(&sorted[first], &sorted[end]))
            end++;
        for (int i = first; i < end; i++) {
            bool twice = false;
            for (int k = first; k < end; k++)
                twice |= k != i && bs_rows_same_subject(sorted[i], sorted[k]);
            if (twice && set_label(sorted[i], parted(sorted, first, end, i), err))
                return err->status;
        }
    }
    return BS_OK;
}

/* ---- spread over calibrations ---- */

/* The deviation of the rows' values of this kind, NaN for fewer than two. */
static double deviation(const struct bs_row *const *rows, int count,
                        const struct bs_value_row *kind)
{
    double mean = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++) {
            const struct bs_value_row *own = bs_row_value(rows[i], kind->evaluation, kind->name);
            double value = own ? own->value : (double)NAN;
            if (!pass)
                mean += value / count;
            else
                squares += (value - mean) * (value - mean);
        }
    return count > 1 ? sqrt(squares / (count - 1)) : (double)NAN;
}

const struct bs_value_row *bs_row_value(const struct bs_row *row, const char *evaluation,
                                        const char *name)
{
    for (int v = 0; v < row->num_values; v++)
        if (!strcmp(row->values[v].name, name) &&
            (!evaluation || !strcmp(row->values[v].evaluation, evaluation)))
            return &row->values[v];
    return NULL;
}

double bs_row_number(const struct bs_row *row, const char *name)
{
    const struct bs_value_row *value = bs_row_value(row, NULL, name);
    return value ? value->value : (double)NAN;
}

/* The first finished trial of the row's group with row i's seed is row i. */
static bool is_member(const struct bs_row *rows, int i, const struct bs_row *row)
{
    if (!bs_row_is_done(&rows[i]) || !bs_rows_group(&rows[i], row))
        return false;
    for (int k = 0; k < i; k++)
        if (rows[k].calibration_seed == rows[i].calibration_seed && bs_row_is_done(&rows[k]) &&
            bs_rows_group(&rows[k], row))
            return false;
    return true;
}

/* Over the trials of the row's group, one a seed. */
static void measure_spread(const struct bs_row *rows, int num_rows, struct bs_row *row,
                           const struct bs_row **members)
{
    int count = 0;
    for (int i = 0; i < num_rows && row->calibration_seed >= 0; i++)
        if (is_member(rows, i, row))
            members[count++] = &rows[i];
    row->calibrations = count;
    for (int v = 0; v < row->num_values; v++)
        row->values[v].calibration_sd = deviation(members, count, &row->values[v]);
}

enum bs_status bs_rows_label(struct bs_row *rows, int num_rows, struct bs_error *err)
{
    struct differences d = find_differences(rows, num_rows);
    enum bs_status status = BS_OK;
    bool shared = false;
    for (int i = 0; i < num_rows && !status; i++) {
        bool other = i == 0 || !same(rows[i].model, rows[i - 1].model);
        if (other) /* rows stand by model */
            shared = bs_rows_share_name(rows, num_rows, &rows[i]);
        status = set_label(&rows[i], label_of(&rows[i], &d, shared), err);
    }
    struct bs_row **sorted = bs_alloc((size_t)num_rows, sizeof(struct bs_row *));
    const struct bs_row **members = bs_alloc((size_t)num_rows, sizeof(const struct bs_row *));
    if (!status && (!sorted || !members))
        status = bs_fail_memory(err);
    for (int i = 0; i < num_rows && !status; i++) {
        sorted[i] = &rows[i];
        measure_spread(rows, num_rows, &rows[i], members);
    }
    if (!status) {
        qsort(sorted, (size_t)num_rows, sizeof(struct bs_row *), by_label);
        status = part_equals(sorted, num_rows, err);
    }
    bs_free(members);
    bs_free(sorted);
    return status;
}

bool bs_rows_whole_group(const struct bs_row *rows, int num_rows, const struct bs_row *row)
{
    int count = 0;
    for (int i = 0; i < num_rows; i++)
        count += bs_rows_group(&rows[i], row) && bs_row_is_done(&rows[i]);
    return row->calibrations > 1 && count >= row->calibrations;
}

void bs_rows_mean_release(struct bs_row *mean)
{
    bs_free(mean->values);
    mean->values = NULL;
    replace_label(mean, NULL);
}

enum bs_status bs_rows_mean(const struct bs_row *rows, int num_rows, const struct bs_row *row,
                            struct bs_row *mean, struct bs_error *err)
{
    struct differences d = find_differences(rows, num_rows);
    d.seed = false;
    *mean = *row;
    mean->label = label_of(row, &d, bs_rows_share_name(rows, num_rows, row));
    mean->values = bs_alloc((size_t)row->num_values, sizeof *mean->values);
    if (!mean->label || !mean->values) {
        bs_rows_mean_release(mean);
        return bs_fail_memory(err);
    }
    mean->seconds_quantize = mean->seconds_evaluate = 0;
    for (int v = 0; v < row->num_values; v++) {
        mean->values[v] = row->values[v];
        mean->values[v].value = mean->values[v].se = 0;
    }
    for (int i = 0; i < num_rows; i++) {
        if (!is_member(rows, i, row))
            continue;
        mean->seconds_quantize += rows[i].seconds_quantize / row->calibrations;
        mean->seconds_evaluate += rows[i].seconds_evaluate / row->calibrations;
        for (int v = 0; v < row->num_values; v++) {
            struct bs_value_row *sum = &mean->values[v];
            const struct bs_value_row *own = bs_row_value(&rows[i], sum->evaluation, sum->name);
            sum->value += own ? own->value / row->calibrations : (double)NAN;
            sum->se += own ? own->se / row->calibrations : (double)NAN;
        }
    }
    return BS_OK;
}
