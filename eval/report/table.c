/* A result file as a table: for the eye, the columns one compares; for programs, every field. */
#include "eval/report/table.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/linalg/elementary.h"
#include "eval/report/columns.h"
#include "eval/report/html.h"
#include "eval/report/table_internal.h"
#include "eval/tasks/evaluation.h"

const char *const bs_table_styles[] = {
    [BS_TABLE_TERMINAL] = "terminal", [BS_TABLE_MARKDOWN] = "markdown",
    [BS_TABLE_CSV] = "csv",           [BS_TABLE_LATEX] = "latex",
    [BS_TABLE_JSON] = "json",         [BS_TABLE_JSONL] = "jsonl",
    [BS_TABLE_HTML] = "html",         NULL,
};

bool bs_table_is_for_programs(enum bs_table_style style)
{
    return style == BS_TABLE_CSV || style == BS_TABLE_JSON || style == BS_TABLE_JSONL;
}

/* What may stand in one table: numbers taken on the same text, cut alike. */
static bool same_section(const struct bs_row *a, const struct bs_row *b)
{
    return bs_rows_comparable(a, b);
}

/* What a table is made from. */
struct table {
    const struct bs_trials *shown;
    const struct bs_results *results; /* those that are shown */
    struct bs_published_list published;
    const struct bs_columns *columns; /* NULL = those that every section chooses */
    bool splits;                      /* labels are columns of what varies */
    int num_provenances, *provenances;
};

/* A section of a table on its way to the sheet. */
struct section {
    const struct table *table;
    const struct bs_row *first;
    int num_models;
    struct bs_columns columns;
    struct bs_parts parts; /* where labels are split; else the label alone */
    struct bs_contest contest;
    int group;          /* of the last row */
    int other_numerics; /* figures published for its trials that came of others than theirs */
    int num_sources;    /* of the figures published for its trials */
    const char **sources;
};

static bool is_failed(const struct bs_row *row) { return !bs_row_is_done(row); }

static bool is_unquantized(const struct bs_row *row)
{
    return !strcmp(row->algorithm, "unquantized");
}

static void add_dash(struct bs_sheet *sheet) { bs_sheet_text(sheet, "\xe2\x80\x94"); }

static int source_index(const struct section *section, const char *source)
{
    int s = 0;
    while (s < section->num_sources && strcmp(section->sources[s], source))
        s++;
    return s;
}

/* Lists the sources of what was published for the section's trials, of the values it shows. */
static enum bs_status find_sources(struct section *section, struct bs_error *err)
{
    const struct table *table = section->table;
    section->sources = bs_alloc((size_t)table->published.count, sizeof(const char *));
    if (!section->sources)
        return bs_fail_memory(err);
    for (int i = 0; i < table->results->num_rows; i++) {
        const struct bs_row *row = &table->results->rows[i];
        for (int c = 0; c < section->columns.count && same_section(row, section->first); c++) {
            const struct bs_published *p =
                bs_published_for(&table->published, row, section->columns.columns[c].name);
            section->other_numerics += p && p->numerics && strcmp(p->numerics, row->numerics);
            if (p && source_index(section, p->source) == section->num_sources)
                section->sources[section->num_sources++] = p->source;
        }
    }
    return BS_OK;
}

/* True where something was published for the column, of a trial of the section. */
static bool is_published(const struct section *section, const struct bs_column *column)
{
    const struct bs_results *results = section->table->results;
    for (int i = 0; i < results->num_rows; i++)
        if (same_section(&results->rows[i], section->first) &&
            bs_published_for(&section->table->published, &results->rows[i], column->name))
            return true;
    return false;
}

/* Digits after the point of a printed number: 2 for "27.65", 0 for "1.3e4". */
static int decimals_of(const char *printed)
{
    const char *point = strchr(printed, '.');
    const char *exponent = strpbrk(printed, "eE");
    long decimals = point ? (long)strspn(point + 1, "0123456789") : 0;
    decimals -= exponent ? strtol(exponent + 1, NULL, 10) : 0;
    return decimals < 0 ? 0 : decimals > 9 ? 9 : (int)decimals;
}

/* A difference with its sign, which nothing does not have. */
static void add_signed(struct bs_sheet *sheet, double value, int decimals)
{
    bool nothing = fabs(value) < 0.5 * bs_power_of_ten(-decimals);
    bs_sheet_text(sheet, nothing ? "%.*f" : "%+.*f", decimals, nothing ? 0.0 : value);
}

/* Three cells: what was published, by how much the measured differs, and in percent of it; blank
 * where nothing was. */
