/* The trials of several result files as one table. */
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/store/results_internal.h"

static bool same_number(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* The first value in which two finished trials differ; NULL where they are the same. */
static const struct bs_value_row *find_difference(const struct bs_row *a, const struct bs_row *b,
                                                  double *other)
{
    for (int v = 0; v < a->num_values; v++) {
        const struct bs_value_row *own = &a->values[v];
        const struct bs_value_row *theirs = bs_row_value(b, own->evaluation, own->name);
        *other = theirs ? theirs->value : (double)NAN;
        if (!theirs || !same_number(own->value, theirs->value) || !same_number(own->se, theirs->se))
            return own;
    }
    return NULL;
}

enum bs_status bs_rows_check_same(const struct bs_row *left, const struct bs_row *right,
                                  struct bs_error *err)
{
    double other, own;
    const struct bs_value_row *value = find_difference(left, right, &other);
    if (!value && !(value = find_difference(right, left, &own)))
        return BS_OK;
    own = bs_row_number(left, value->name);
    other = bs_row_number(right, value->name);
    return bs_fail(err, BS_EDATA,
                   "trial %s (%s, %s on %s) is in %s and in %s, and they differ: %s is %.17g and "
                   "%.17g (program %s and %s, processor %s and %s, numerics %s)",
                   left->id, left->label, left->model, left->text, left->file, right->file,
                   value->name, own, other, left->commit, right->commit, left->cpu, right->cpu,
                   left->numerics);
}

static struct bs_row *find(const struct bs_results *joined, const char *id)
{
    for (int i = 0; i < joined->num_rows; i++)
        if (!strcmp(joined->rows[i].id, id))
            return &joined->rows[i];
    return NULL;
}

/* Moves a row; nothing of it stays where it was. */
static void move_row(struct bs_row *to, struct bs_row *from)
{
    *to = *from;
    *from = (struct bs_row){.num_values = 0};
}

static void swap_rows(struct bs_row *a, struct bs_row *b)
{
    struct bs_row kept = *a;
    *a = *b;
    *b = kept;
}

/* Moves the trials of a part that no part before has, or has as failed ones; the others
 * go with the part. */
static enum bs_status take_part(struct bs_results *joined, struct bs_results *part,
                                struct bs_error *err)
{
    for (int i = 0; i < part->num_rows; i++) {
        struct bs_row *row = &part->rows[i], *old = find(joined, row->id);
        if (!old) {
            move_row(&joined->rows[joined->num_rows++], row);
            continue;
        }
        bool old_done = bs_row_is_done(old), new_done = bs_row_is_done(row);
        if (old_done && new_done && bs_rows_check_same(old, row, err))
            return err->status;
        if (!old_done && new_done)
            swap_rows(old, row);
    }
    return BS_OK;
}

static bool same_model(const struct bs_row *a, const struct bs_row *b)
{
    return !strcmp(a->model, b->model);
}

/* The rows of each model together, models in the order of their first, as one file has them. */
static enum bs_status put_by_model(struct bs_results *joined, struct bs_error *err)
{
    const struct bs_row *rows = joined->rows;
    struct bs_row *sorted = bs_alloc((size_t)joined->num_rows, sizeof *sorted);
    if (!sorted)
        return bs_fail_memory(err);
    int count = 0;
    for (int i = 0; i < joined->num_rows; i++) {
        bool begun = false;
        for (int k = 0; k < i && !begun; k++)
            begun = same_model(&rows[k], &rows[i]);
        for (int k = i; k < joined->num_rows && !begun; k++)
            if (same_model(&rows[k], &rows[i]))
                sorted[count++] = rows[k];
    }
    bs_free(joined->rows);
    joined->rows = sorted;
    return BS_OK;
}

static enum bs_status join(struct bs_results *joined, const char *const *paths,
                           struct bs_error *err)
{
    int most = 0;
    for (int p = 0; p < joined->num_parts; p++) {
        if (bs_results_read(paths[p], &joined->parts[p], err))
            return err->status;
        most += joined->parts[p].num_rows;
    }
    joined->path = bs_strdup(paths[0]);
    joined->config = bs_strdup(joined->parts[0].config);
    joined->rows = bs_calloc((size_t)most, sizeof *joined->rows);
    if (!joined->path || !joined->config || !joined->rows)
        return bs_fail_memory(err);
    for (int p = 0; p < joined->num_parts; p++)
        if (take_part(joined, &joined->parts[p], err))
            return err->status;
    if (put_by_model(joined, err))
        return err->status;
    return bs_rows_label(joined->rows, joined->num_rows, err);
}

enum bs_status bs_results_read_all(const char *const *paths, int count, struct bs_results *results,
                                   struct bs_error *err)
{
    if (count == 1)
        return bs_results_read(paths[0], results, err);
    *results = (struct bs_results){.schema_version = BS_SCHEMA_VERSION};
    results->parts = bs_calloc((size_t)count, sizeof *results->parts);
    results->num_parts = results->parts ? count : 0;
    enum bs_status status = results->parts ? join(results, paths, err) : bs_fail_memory(err);
    if (status)
        bs_results_release(results);
    return status;
}
