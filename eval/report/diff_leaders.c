/* The best of trials of equally many bits against those that come next. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/diff_internal.h"
#include "eval/tasks/evaluation.h"

enum { MOST_RIVALS = 4 };

/* A trial, or all that differ in the seed of their calibration only. */
struct party {
    const struct bs_row *first;
    double worth; /* the mean of what is compared; higher is better */
    int place;
};

static bool same_field(const struct bs_row *a, const struct bs_row *b)
{
    return bs_rows_same_subject(a, b) && a->bits == b->bits &&
           a->activation_bits == b->activation_bits && a->kv_code_bits == b->kv_code_bits;
}

static bool competes(const struct bs_row *row)
{
    return bs_row_is_done(row) && strcmp(row->algorithm, "unquantized");
}

/* Those of the shown trials that are one party with this one; how many. */
static int collect(const struct bs_trials *shown, const struct bs_row *first,
                   const struct bs_row **rows)
{
    int count = 0;
    if (!bs_trials_whole_group(shown, first)) {
        rows[count++] = first;
        return count;
    }
    for (int i = 0; i < shown->results.num_rows; i++) {
        const struct bs_row *row = &shown->results.rows[i];
        if (row == first || (bs_row_is_done(row) && bs_rows_group(row, first)))
            rows[count++] = row;
    }
    return count;
}

/* NaN where the trial was not measured by it. */
static double worth_of(const struct bs_row *const *rows, int count)
{
    bool words = isfinite(bs_row_number(rows[0], bs_target_perplexity));
    bool of_items = bs_evaluation_has_answers(rows[0]->evaluation) && !words;
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += bs_row_number(rows[i], of_items ? "acc"
                                      : words  ? bs_target_perplexity
                                               : "perplexity");
    return (of_items ? sum : -sum) / count;
}

static int by_worth(const void *left, const void *right)
{
    const struct party *a = left, *b = right;
    if (a->worth > b->worth || a->worth < b->worth)
        return a->worth > b->worth ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

/* Lists the parties of the field that trial `begin` is of, best first, in `parties`. */
static int list_field(const struct bs_trials *shown, int begin, const struct bs_row **rows,
                      struct party *parties)
{
    int count = 0;
    for (int i = begin; i < shown->results.num_rows; i++) {
        const struct bs_row *row = &shown->results.rows[i];
        if (!competes(row) || !same_field(row, &shown->results.rows[begin]) ||
            bs_trials_is_told(shown, i))
            continue;
        double worth = worth_of(rows, collect(shown, row, rows));
        if (isfinite(worth))
            parties[count++] = (struct party){row, worth, i};
    }
    if (count)
        qsort(parties, (size_t)count, sizeof *parties, by_worth);
    return count;
}

static bool begins_field(const struct bs_results *results, int trial)
{
    for (int i = 0; i < trial; i++)
        if (competes(&results->rows[i]) && same_field(&results->rows[i], &results->rows[trial]))
            return false;
    return competes(&results->rows[trial]);
}

enum bs_status bs_pairs_leaders(struct bs_pairs *pairs, const struct bs_trials *shown,
                                struct bs_error *err)
{
    size_t most = (size_t)shown->results.num_rows;
    struct party *parties = bs_alloc(most, sizeof *parties);
    const struct bs_row **a = bs_alloc(most, sizeof *a), **b = bs_alloc(most, sizeof *b);
    enum bs_status status = parties && a && b ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < shown->results.num_rows && !status; i++) {
        if (!begins_field(&shown->results, i))
            continue;
        int count = list_field(shown, i, a, parties);
        for (int k = 1; k < count && k <= MOST_RIVALS && !status; k++)
            status = bs_pairs_add(pairs, a, collect(shown, parties[0].first, a), b,
                                  collect(shown, parties[k].first, b), err);
    }
    if (!status)
        status = bs_pairs_settle(pairs, err);
    bs_free(parties);
    bs_free((void *)a);
    bs_free((void *)b);
    return status;
}
