/* What trials score by position in the window, as numbers, a row a range of positions. */
#include <math.h>
#include <string.h>

#include "eval/report/by_position.h"
#include "eval/report/sheet.h"
#include "eval/report/table.h"
#include "eval/tasks/evaluation.h"

/* A section on its way to the sheet: one model on one text. */
struct ranges {
    const struct bs_results *results; /* those that are shown */
    const struct bs_results *all;     /* with the unquantized models */
    struct bs_by_position_what what;
    struct bs_sheet sheet;
    bool for_programs; /* all sections in one sheet */
};

static bool is_unquantized(const struct bs_row *row)
{
    return !strcmp(row->algorithm, "unquantized");
}

/* Whether the trial has the figure: is done, of a text, and where the figure compares quantized. */
static bool has_figure(const struct ranges *r, const struct bs_row *row)
{
    return bs_row_is_done(row) && !bs_evaluation_has_answers(row->evaluation) &&
           !(bs_figure_types[r->what.figure].compares && is_unquantized(row));
}

static const struct bs_row *unquantized_of(const struct bs_results *results,
                                           const struct bs_row *row)
{
    for (int i = 0; i < results->num_rows; i++)
        if (is_unquantized(&results->rows[i]) && bs_row_is_done(&results->rows[i]) &&
            bs_rows_same_subject(&results->rows[i], row))
            return &results->rows[i];
    return NULL;
}

static void add_for_eyes(struct bs_sheet *sheet, const struct bs_row *row,
                         const struct bs_at_position *at, bool changes)
{
    bs_sheet_text(sheet, "%s", row->label);
    if (at->at.first == at->at.last)
        bs_sheet_int(sheet, at->at.first);
    else
        bs_sheet_text(sheet, "%d-%d", at->at.first, at->at.last);
    bs_sheet_estimate(sheet, at->value.mean, at->value.se, false, 2);
    if (changes)
        bs_sheet_estimate(sheet, 1000 * at->change.mean, 1000 * at->change.se, true, 1);
}

static void add_estimate(struct bs_sheet *sheet, const struct bs_mean *mean)
{
    bs_sheet_double(sheet, mean->mean);
    bs_sheet_double(sheet, mean->se);
    bs_sheet_double(sheet, mean->df);
}

static void add_for_programs(const struct ranges *r, struct bs_sheet *sheet,
                             const struct bs_row *row, const struct bs_at_position *at)
{
    bs_sheet_text(sheet, "%s", row->label);
    bs_sheet_int(sheet, at->at.first);
    bs_sheet_int(sheet, at->at.last);
    add_estimate(sheet, &at->value);
    add_estimate(sheet, &at->change);
    bs_sheet_text(sheet, "%s", r->what.name);
    bs_sheet_text(sheet, "%s", bs_figure_types[r->what.figure].name);
    bs_sheet_text(sheet, "%s", row->model);
    bs_sheet_text(sheet, "%s", row->text);
    bs_sheet_text(sheet, "%s", row->id);
}

static enum bs_status add_trial(struct ranges *r, const struct bs_row *row, struct bs_error *err)
{
    struct bs_by_position by;
    bool changes = !bs_figure_types[r->what.figure].compares;
    const struct bs_row *before = changes ? unquantized_of(r->all, row) : NULL;
    if (bs_by_position_read(row, before, &r->what, &by, err))
        return err->status;
    for (int i = 0; i < by.count; i++)
        if (r->for_programs)
            add_for_programs(r, &r->sheet, row, &by.at[i]);
        else
            add_for_eyes(&r->sheet, row, &by.at[i], changes);
    return BS_OK;
}

static void begin_for_programs(struct ranges *r)
{
    static const char *const headings[] = {
        "label",     "first",     "last",     "value",  "value_se", "value_df", "change",
        "change_se", "change_df", "measured", "figure", "model",    "text",     "trial"};
    enum { COLUMNS = sizeof headings / sizeof *headings };
    bs_sheet_init(&r->sheet, COLUMNS);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&r->sheet, "%s", headings[j]);
}