static void add_published(struct bs_sheet *sheet, const struct section *section,
                          const struct bs_row *row, const struct bs_column *column)
{
    const struct bs_published *p = bs_published_for(&section->table->published, row, column->name);
    if (!p) {
        for (int i = 0; i < 3; i++)
            bs_sheet_text(sheet, "%s", "");
        return;
    }
    /* As the column has it: what is shown a thousandfold has three digits less after the point. */
    double scale = column->type && column->type->scale > 0 ? column->type->scale : 1;
    int decimals = decimals_of(p->printed) - (int)lround(bs_log(scale) / bs_log(10));
    decimals = decimals < 0 ? 0 : decimals;
    char printed[64];
    if (scale > 1 || scale < 1)
        snprintf(printed, sizeof printed, "%.*f", decimals, scale * p->value);
    else
        snprintf(printed, sizeof printed, "%s", p->printed);
    if (section->num_sources > 1)
        bs_sheet_text(sheet, "%s [%d]", printed, source_index(section, p->source) + 1);
    else
        bs_sheet_text(sheet, "%s", printed);
    double difference = bs_published_difference(p, row);
    if (isfinite(difference)) {
        add_signed(sheet, scale * difference, decimals);
        add_signed(sheet, 100 * difference / p->value, 2);
    } else {
        add_dash(sheet);
        add_dash(sheet);
    }
}

static void note_sources(struct bs_sheet *sheet, const struct section *section)
{
    if (section->other_numerics)
        bs_sheet_note(sheet, "%d published: of other numerics than the trials beside them",
                      section->other_numerics);
    if (section->num_sources == 1)
        bs_sheet_note(sheet, "published: %s", section->sources[0]);
    for (int s = 0; s < section->num_sources && section->num_sources > 1; s++)
        bs_sheet_note(sheet, "published [%d]: %s", s + 1, section->sources[s]);
}

/* Columns that follow one for which anything was published. */
enum { NUM_PUBLISHED = 3 };

/* ---- by what program and machine ---- */

static const char *or_unknown(const char *text) { return text && *text ? text : "unknown"; }

static bool same_provenance(const struct bs_row *a, const struct bs_row *b)
{
    return !strcmp(or_unknown(a->commit), or_unknown(b->commit)) &&
           !strcmp(or_unknown(a->cpu), or_unknown(b->cpu)) &&
           !strcmp(or_unknown(a->blas), or_unknown(b->blas)) && a->threads == b->threads;
}

/* table->provenances: for each row the index of the file's first row of its program, machine and
 * number of threads. */
static enum bs_status find_provenances(struct table *table, struct bs_error *err)
{
    const struct bs_results *results = table->results;
    table->provenances = bs_alloc((size_t)results->num_rows, sizeof *table->provenances);
    if (!table->provenances)
        return bs_fail_memory(err);
    for (int i = 0; i < results->num_rows; i++) {
        int k = 0;
        while (k < i && (table->provenances[k] != k ||
                         !same_provenance(&results->rows[k], &results->rows[i])))
            k++;
        table->provenances[i] = k;
        table->num_provenances += k == i;
    }
    return BS_OK;
}

/* Where the trials of a file are not all of one: which of these, from 1 in the order of the file,
 * the row is of; 0 where they are. */
static int provenance_of(const struct table *table, const struct bs_row *row)
{
    int first = table->provenances[row - table->results->rows], number = 1;
    for (int i = 0; i < first; i++)
        number += table->provenances[i] == i;
    return table->num_provenances > 1 ? number : 0;
}

/* Linears for which the algorithm had to change its plan. */
static int fallbacks_of(const struct bs_row *row)
{
    double count = bs_row_number(row, "fallbacks");
    return count > 0 && count < INT_MAX ? (int)count : 0;
}

/* "gptq w3 g128", marked where something below the table speaks of it. */
static void add_label(struct bs_sheet *sheet, const struct section *section,
                      const struct bs_row *row)
{
    char marks[40] = "", provenance[24] = "";
    int number = provenance_of(section->table, row);
    if (number > 1)
        snprintf(provenance, sizeof provenance, " \xe2\x80\xa1%d", number);
    snprintf(marks, sizeof marks, "%s%s", fallbacks_of(row) ? " \xe2\x80\xa0" : "", provenance);
    bs_parts_cells(sheet, &section->parts, row, marks, false);
}

