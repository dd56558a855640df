/* Two result files side by side, paired token by token. */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/numerics.h"
#include "eval/report/columns.h"
#include "eval/report/diff_internal.h"
#include "eval/report/sheet.h"
#include "eval/report/table.h"
#include "eval/tasks/evaluation.h"

/* Both finished, of the same model and text. */
static bool same_text(const struct bs_pairs *pairs, const struct bs_row *row,
                      const struct bs_row *other)
{
    return bs_row_is_done(row) && bs_row_is_done(other) && !strcmp(other->text, row->text) &&
           (!pairs->by_model || !strcmp(other->model, row->model));
}

static bool has_comparable(const struct bs_pairs *diff, const struct bs_results *results,
                           const struct bs_row *row)
{
    for (int i = 0; i < results->num_rows; i++)
        if (same_text(diff, row, &results->rows[i]) && bs_rows_comparable(&results->rows[i], row))
            return true;
    return false;
}

/* Says why two rows of texts of one name do not belong side by side. */
static enum bs_status fail_apart(const struct bs_results *a, const struct bs_row *left,
                                 const struct bs_results *b, const struct bs_row *right,
                                 struct bs_error *err)
{
    static const char verdict[] = "their figures cannot be compared";
    if (strcmp(left->text_digest, right->text_digest)) {
        bool of_items = bs_evaluation_has_answers(left->evaluation);
        return bs_fail(
            err, BS_ECONFIG, "%s '%s' of %s and of %s differ in their %s (digests %s and %s): %s",
            of_items ? "task" : "text", left->text, a->path, b->path,
            of_items ? "items or record" : "bytes", left->text_digest, right->text_digest, verdict);
    }
    char measured_left[BS_MEASURED_TEXT], measured_right[BS_MEASURED_TEXT];
    bs_row_measured(left, measured_left);
    bs_row_measured(right, measured_right);
    return bs_fail(err, BS_ECONFIG, "text '%s' is measured in %s by %s, in %s by %s: %s",
                   left->text, a->path, measured_left, b->path, measured_right, verdict);
}

/* A text that both files have, but never in the same bytes, cut into the same windows by the same
 * protocol, cannot be paired. */
static enum bs_status check_protocols(const struct bs_pairs *diff, struct bs_error *err)
{
    const struct bs_results *a = diff->a, *b = diff->b;
    for (int i = 0; i < a->num_rows; i++)
        for (int k = 0; k < b->num_rows; k++) {
            const struct bs_row *left = &a->rows[i], *right = &b->rows[k];
            if (same_text(diff, left, right) && !has_comparable(diff, b, left) &&
                !has_comparable(diff, a, right))
                return fail_apart(a, left, b, right, err);
        }
    return BS_OK;
}

static enum bs_status find_pairs(struct bs_pairs *pairs, struct bs_error *err)
{
    if (check_protocols(pairs, err) || bs_pairs_find(pairs, err))
        return err->status;
    bool any = pairs->num_pairs > 0;
    for (int i = 0; i < pairs->a->num_rows; i++)
        any = any || pairs->open_a[i];
    if (!any && pairs->num_unmeasured)
        return bs_fail(err, BS_ECONFIG, "%s: %s was not measured by %s, nor any other task",
                       pairs->a->path, pairs->pairs[0].a[0]->text,
                       bs_convention_names[pairs->convention]);
    if (!any)
        return bs_fail(err, BS_ECONFIG,
                       "%s and %s have nothing to compare: no recipe and text is finished in both",
                       pairs->a->path, pairs->b->path);
    return bs_pairs_compare(pairs, err);
}

static bool is_significant(const struct bs_pair *pair)
{
    return !pair->identical && pair->p_holm < BS_DIFF_LEVEL;
}

struct counts {
    int all, significant, identical, grouped, recalibrated;
    int other_numerics, other_machines; /* the latter of numerics that differ between machines */
};

/* Whether the numerics of this name give the same bits on every machine. */
static bool is_same_everywhere(const char *name)
{
    const struct bs_numerics *numerics = bs_numerics_find(name);
    return numerics && numerics->same_everywhere;
}