static void begin_for_eyes(struct ranges *r, const struct bs_row *first)
{
    char measured[BS_MEASURED_TEXT];
    const char *figure = bs_figure_types[r->what.figure].name;
    bool changes = !bs_figure_types[r->what.figure].compares;
    bs_row_measured(first, measured);
    bs_sheet_init(&r->sheet, 3 + changes);
    bs_sheet_title(&r->sheet,
                   "%s on %s, %s: by tokens of the window before the one that is predicted. "
                   "\xc2\xb1 is one standard error over windows%s.",
                   first->model, first->text, measured,
                   changes ? "; that of a change is paired by token" : "");
    bs_sheet_text(&r->sheet, "recipe");
    bs_sheet_text(&r->sheet, "tokens\nbefore");
    bs_sheet_text(&r->sheet, "%s", r->what.name);
    if (changes)
        bs_sheet_text(&r->sheet, "\xce\x94 %s\n10\xe2\x81\xbb\xc2\xb3", figure);
    for (int j = 1; j <= 2 + changes; j++)
        bs_sheet_keep(&r->sheet, j);
}

/* The trials of one model on one text, measured alike: the unquantized model, then the others. */
static enum bs_status add_section(struct ranges *r, const struct bs_row *first,
                                  struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < r->results->num_rows && !status; i++) {
            const struct bs_row *row = &r->results->rows[i];
            if (has_figure(r, row) && bs_rows_same_subject(row, first) &&
                is_unquantized(row) == (pass == 0))
                status = add_trial(r, row, err);
        }
    return status;
}

static bool begins_section(const struct ranges *r, int row)
{
    const struct bs_row *rows = r->results->rows;
    for (int k = 0; k < row; k++)
        if (has_figure(r, &rows[k]) && bs_rows_same_subject(&rows[k], &rows[row]))
            return false;
    return has_figure(r, &rows[row]);
}

static enum bs_status print_section(struct ranges *r, const struct bs_row *first,
                                    enum bs_table_style style, FILE *out, struct bs_error *err)
{
    begin_for_eyes(r, first);
    enum bs_status status = add_section(r, first, err);
    if (!status)
        status = bs_sheet_print(&r->sheet, style, out, err);
    bs_sheet_release(&r->sheet);
    return status;
}

static enum bs_status print_all(struct ranges *r, enum bs_table_style style, FILE *out,
                                struct bs_error *err)
{
    enum bs_status status = BS_OK;
    bool any = false;
    for (int i = 0; i < r->results->num_rows && !status; i++) {
        if (!begins_section(r, i))
            continue;
        if (any && !r->for_programs)
            fputc('\n', out);
        any = true;
        status = r->for_programs ? add_section(r, &r->results->rows[i], err)
                                 : print_section(r, &r->results->rows[i], style, out, err);
    }
    if (!status && !any)
        status = bs_fail(err, BS_EDATA, "%s: no trial of a text has %s by position",
                         r->results->path, r->what.name);
    return status;
}

enum bs_status bs_positions_print(const struct bs_trials *shown, const char *figure,
                                  enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct ranges r = {.results = &shown->results,
                       .all = shown->all,
                       .for_programs = bs_table_is_for_programs(style)};
    if (!bs_by_position_find(figure ? figure : "perplexity", &r.what))
        return bs_by_position_unknown(figure, err);
    if (!r.for_programs)
        return print_all(&r, style, out, err);
    begin_for_programs(&r);
    enum bs_status status = print_all(&r, style, out, err);
    if (!status && style != BS_TABLE_JSON)
        status = bs_sheet_print(&r.sheet, style, out, err);
    else if (!status)
        status = bs_json_print(bs_sheet_json(&r.sheet), out, err);
    bs_sheet_release(&r.sheet);
    return status;
}