/* A line for each program and machine of the section's trials, where the file has several. */
static void note_provenance(struct bs_sheet *sheet, const struct section *section)
{
    const struct table *table = section->table;
    const struct bs_results *results = table->results;
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        int number = provenance_of(table, row);
        bool told = number == 0 || !same_section(row, section->first);
        for (int k = 0; k < i && !told; k++)
            told = same_section(&results->rows[k], section->first) &&
                   table->provenances[k] == table->provenances[i];
        if (told)
            continue;
        char mark[24] = "not marked";
        if (number > 1)
            snprintf(mark, sizeof mark, "\xe2\x80\xa1%d", number);
        bs_sheet_note(sheet, "%s: commit %s, processor %s, BLAS %s, %d thread%s, begun %s", mark,
                      or_unknown(row->commit), or_unknown(row->cpu), or_unknown(row->blas),
                      row->threads, row->threads == 1 ? "" : "s", row->started);
    }
}

/* ---- rows ---- */

/* Which trials a cell is held against when the best is looked for: those of its group, or as long
 * as there are no groups those of equally many bits; of each model by itself. -1: of none, being
 * the unquantized model's, or one of several draws of which the mean stands. */
static int block_of(const struct section *section, const struct bs_row *row, bool is_mean)
{
    const struct bs_trials *shown = section->table->shown;
    if (is_unquantized(row) || (!is_mean && bs_trials_whole_group(shown, row)))
        return -1;
    for (int i = 0; i < shown->results.num_rows; i++) {
        const struct bs_row *other = &shown->results.rows[i];
        bool alike = shown->is_grouped ? shown->groups[i] == section->group
                                       : other->bits == row->bits &&
                                             other->activation_bits == row->activation_bits &&
                                             other->kv_code_bits == row->kv_code_bits;
        if (alike && !strcmp(other->model, row->model))
            return i;
    }
    return -1;
}

/* The section's columns of a row, or of a group's mean. */
static enum bs_status add_cells(struct bs_sheet *sheet, struct section *section,
                                const struct bs_row *row, bool is_mean, struct bs_error *err)
{
    bool failed = is_failed(row), told = false;
    int block = block_of(section, row, is_mean);
    for (int c = 0; c < section->columns.count; c++) {
        const struct bs_column *column = &section->columns.columns[c];
        if (block >= 0 && !failed &&
            bs_contest_add(&section->contest, sheet, column, c, block, row, err))
            return err->status;
        bool of_text = column->type && bs_value_type_find(row->evaluation, column->name);
        bool last = c + 1 == section->columns.count;
        if (!failed || column->field) {
            bs_column_add(sheet, column, row, is_mean);
        } else if (!told && (of_text || last)) {
            bs_sheet_text(sheet, "failed");
            told = true;
        } else {
            add_dash(sheet);
        }
        if (is_published(section, column))
            add_published(sheet, section, row, column);
    }
    return BS_OK;
}

static enum bs_status add_row(struct bs_sheet *sheet, struct section *section,
                              const struct bs_row *row, struct bs_error *err)
{
    bool several = section->num_models > 1;
    const char *model = several ? row->model : "", *parting = several ? ", " : "";
    int fallbacks = fallbacks_of(row);
    if (several)
        bs_sheet_text(sheet, "%s", row->model);
    add_label(sheet, section, row);
    if (add_cells(sheet, section, row, false, err))
        return err->status;
    if (is_failed(row))
        bs_sheet_note(sheet, "failed: %s%s%s: %s", model, parting, row->label, row->message);
    if (fallbacks)
        bs_sheet_note(sheet, "\xe2\x80\xa0 %s%s%s: the algorithm changed its plan for %d linear%s",
                      model, parting, row->label, fallbacks, fallbacks == 1 ? "" : "s");
    return BS_OK;
}

/* The means of trials that differ in their calibration's seed only, each with the text's error and
 * what another draw does. */
static enum bs_status add_mean(struct bs_sheet *sheet, struct section *section,
                               const struct bs_row *row, struct bs_error *err)
{
    const struct bs_results *all = section->table->shown->all;
    struct bs_row mean;
    if (bs_rows_mean(all->rows, all->num_rows, row, &mean, err))
        return err->status;
    if (section->num_models > 1)
        bs_sheet_text(sheet, "%s", mean.model);
    bs_parts_cells(sheet, &section->parts, &mean, "", true);
    enum bs_status status = add_cells(sheet, section, &mean, true, err);
    bs_rows_mean_release(&mean);
    return status;
}

/* True where no later row is of this row's group. */
static bool ends_group(const struct bs_results *results, int row)
{
    for (int k = row + 1; k < results->num_rows; k++)
        if (bs_rows_group(&results->rows[k], &results->rows[row]) && !is_failed(&results->rows[k]))
            return false;
    return !is_failed(&results->rows[row]);
}