/* Of the pairs of texts, or those of tasks. */
static struct counts count(const struct bs_pairs *pairs, bool of_items)
{
    struct counts counts = {0};
    for (int i = 0; i < pairs->num_pairs; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        if (pair->of_items != of_items)
            continue;
        counts.all++;
        counts.significant += is_significant(pair);
        counts.identical += pair->identical;
        counts.grouped += pair->num_a + pair->num_b > 2;
        counts.recalibrated += pair->recalibrated;
        const struct bs_row *a = pair->a[0], *b = pair->b[0];
        if (strcmp(a->numerics, b->numerics))
            counts.other_numerics++;
        else if (!is_same_everywhere(a->numerics))
            counts.other_machines += strcmp(a->cpu, b->cpu) || strcmp(a->blas, b->blas);
    }
    return counts;
}

/* What trials are compared by: the name of a value. */
static const char *compared_by(const struct bs_pairs *pairs, bool of_items)
{
    return of_items ? bs_convention_names[pairs->convention] : "perplexity";
}

/* Lists the trials of one file that stand in no pair, of texts or of tasks. */
static void note_single(struct bs_sheet *sheet, const struct bs_pairs *pairs, bool of_items,
                        bool of_a)
{
    const struct bs_results *from = of_a ? pairs->a : pairs->b;
    const bool *paired = of_a ? pairs->paired_a : pairs->paired_b;
    const bool *open = of_a ? pairs->open_a : pairs->open_b;
    for (int i = 0; i < from->num_rows; i++) {
        const struct bs_row *row = &from->rows[i];
        const char *value = compared_by(pairs, of_items);
        if (bs_row_is_done(row) && !paired[i] &&
            bs_evaluation_has_answers(row->evaluation) == of_items)
            bs_sheet_note(sheet, "%s %s: %s%s%s on %s, %s %.4g",
                          open[i] ? "not paired, having several candidates: in" : "only in",
                          of_a ? "A" : "B", pairs->by_model ? row->model : "",
                          pairs->by_model ? ", " : "", row->label, row->text, value,
                          bs_row_number(row, value));
    }
}

void bs_diff_add_name(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                      const struct bs_pair *pair)
{
    bool several = false;
    for (int i = 0; i < pairs->num_pairs; i++)
        several = several || (pairs->pairs[i].of_items == pair->of_items &&
                              strcmp(pairs->pairs[i].a[0]->text, pair->a[0]->text));
    const struct bs_row *row = pair->a[0];
    char calibrations[64] = "";
    bool group = pair->num_a + pair->num_b > 2;
    if (group)
        snprintf(calibrations, sizeof calibrations, ", %d and %d calibrations", pair->num_a,
                 pair->num_b);
    bs_sheet_text(sheet, "%s%s%s%s%s%s%s", pairs->by_model ? row->model : "",
                  pairs->by_model ? ", " : "", group ? row->recipe : row->label, calibrations,
                  pair->recalibrated ? " *" : "", several ? ", " : "", several ? row->text : "");
}

/* The mean of the trials' values in this column, with the standard error of the first. */
static struct bs_mean mean_value(const struct bs_column *column, const struct bs_row *const *rows,
                                 int num_rows)
{
    const struct bs_value_row *first = bs_row_value(rows[0], NULL, column->name);
    struct bs_mean mean = {.se = first ? first->se : (double)NAN};
    for (int i = 0; i < num_rows; i++)
        mean.mean += bs_column_number(column, rows[i]) / num_rows;
    return mean;
}

static void add_value(struct bs_sheet *sheet, const struct bs_column *column,
                      const struct bs_row *const *rows, int num_rows)
{
    struct bs_mean mean = mean_value(column, rows, num_rows);
    double scale = column->type && column->type->scale > 0 ? column->type->scale : 1;
    if (column->type && column->type->uncertain)
        bs_sheet_estimate(sheet, scale * mean.mean, scale * mean.se, column->type->signed_,
                          column->type->decimals);
    else
        bs_sheet_rounded(sheet, scale * mean.mean);
}

void bs_diff_add_values(struct bs_sheet *sheet, const struct bs_columns *columns,
                        const struct bs_pair *pair)
{
    for (int c = 0; c < columns->count; c++) {
        add_value(sheet, &columns->columns[c], pair->a, pair->num_a);
        add_value(sheet, &columns->columns[c], pair->b, pair->num_b);
    }
}

static int least_decimals(double perplexity) { return perplexity < 1000 ? 2 : 0; }

