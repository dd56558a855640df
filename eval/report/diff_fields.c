/* Compared trials for programs, a row a pair: every field, and every value of both sides. */
#include <assert.h>
#include <math.h>

#include "eval/report/diff_internal.h"
#include "eval/tasks/evaluation.h"

/* Every value of both trials and its change, paired with its standard error where it is, but for
 * the perplexities, which stand before as the tokens give them, and of which the change alone is
 * here. */
static void add_value_fields(struct bs_sheet *sheet, const struct bs_columns *columns,
                             const struct bs_row *a, const struct bs_row *b,
                             const struct bs_pair *pair)
{
    const double none = (double)NAN;
    for (int c = 0; c < columns->count; c++) {
        const struct bs_column *column = &columns->columns[c];
        double of_a = pair ? bs_diff_mean(column, pair->a, pair->num_a).mean
                      : a  ? bs_column_number(column, a)
                           : none;
        double of_b = pair ? bs_diff_mean(column, pair->b, pair->num_b).mean
                      : b  ? bs_column_number(column, b)
                           : none;
        bs_sheet_double(sheet, of_a);
        bs_sheet_double(sheet, of_b);
        bs_sheet_double(sheet, of_b - of_a);
        if (bs_diff_is_paired(column))
            bs_sheet_double(sheet, pair ? pair->divergence.se : none);
    }
    bool of_tokens = pair && pair->what == BS_COMPARE_TOKENS;
    bs_sheet_double(sheet, of_tokens ? pair->value_b.mean - pair->value_a.mean : none);
}

/* The perplexity of one side: of the pair's tokens, else as the trial has it. */
static void add_perplexity(struct bs_sheet *sheet, const struct bs_mean *of_pair,
                           const struct bs_row *row)
{
    const struct bs_value_row *own = row ? bs_row_value(row, NULL, "perplexity") : NULL;
    const double none = (double)NAN;
    bs_sheet_double(sheet, of_pair ? of_pair->mean : own ? own->value : none);
    bs_sheet_double(sheet, of_pair ? of_pair->se : own ? own->se : none);
}

/* By what p was found. */
static const char *test_of(const struct bs_pair *pair)
{
    if (!pair)
        return "";
    if (pair->what == BS_COMPARE_RIGHT && pair->num_a + pair->num_b == 2)
        return pair->changes.exact ? "McNemar exact" : "McNemar";
    return pair->flipped ? "sign flips" : "t";
}

/* Items that turned, and the interval of the difference. */
static void add_item_fields(struct bs_sheet *sheet, const struct bs_pair *pair)
{
    const double none = (double)NAN;
    bool of_items = pair && pair->what != BS_COMPARE_TOKENS;
    bool one_each = of_items && pair->what == BS_COMPARE_RIGHT && pair->num_a + pair->num_b == 2;
    bs_sheet_double(sheet, of_items ? pair->changes.items : none);
    bs_sheet_double(sheet, one_each ? pair->changes.flips.lost : none);
    bs_sheet_double(sheet, one_each ? pair->changes.flips.gained : none);
    bs_sheet_double(sheet, of_items ? pair->changes.interval.low : none);
    bs_sheet_double(sheet, of_items ? pair->changes.interval.high : none);
}

/* The trial's label; of several calibrations their recipe. */
static void add_label(struct bs_sheet *sheet, const struct bs_row *row, int num_rows)
{
    bs_sheet_text(sheet, "%s", !row ? "" : num_rows > 1 ? row->recipe : row->label);
}

/* One row for programs: the trials as A and B have them, NULL where one does not. */
static void add_fields(struct bs_sheet *sheet, const struct bs_columns *columns,
                       const struct bs_row *a, const struct bs_row *b, const struct bs_pair *pair,
                       const char *compared, const char *pairing)
{
    const double none = (double)NAN;
    const struct bs_row *either = a ? a : b;
    assert(either);
    add_label(sheet, a, pair ? pair->num_a : 1);
    add_label(sheet, b, pair ? pair->num_b : 1);
    bs_sheet_text(sheet, "%s", either->model);
    bs_sheet_text(sheet, "%s", either->text);
    bs_sheet_text(sheet, "%s", either->evaluation);
    bs_sheet_text(sheet, "%s", either->protocol);
    bs_sheet_text(sheet, "%s", either->pick);
    bs_sheet_int(sheet, either->stride);
    bs_sheet_int(sheet, either->windows);
    bs_sheet_int(sheet, either->tokens);
    bs_sheet_text(sheet, "%s", a ? a->numerics : "");
    bs_sheet_text(sheet, "%s", b ? b->numerics : "");
    bs_sheet_text(sheet, "%s", a ? a->id : "");
    bs_sheet_text(sheet, "%s", b ? b->id : "");
    bs_sheet_text(sheet, "%s", pairing);
    bs_sheet_int(sheet, pair ? pair->num_a : a != NULL);
    bs_sheet_int(sheet, pair ? pair->num_b : b != NULL);
    add_perplexity(sheet, pair && pair->what == BS_COMPARE_TOKENS ? &pair->value_a : NULL, a);
    add_perplexity(sheet, pair && pair->what == BS_COMPARE_TOKENS ? &pair->value_b : NULL, b);
    bs_sheet_double(sheet, pair ? pair->difference.mean : none);
    bs_sheet_double(sheet, pair ? pair->difference.se : none);
    bs_sheet_double(sheet, pair ? pair->calibration_se : none);
    bs_sheet_double(sheet, pair ? pair->t : none);
    bs_sheet_double(sheet, pair ? pair->df : none);
    bs_sheet_text(sheet, "%s", test_of(pair));
    bs_sheet_int(sheet, pair ? pair->blocks : 0);
    bs_sheet_double(sheet, pair ? pair->p : none);
    bs_sheet_double(sheet, pair ? pair->p_holm : none);
    bs_sheet_text(sheet, "%s", compared);
    add_item_fields(sheet, pair);
    add_value_fields(sheet, columns, a, b, pair);
    bs_sheet_int(sheet, pair && pair->identical);
}

