/* Which trials of one file are held against each other: those that names pick out. */
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/option.h"
#include "eval/report/diff_internal.h"

/* One side of pairs: a trial, or the trials of several seeds. */
struct party {
    int first, count; /* in the side's rows */
};

/* What a name picks out. */
struct side {
    const struct bs_row **rows; /* [num_rows], those of a party together */
    struct party *parties;
    int num_rows, num_parties;
};

/* True for a text that is the pattern, in which each `*` stands for any letters. */
static bool fits(const char *pattern, const char *text)
{
    const char *star = NULL, *from = text;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static void add_party(struct side *side, const struct bs_row *row)
{
    side->parties[side->num_parties++] = (struct party){side->num_rows, 1};
    side->rows[side->num_rows++] = row;
}

/* Trials whose label or id is called so. */
static void pick_labels(const struct bs_results *results, const char *name, struct side *side)
{
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        if (bs_row_is_done(row) && (fits(name, row->label) || !strcmp(name, row->id)))
            add_party(side, row);
    }
}

/* Recipes that are called so, the trials of all seeds of each together. */
static void pick_recipes(const struct bs_results *results, const char *name, struct side *side)
{
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        bool told = !bs_row_is_done(row) || !fits(name, row->recipe);
        for (int k = 0; k < side->num_rows && !told; k++)
            told = side->rows[k] == row;
        if (told)
            continue;
        add_party(side, row);
        for (int k = i + 1; k < results->num_rows; k++)
            if (bs_row_is_done(&results->rows[k]) && bs_rows_group(row, &results->rows[k])) {
                side->parties[side->num_parties - 1].count++;
                side->rows[side->num_rows++] = &results->rows[k];
            }
    }
}

static bool fits_any(const char *name, const struct bs_row *row)
{
    return fits(name, row->label) || fits(name, row->recipe) || !strcmp(name, row->id);
}

/* Trials that failed and that one of the names fits. */
static int count_failed(const struct bs_results *results, const char *first, const char *second)
{
    int count = 0;
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        count += !bs_row_is_done(row) && (fits_any(first, row) || fits_any(second, row));
    }
    return count;
}

static enum bs_status fail_unknown(const struct bs_results *results, const char *name,
                                   struct bs_error *err)
{
    if (count_failed(results, name, name))
        return bs_fail(err, BS_ECONFIG, "%s: what is called '%.120s' failed: nothing to compare",
                       results->path, name);
    const char **labels = bs_alloc((size_t)results->num_rows + 1, sizeof *labels);
    if (!labels)
        return bs_fail_memory(err);
    int count = 0;
    for (int i = 0; i < results->num_rows; i++)
        if (bs_row_is_done(&results->rows[i]))
            labels[count++] = results->rows[i].label;
    labels[count] = NULL;
    const char *near = bs_nearest_word(name, labels);
    enum bs_status status =
        bs_fail(err, BS_ECONFIG, "%s: no trial is called '%.120s'%s%.120s%s", results->path, name,
                near ? ", did you mean '" : "; `bitsweep table` lists them", near ? near : "",
                near ? "'?" : "");
    bs_free((void *)labels);
    return status;
}

static enum bs_status pick(const struct bs_results *results, const char *name, struct side *side,
                           struct bs_error *err)
{
    size_t rows = (size_t)results->num_rows;
    *side = (struct side){.rows = bs_alloc(rows, sizeof(const struct bs_row *)),
                          .parties = bs_alloc(rows, sizeof *side->parties)};
    if (!side->rows || !side->parties)
        return bs_fail_memory(err);
    pick_labels(results, name, side);
    if (!side->num_parties)
        pick_recipes(results, name, side);
    return side->num_parties ? BS_OK : fail_unknown(results, name, err);
}

/* Whether a trial is in both parties. */
static bool overlap(const struct bs_row *const *a, int num_a, const struct bs_row *const *b,
                    int num_b)
{
    for (int i = 0; i < num_a; i++)
        for (int k = 0; k < num_b; k++)
            if (a[i] == b[k])
                return true;
    return false;
}

/* Whether two parties that share no trial are of one model and measured alike, and no pair yet. */
static bool belong(const struct bs_pairs *pairs, const struct bs_row *a, const struct bs_row *b)
{
    if (strcmp(a->model, b->model) || !bs_rows_comparable(a, b))
        return false;
    for (int i = 0; i < pairs->num_pairs; i++)
        if (pairs->pairs[i].a[0] == b && pairs->pairs[i].b[0] == a)
            return false;
    return true;
}

static enum bs_status pair_sides(struct bs_pairs *pairs, const struct side *a, const struct side *b,
                                 struct bs_error *err)
{
    for (int i = 0; i < a->num_parties; i++)
        for (int k = 0; k < b->num_parties; k++) {
            const struct party *left = &a->parties[i], *right = &b->parties[k];
            const struct bs_row *const *of_a = a->rows + left->first;
            const struct bs_row *const *of_b = b->rows + right->first;
            if (!overlap(of_a, left->count, of_b, right->count) && belong(pairs, *of_a, *of_b) &&
                bs_pairs_add(pairs, of_a, left->count, of_b, right->count, err))
                return err->status;
        }
    if (pairs->num_pairs)
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "%s: '%.120s' and '%.120s' have nothing to compare: expected two trials of one "
                   "model, measured on the same text in the same way",
                   pairs->a->path, pairs->between[0], pairs->between[1]);
}

enum bs_status bs_pairs_between(struct bs_pairs *pairs, struct bs_error *err)
{
    struct side a, b = {.num_rows = 0};
    pairs->num_failed = count_failed(pairs->a, pairs->between[0], pairs->between[1]);
    enum bs_status status = pick(pairs->a, pairs->between[0], &a, err);
    if (!status)
        status = pick(pairs->a, pairs->between[1], &b, err);
    if (!status)
        status = pair_sides(pairs, &a, &b, err);
    if (!status)
        status = bs_pairs_settle(pairs, err);
    bs_free((void *)a.rows);
    bs_free(a.parties);
    bs_free((void *)b.rows);
    bs_free(b.parties);
    return status;
}
