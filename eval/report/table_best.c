/* Which cells of a table are the best of their column, as far as can be told. */
#include "eval/report/table_internal.h"

#include <math.h>
#include <stdio.h>

#include "eval/base/mem.h"

/* Of the paired difference, else of the value itself; NaN where it is not known. */
static double se_of(const struct bs_row *row, const char *name)
{
    char delta[64];
    snprintf(delta, sizeof delta, "%s_delta", name);
    const struct bs_value_row *value = bs_row_value(row, NULL, delta);
    if (!value)
        value = bs_row_value(row, NULL, name);
    return value && isfinite(value->se) ? value->se : (double)NAN;
}

enum bs_status bs_contest_add(struct bs_contest *contest, const struct bs_sheet *sheet,
                              const struct bs_column *column, int column_number, int block,
                              const struct bs_row *row, struct bs_error *err)
{
    double value = column->field ? (double)NAN : bs_column_number(column, row);
    const struct bs_value_type *type = bs_value_type_find(row->evaluation, column->name);
    double se = se_of(row, column->name);
    if (!type || !type->direction || !isfinite(value) || isnan(se))
        return BS_OK;
    struct bs_contender *more = bs_realloc(contest->contenders, (size_t)contest->count,
                                           (size_t)contest->count + 1, sizeof *contest->contenders);
    if (!more)
        return bs_fail_memory(err);
    contest->contenders = more;
    more[contest->count++] = (struct bs_contender){.cell = sheet->num_cells,
                                                   .column = column_number,
                                                   .block = block,
                                                   .direction = type->direction,
                                                   .value = value,
                                                   .se = se};
    return BS_OK;
}

/* The best that the contender is held against; itself where there is no other. */
static const struct bs_contender *best_of(const struct bs_contest *contest,
                                          const struct bs_contender *own)
{
    const struct bs_contender *best = own;
    for (int i = 0; i < contest->count; i++) {
        const struct bs_contender *other = &contest->contenders[i];
        if (other->column != own->column || other->block != own->block)
            continue;
        if (other->direction * (other->value - best->value) > 0)
            best = other;
    }
    return best;
}

/* Whether the contender is the best, or cannot be told from it. */
static bool is_best(const struct bs_contest *contest, const struct bs_contender *own)
{
    const struct bs_contender *best = best_of(contest, own);
    double noise = 2 * sqrt(own->se * own->se + best->se * best->se);
    return fabs(own->value - best->value) <= noise;
}

/* Whether any of its column and block is worse. */
static bool has_worse(const struct bs_contest *contest, const struct bs_contender *own)
{
    for (int i = 0; i < contest->count; i++) {
        const struct bs_contender *other = &contest->contenders[i];
        if (other->column == own->column && other->block == own->block && !is_best(contest, other))
            return true;
    }
    return false;
}

bool bs_contest_settle(struct bs_contest *contest, struct bs_sheet *sheet)
{
    bool any = false;
    for (int i = 0; i < contest->count; i++) {
        const struct bs_contender *own = &contest->contenders[i];
        if (own->cell >= sheet->num_cells || !is_best(contest, own) || !has_worse(contest, own))
            continue;
        sheet->cells[own->cell].is_best = true;
        any = true;
    }
    bs_free(contest->contenders);
    *contest = (struct bs_contest){.count = 0};
    return any;
}