static void add_pair(struct bs_sheet *sheet, const struct bs_columns *columns,
                     const struct bs_pair *pair)
{
    const struct bs_mean *a = &pair->value_a, *b = &pair->value_b;
    bs_sheet_estimate(sheet, a->mean, a->se, false, least_decimals(a->mean));
    bs_sheet_estimate(sheet, b->mean, b->se, false, least_decimals(b->mean));
    if (pair->identical)
        bs_sheet_text(sheet, "identical");
    else
        bs_sheet_estimate(sheet, pair->difference.mean, pair->difference.se, true, 0);
    bs_sheet_rounded(sheet, pair->identical ? (double)NAN : pair->p);
    bs_sheet_rounded(sheet, pair->identical ? (double)NAN : pair->p_holm);
    bs_diff_add_values(sheet, columns, pair);
}

void bs_diff_note_counts(struct bs_sheet *sheet, const struct bs_pairs *pairs, bool of_items)
{
    struct counts counts = count(pairs, of_items);
    bs_sheet_note(sheet,
                  "%d compared: %d differ%s significantly (p corrected below %g), %d %s the same "
                  "bits in every %s",
                  counts.all, counts.significant, counts.significant == 1 ? "s" : "", BS_DIFF_LEVEL,
                  counts.identical, counts.identical == 1 ? "has" : "have",
                  of_items ? "answer's log-likelihood" : "token's NLL");
}

void bs_diff_note_provenance(struct bs_sheet *sheet, const struct bs_pairs *pairs, bool of_items)
{
    struct counts counts = count(pairs, of_items);
    if (counts.grouped)
        bs_sheet_note(sheet,
                      "of several calibrations B - A is that of their means, and its \xc2\xb1 "
                      "and p include what another draw does");
    if (counts.recalibrated)
        bs_sheet_note(sheet, "* calibrated on other windows: \xc2\xb1 and p do not include what "
                             "another draw does, which takes several seeds to know");
    if (counts.other_numerics)
        bs_sheet_note(sheet,
                      "%d of %d %s computed by other numerics: products differ in their last bits, "
                      "and what is near a tie in more",
                      counts.other_numerics, counts.all,
                      counts.other_numerics == 1 ? "was" : "were");
    if (counts.other_machines)
        bs_sheet_note(sheet,
                      "%d of %d %s computed on other processors or by other versions of the "
                      "libraries, by numerics whose bits depend on these",
                      counts.other_machines, counts.all,
                      counts.other_machines == 1 ? "was" : "were");
    note_single(sheet, pairs, of_items, true);
    note_single(sheet, pairs, of_items, false);
}

/* Below the table of texts: what was counted, and how to read p. */
static void add_notes(struct bs_sheet *sheet, const struct bs_pairs *pairs)
{
    struct counts counts = count(pairs, false);
    bs_diff_note_counts(sheet, pairs, false);
    if (counts.identical < counts.all)
        bs_sheet_note(sheet,
                      "p is two-sided, of flipped signs up to %d blocks of windows, of Student's t "
                      "beyond; corrected is Holm's, over the table",
                      BS_MOST_FLIPPED);
    bs_diff_note_provenance(sheet, pairs, false);
}

/* "KL mean A\n10^-3 nats". */
static void add_value_heading(struct bs_sheet *sheet, const struct bs_column *column, char side)
{
    const char *heading = bs_column_heading(column);
    int first = (int)strcspn(heading, "\n");
    bs_sheet_text(sheet, "%.*s %c%s", first, heading, side, heading + first);
}

void bs_diff_add_headings(struct bs_sheet *sheet, const struct bs_columns *columns)
{
    for (int c = 0; c < columns->count; c++) {
        add_value_heading(sheet, &columns->columns[c], 'A');
        add_value_heading(sheet, &columns->columns[c], 'B');
    }
}

static enum bs_status print_texts(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                  enum bs_table_style style, FILE *out, struct bs_error *err)
{
    static const char *const headings[] = {
        "recipe", "perplexity\nA", "perplexity\nB", "B - A", "p", "p\ncorrected",
    };
    enum { COLUMNS = sizeof headings / sizeof *headings };
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS + 2 * columns->count);
    for (int j = 1; j <= 3; j++) /* both perplexities and the difference */
        bs_sheet_keep(&sheet, j);
    bs_sheet_title(&sheet,
                   "A: %s, B: %s. \xc2\xb1 is one standard error over windows; "
                   "that of B - A is paired.",
                   pairs->a->path, pairs->b->path);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    bs_diff_add_headings(&sheet, columns);
    for (int i = 0; i < pairs->num_pairs; i++)
        if (!pairs->pairs[i].of_items) {
            bs_diff_add_name(&sheet, pairs, &pairs->pairs[i]);
            add_pair(&sheet, columns, &pairs->pairs[i]);
        }
    add_notes(&sheet, pairs);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