/* What would be compared of a trial that stands in no pair. */
static enum bs_compared compared_of(const struct bs_pairs *pairs, const struct bs_row *row)
{
    if (!bs_evaluation_has_answers(row->evaluation))
        return BS_COMPARE_TOKENS;
    return pairs->asked[BS_COMPARE_RIGHT] ? BS_COMPARE_RIGHT : BS_COMPARE_WORDS;
}

static void add_single(struct bs_sheet *sheet, const struct bs_columns *columns,
                       const struct bs_pairs *pairs, bool of_a)
{
    const struct bs_results *from = of_a ? pairs->a : pairs->b;
    const bool *paired = of_a ? pairs->paired_a : pairs->paired_b;
    const bool *open = of_a ? pairs->open_a : pairs->open_b;
    for (int i = 0; i < from->num_rows; i++) {
        const struct bs_row *row = &from->rows[i];
        if (bs_row_is_done(row) && !paired[i])
            add_fields(sheet, columns, of_a ? row : NULL, of_a ? NULL : row, NULL,
                       bs_diff_value(pairs, compared_of(pairs, row)),
                       open[i] ? "several candidates"
                       : of_a  ? "only in A"
                               : "only in B");
    }
}

void bs_diff_fields_sheet(const struct bs_pairs *pairs, const struct bs_columns *columns,
                          struct bs_sheet *sheet)
{
    static const char *const headings[] = {
        "label_a",
        "label_b",
        "model",
        "text",
        "evaluation",
        "protocol",
        "pick",
        "stride",
        "windows",
        "tokens",
        "numerics_a",
        "numerics_b",
        "id_a",
        "id_b",
        "pairing",
        "calibrations_a",
        "calibrations_b",
        "perplexity_a",
        "perplexity_a_se",
        "perplexity_b",
        "perplexity_b_se",
        "difference",
        "difference_se",
        "difference_calibration_se",
        "t",
        "df",
        "test",
        "blocks",
        "p",
        "p_corrected",
        "compared",
        "items",
        "lost",
        "gained",
        "interval_low",
        "interval_high",
    };
    enum { COLUMNS = sizeof headings / sizeof *headings };
    bs_sheet_init(sheet, COLUMNS + columns->count + bs_diff_num_values(columns) + 2);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(sheet, "%s", headings[j]);
    for (int c = 0; c < columns->count; c++) {
        bs_sheet_text(sheet, "%s_a", columns->columns[c].name);
        bs_sheet_text(sheet, "%s_b", columns->columns[c].name);
        bs_sheet_text(sheet, "delta_%s", columns->columns[c].name);
        if (bs_diff_is_paired(&columns->columns[c]))
            bs_sheet_text(sheet, "delta_%s_se", columns->columns[c].name);
    }
    bs_sheet_text(sheet, "delta_perplexity");
    bs_sheet_text(sheet, "identical");
    for (int i = 0; i < pairs->num_pairs; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        add_fields(sheet, columns, pair->a[0], pair->b[0], pair, bs_diff_value(pairs, pair->what),
                   "paired");
    }
    for (int i = pairs->num_pairs; i < pairs->num_pairs + pairs->num_unmeasured; i++)
        add_fields(sheet, columns, pairs->pairs[i].a[0], pairs->pairs[i].b[0], NULL,
                   bs_diff_value(pairs, compared_of(pairs, pairs->pairs[i].a[0])), "not measured");
    for (int side = 0; side < 2 && !pairs->between[0]; side++)
        add_single(sheet, columns, pairs, side == 0);
}

enum bs_status bs_diff_print_fields(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                    enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct bs_sheet sheet;
    bs_diff_fields_sheet(pairs, columns, &sheet);
    int significant = 0, identical = 0;
    for (int what = 0; what < BS_NUM_COMPARED; what++) {
        struct bs_diff_counts counts = bs_diff_count(pairs, (enum bs_compared)what);
        significant += counts.significant;
        identical += counts.identical;
    }
    enum bs_status status;
    if (style != BS_TABLE_JSON)
        status = bs_sheet_print(&sheet, style, out, err);
    else
        status = bs_json_print(json_pack("{s:i, s:i, s:i, s:o}", "compared", pairs->num_pairs,
                                         "significant", significant, "identical", identical,
                                         "trials", bs_sheet_json(&sheet)),
                               out, err);
    bs_sheet_release(&sheet);
    return status;
}