/* True where no earlier row of the section is of this row's model. */
static bool begins_model(const struct section *section, int row)
{
    const struct bs_row *rows = section->table->results->rows;
    for (int k = 0; k < row; k++)
        if (same_section(&rows[k], section->first) && !strcmp(rows[k].model, rows[row].model))
            return false;
    return same_section(&rows[row], section->first);
}

/* A rule before a row that begins a group of the selection, or a model where there are groups. */
static void part_groups(struct bs_sheet *sheet, struct section *section, int row)
{
    const struct bs_trials *shown = section->table->shown;
    if (shown->is_grouped && section->group != shown->groups[row] &&
        sheet->num_cells > sheet->num_columns)
        bs_sheet_rule(sheet);
    section->group = shown->groups[row];
}

/* The trials of one model, the unquantized model first. */
static enum bs_status add_model(struct bs_sheet *sheet, struct section *section, const char *model,
                                struct bs_error *err)
{
    const struct bs_results *results = section->table->results;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < results->num_rows; i++) {
            const struct bs_row *row = &results->rows[i];
            if (!same_section(row, section->first) || strcmp(row->model, model) ||
                is_unquantized(row) != (pass == 0))
                continue;
            part_groups(sheet, section, i);
            if (add_row(sheet, section, row, err))
                return err->status;
            if (bs_trials_whole_group(section->table->shown, row) && ends_group(results, i) &&
                add_mean(sheet, section, row, err))
                return err->status;
        }
    return BS_OK;
}

/* The headings of a column for which anything was published, two lines each. */
static void add_published_headings(struct bs_sheet *sheet, const char *heading)
{
    char line[96];
    snprintf(line, sizeof line, "%s", heading);
    for (char *c = line; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    bs_sheet_text(sheet, "%s\nmeasured", line);
    bs_sheet_text(sheet, "%s\npublished", line);
    bs_sheet_text(sheet, "difference");
    bs_sheet_text(sheet, "difference\n%%");
}

/* The header, and which columns the terminal keeps. */
static void add_headings(struct bs_sheet *sheet, const struct section *section)
{
    int at = sheet->num_names;
    if (section->num_models > 1)
        bs_sheet_text(sheet, "model");
    bs_parts_headings(sheet, &section->parts);
    for (int c = 0; c < section->columns.count; c++) {
        const struct bs_column *column = &section->columns.columns[c];
        bool published = is_published(section, column);
        if (column->kept)
            bs_sheet_keep(sheet, at);
        at += 1 + (published ? NUM_PUBLISHED : 0);
        if (published)
            add_published_headings(sheet, bs_column_heading(column));
        else
            bs_sheet_text(sheet, "%s", bs_column_heading(column));
    }
}

static bool has_means(const struct section *section)
{
    const struct bs_results *results = section->table->results;
    for (int i = 0; i < results->num_rows; i++)
        if (same_section(&results->rows[i], section->first) &&
            bs_trials_whole_group(section->table->shown, &results->rows[i]))
            return true;
    return false;
}

/* Chooses the columns and lists the sources. */
static enum bs_status begin_section(struct section *section, struct bs_error *err)
{
    const struct bs_results *results = section->table->results;
    for (int i = 0; i < results->num_rows; i++)
        section->num_models += begins_model(section, i);
    section->parts = (struct bs_parts){.with_label = true};
    if (section->table->splits)
        bs_parts_choose(results, section->first, &section->parts);
    if (section->table->columns)
        section->columns = *section->table->columns;
    else
        bs_columns_default(results, section->first, &section->columns);
    return find_sources(section, err);
}

static void add_title(struct bs_sheet *sheet, const struct section *section)
{
    char models[32], measured[BS_MEASURED_TEXT];
    snprintf(models, sizeof models, "%d models", section->num_models);
    bs_row_measured(section->first, measured);
    bs_sheet_title(
        sheet, "%s on %s, %s. \xc2\xb1 is one standard error over %s%s.",
        section->num_models > 1 ? models : section->first->model, section->first->text, measured,
        bs_evaluation_has_answers(section->first->evaluation) ? "items" : "windows",
        has_means(section) ? ", a second \xc2\xb1 the standard deviation of one draw of calibration"
                           : "");
    bs_sheet_label(sheet, "tab:%s%s%s",
                   section->num_models > 1 ? "" : bs_path_name(section->first->model),
                   section->num_models > 1 ? "" : "-", section->first->text);
}

static enum bs_status print_section(const struct table *table, const struct bs_row *first,
                                    enum bs_table_style style, FILE *out, struct bs_error *err)
{
    const struct bs_results *results = table->results;
    struct section section = {.table = table, .first = first};
    if (begin_section(&section, err))
        return err->status;
    bool several = section.num_models > 1;
    int names = section.parts.count + section.parts.with_label + several;
    int num_columns = names + section.columns.count;
    for (int c = 0; c < section.columns.count; c++)
        num_columns += is_published(&section, &section.columns.columns[c]) ? NUM_PUBLISHED : 0;
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, num_columns);
    sheet.num_names = names;
    sheet.num_spare = section.parts.with_label ? section.parts.count : 0;
    add_title(&sheet, &section);
    add_headings(&sheet, &section);
    note_sources(&sheet, &section);
    enum bs_status status = BS_OK;
    for (int i = 0; i < results->num_rows && !status; i++)
        if (begins_model(&section, i))
            status = add_model(&sheet, &section, results->rows[i].model, err);
    note_provenance(&sheet, &section);
    if (bs_contest_settle(&section.contest, &sheet) &&
        (style == BS_TABLE_LATEX || style == BS_TABLE_HTML))
        bs_sheet_note(&sheet, "bold: the best %s, and what is within two standard errors of it",
                      table->shown->is_grouped ? "of its group" : "of equally many bits");
    if (!status)
        status = bs_table_note_items(&sheet, results, first, err);
    if (!status)
        status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    bs_free((void *)section.sources);
    return status;
}