/* Every value of both trials, but for the perplexities, which stand before as the tokens give
 * them. */
static void add_value_fields(struct bs_sheet *sheet, const struct bs_columns *columns,
                             const struct bs_row *a, const struct bs_row *b,
                             const struct bs_pair *pair)
{
    const double none = (double)NAN;
    for (int c = 0; c < columns->count; c++) {
        const struct bs_column *column = &columns->columns[c];
        bs_sheet_double(sheet, pair ? mean_value(column, pair->a, pair->num_a).mean
                               : a  ? bs_column_number(column, a)
                                    : none);
        bs_sheet_double(sheet, pair ? mean_value(column, pair->b, pair->num_b).mean
                               : b  ? bs_column_number(column, b)
                                    : none);
    }
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
    if (pair->of_items && pair->num_a + pair->num_b == 2)
        return pair->changes.exact ? "McNemar exact" : "McNemar";
    return pair->flipped ? "sign flips" : "t";
}

/* Items that turned, and the interval of the difference. */
static void add_item_fields(struct bs_sheet *sheet, const struct bs_pair *pair)
{
    const double none = (double)NAN;
    bool of_items = pair && pair->of_items, one_each = of_items && pair->num_a + pair->num_b == 2;
    bs_sheet_double(sheet, of_items ? pair->changes.items : none);
    bs_sheet_double(sheet, one_each ? pair->changes.flips.lost : none);
    bs_sheet_double(sheet, one_each ? pair->changes.flips.gained : none);
    bs_sheet_double(sheet, of_items ? pair->changes.interval.low : none);
    bs_sheet_double(sheet, of_items ? pair->changes.interval.high : none);
}

/* One row for programs: the trials as A and B have them, NULL where one does not. */
static void add_fields(struct bs_sheet *sheet, const struct bs_columns *columns,
                       const struct bs_row *a, const struct bs_row *b, const struct bs_pair *pair,
                       const char *compared, const char *pairing)
{
    const double none = (double)NAN;
    const struct bs_row *either = a ? a : b;
    assert(either);
    bool group = pair && pair->num_a + pair->num_b > 2;
    bs_sheet_text(sheet, "%s", group ? either->recipe : either->label);
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
    add_perplexity(sheet, pair && !pair->of_items ? &pair->value_a : NULL, a);
    add_perplexity(sheet, pair && !pair->of_items ? &pair->value_b : NULL, b);
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
                       compared_by(pairs, bs_evaluation_has_answers(row->evaluation)),
                       open[i] ? "several candidates"
                       : of_a  ? "only in A"
                               : "only in B");
    }
}

static enum bs_status print_for_programs(const struct bs_pairs *pairs,
                                         const struct bs_columns *columns,
                                         enum bs_table_style style, FILE *out, struct bs_error *err)
{
    static const char *const headings[] = {
        "label",
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
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS + 2 * columns->count + 1);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    for (int c = 0; c < columns->count; c++) {
        bs_sheet_text(&sheet, "%s_a", columns->columns[c].name);
        bs_sheet_text(&sheet, "%s_b", columns->columns[c].name);
    }
    bs_sheet_text(&sheet, "identical");
    for (int i = 0; i < pairs->num_pairs; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        add_fields(&sheet, columns, pair->a[0], pair->b[0], pair,
                   compared_by(pairs, pair->of_items), "paired");
    }
    for (int i = pairs->num_pairs; i < pairs->num_pairs + pairs->num_unmeasured; i++)
        add_fields(&sheet, columns, pairs->pairs[i].a[0], pairs->pairs[i].b[0], NULL,
                   compared_by(pairs, true), "not measured");
    add_single(&sheet, columns, pairs, true);
    add_single(&sheet, columns, pairs, false);
    struct counts texts = count(pairs, false), items = count(pairs, true);
    enum bs_status status;
    if (style == BS_TABLE_CSV)
        status = bs_sheet_print(&sheet, style, out, err);
    else
        status = bs_json_print(json_pack("{s:i, s:i, s:i, s:o}", "compared", pairs->num_pairs,
                                         "significant", texts.significant + items.significant,
                                         "identical", texts.identical + items.identical, "trials",
                                         bs_sheet_json(&sheet)),
                               out, err);
    bs_sheet_release(&sheet);
    return status;
}