/* Whether a trial of the section has one of the values among the columns that were asked for; true
 * too where these name fields alone. */
static bool has_any_value(const struct table *table, const struct bs_row *first)
{
    bool asked = false;
    for (int c = 0; table->columns && c < table->columns->count; c++) {
        const struct bs_column *column = &table->columns->columns[c];
        bool is_value = !column->field && !column->is_time;
        asked |= is_value;
        for (int i = 0; i < table->results->num_rows && is_value; i++)
            if (same_section(&table->results->rows[i], first) &&
                bs_row_value(&table->results->rows[i], NULL, column->name))
                return true;
    }
    return !asked;
}

static bool begins_section(const struct bs_results *results, int row)
{
    for (int k = 0; k < row; k++)
        if (same_section(&results->rows[row], &results->rows[k]))
            return false;
    return true;
}

/* Names the texts of which nothing is shown, as they have none of the columns; in LaTeX as a
 * comment. */
static enum bs_status print_left_out(const struct table *table, enum bs_table_style style,
                                     FILE *out, struct bs_error *err)
{
    static const char words[] = "not shown, having none of these columns: ";
    const struct bs_results *results = table->results;
    struct bs_print printing;
    FILE *names = bs_print_begin(&printing);
    for (int i = 0; names && i < results->num_rows; i++)
        if (begins_section(results, i) && !has_any_value(table, &results->rows[i]))
            fprintf(names, ", %s", results->rows[i].text);
    char *list = names ? bs_print_end(&printing) : NULL;
    if (!list)
        return bs_fail_memory(err);
    if (*list)
        fputc('\n', out);
    if (*list && style == BS_TABLE_HTML)
        bs_html_element(out, "p", "%s%s", words, list + 2);
    else if (*list)
        bs_print_line(out, "%s%s%s", style == BS_TABLE_LATEX ? "% " : "", words, list + 2);
    bs_free(list);
    return BS_OK;
}

enum bs_status bs_table_print(const struct bs_trials *shown,
                              const struct bs_published_list *published, const char *columns,
                              bool splits, enum bs_table_style style, FILE *out,
                              struct bs_error *err)
{
    const struct bs_results *results = &shown->results;
    struct bs_columns chosen;
    struct table table = {.shown = shown,
                          .splits = splits,
                          .results = results,
                          .published = *published,
                          .columns = columns ? &chosen : NULL};
    if (bs_table_is_for_programs(style))
        return bs_fields_print(results, published, columns, style, out, err);
    if (columns && bs_columns_parse(columns, shown->all, &chosen, err))
        return err->status;
    if (!results->num_rows)
        fprintf(out, "none of %d trials fits\n", shown->all->num_rows);
    enum bs_status status = find_provenances(&table, err);
    int sections = 0;
    for (int i = 0; !status && i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        if (!begins_section(results, i) || !has_any_value(&table, row))
            continue;
        if (sections++)
            fputc('\n', out);
        status = print_section(&table, row, style, out, err);
    }
    if (!status)
        status = print_left_out(&table, style, out, err);
    bs_free(table.provenances);
    return status;
}