/* Whether the files have trials of texts, or of tasks. */
static bool has_any(const struct bs_pairs *pairs, bool of_items)
{
    for (int side = 0; side < 2; side++) {
        const struct bs_results *results = side ? pairs->b : pairs->a;
        for (int i = 0; i < results->num_rows; i++)
            if (bs_row_is_done(&results->rows[i]) &&
                bs_evaluation_has_answers(results->rows[i].evaluation) == of_items)
                return true;
    }
    return false;
}

/* Those of the columns that a trial of a text, or of a task, has in A, but for what is compared. */
static void columns_of(const struct bs_pairs *pairs, const struct bs_columns *columns,
                       bool of_items, struct bs_columns *out)
{
    out->count = 0;
    for (int c = 0; c < columns->count; c++) {
        const struct bs_column *column = &columns->columns[c];
        bool has = column->field || column->is_time;
        for (int i = 0; i < pairs->a->num_rows && !has; i++)
            has = bs_evaluation_has_answers(pairs->a->rows[i].evaluation) == of_items &&
                  bs_row_value(&pairs->a->rows[i], NULL, column->name);
        if (has && strcmp(column->name, compared_by(pairs, of_items)))
            out->columns[out->count++] = *column;
    }
}

/* A table of the texts, and one of the tasks. */
static enum bs_status print_for_eyes(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                     enum bs_table_style style, FILE *out, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    bool texts = has_any(pairs, false);
    struct bs_columns own;
    columns_of(pairs, columns, false, &own);
    if (texts)
        status = print_texts(pairs, &own, style, out, err);
    if (status || !has_any(pairs, true))
        return status;
    if (texts)
        fputc('\n', out);
    columns_of(pairs, columns, true, &own);
    return bs_diff_print_items(pairs, &own, style, out, err);
}

/* The values of both files that stand beside the comparison: those asked for; else the divergence
 * for the eye, and for programs all. */
static enum bs_status choose_columns(const struct bs_pairs *pairs, const char *names,
                                     bool for_programs, struct bs_columns *columns,
                                     struct bs_error *err)
{
    static const char *const shown[] = {"kld_mean"};
    columns->count = 0;
    if (names)
        return bs_columns_parse(names, pairs->a, columns, err);
    for (size_t i = 0; !for_programs && i < sizeof shown / sizeof *shown; i++)
        bs_columns_add_value(columns, pairs->a, shown[i]);
    for (int side = 0; for_programs && side < 2; side++) {
        const struct bs_results *results = side ? pairs->b : pairs->a;
        const char **values;
        int count;
        if (bs_columns_values(results, &values, &count, err))
            return err->status;
        for (int i = 0; i < count; i++)
            if (strcmp(values[i], "perplexity"))
                bs_columns_add_value(columns, results, values[i]);
        bs_free((void *)values);
    }
    return BS_OK;
}

enum bs_status bs_diff_print(const struct bs_results *a, const struct bs_results *b,
                             const char *columns, enum bs_table_style style, FILE *out,
                             struct bs_error *err)
{
    struct bs_pairs pairs = {
        .a = a, .b = b, .by_model = bs_results_several_models(a) || bs_results_several_models(b)};
    struct bs_columns chosen;
    bool for_programs = style == BS_TABLE_CSV || style == BS_TABLE_JSON;
    enum bs_status status = choose_columns(&pairs, columns, for_programs, &chosen, err);
    if (!status) {
        pairs.convention = BS_ACC;
        if (columns)
            bs_columns_convention(&chosen, &pairs.convention);
        status = find_pairs(&pairs, err);
    }
    if (!status && for_programs)
        status = print_for_programs(&pairs, &chosen, style, out, err);
    else if (!status)
        status = print_for_eyes(&pairs, &chosen, style, out, err);
    bs_pairs_release(&pairs);
    return status;
}
