/* A result file as a table: for the eye, the columns one compares; for programs, every field. */
#include "eval/report/table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/sheet.h"

const char *const bs_table_styles[] = {
    [BS_TABLE_TERMINAL] = "terminal", [BS_TABLE_MARKDOWN] = "markdown", [BS_TABLE_CSV] = "csv",
    [BS_TABLE_LATEX] = "latex",       [BS_TABLE_JSON] = "json",         NULL,
};

/* What may stand in one table: numbers taken on the same text, cut alike. */
static bool same_section(const struct bs_row *a, const struct bs_row *b)
{
    return bs_rows_comparable(a, b);
}

/* What a table is made from. */
struct table {
    const struct bs_results *results;
    const struct bs_published *published;
    int num_published;
    int num_provenances, *provenances;
};

/* A section of a table on its way to the sheet. */
struct section {
    const struct table *table;
    const struct bs_row *first;
    int num_models;
    int num_sources; /* of the figures published for its trials */
    const char **sources;
};

static bool is_failed(const struct bs_row *row) { return !strcmp(row->status, "failed"); }

static bool is_unquantized(const struct bs_row *row)
{
    return !strcmp(row->algorithm, "unquantized");
}

static void add_dashes(struct bs_sheet *sheet, int count)
{
    for (int i = 0; i < count; i++)
        bs_sheet_text(sheet, "\xe2\x80\x94");
}

/* What was published for the trial, or NULL. */
static const struct bs_published *published_for(const struct table *table, const struct bs_row *row)
{
    for (int i = 0; i < table->num_published; i++) {
        const struct bs_published *p = &table->published[i];
        if (!strcmp(row->model, p->model) && !strcmp(row->text, p->text) &&
            !strcmp(row->recipe, p->label) && !strcmp(row->protocol, p->protocol) &&
            row->tokens == p->tokens && row->stride == p->stride &&
            (p->windows == 0 || row->windows == p->windows))
            return p;
    }
    return NULL;
}

/* NaN where the trial has no perplexity, or nothing was published for it. */
static double difference_to(const struct bs_published *p, const struct bs_row *row)
{
    return p && !is_failed(row) ? row->perplexity - p->value : (double)NAN;
}

static int source_index(const struct section *section, const char *source)
{
    int s = 0;
    while (s < section->num_sources && strcmp(section->sources[s], source))
        s++;
    return s;
}

/* Lists the sources of what was published for the section's trials. */
static enum bs_status find_sources(struct section *section, struct bs_error *err)
{
    const struct table *table = section->table;
    section->sources = bs_alloc((size_t)table->num_published, sizeof(const char *));
    if (!section->sources)
        return bs_fail_memory(err);
    for (int i = 0; i < table->results->num_rows; i++) {
        const struct bs_row *row = &table->results->rows[i];
        const struct bs_published *p =
            same_section(row, section->first) ? published_for(table, row) : NULL;
        if (p && source_index(section, p->source) == section->num_sources)
            section->sources[section->num_sources++] = p->source;
    }
    return BS_OK;
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
    bool nothing = fabs(value) < 0.5 * pow(10, -decimals);
    bs_sheet_text(sheet, nothing ? "%.*f" : "%+.*f", decimals, nothing ? 0.0 : value);
}

/* Three cells: what was published, by how much the measured differs, and in percent of it; blank
 * where nothing was. */
static void add_published(struct bs_sheet *sheet, const struct section *section,
                          const struct bs_row *row)
{
    const struct bs_published *p = published_for(section->table, row);
    if (!p) {
        for (int i = 0; i < 3; i++)
            bs_sheet_text(sheet, "%s", "");
        return;
    }
    if (section->num_sources > 1)
        bs_sheet_text(sheet, "%s [%d]", p->printed, source_index(section, p->source) + 1);
    else
        bs_sheet_text(sheet, "%s", p->printed);
    double difference = difference_to(p, row);
    if (isfinite(difference)) {
        add_signed(sheet, difference, decimals_of(p->printed));
        add_signed(sheet, 100 * difference / p->value, 2);
    } else {
        add_dashes(sheet, 2);
    }
}

static void note_sources(struct bs_sheet *sheet, const struct section *section)
{
    if (section->num_sources == 1)
        bs_sheet_note(sheet, "published: %s", section->sources[0]);
    for (int s = 0; s < section->num_sources && section->num_sources > 1; s++)
        bs_sheet_note(sheet, "published [%d]: %s", s + 1, section->sources[s]);
}

/* The columns in the order of their worth: a narrow terminal leaves out the last ones. */
static const char *const headings[] = {
    "recipe",
    "bits/\nweight",
    "perplexity",
    "\xce\x94\nperplexity",
    "KL mean\n10\xe2\x81\xbb\xc2\xb3 nats",
    "KL\np99.9",
    "top-1\n%",
    "output\nerror %",
    "times\nsmaller",
    "time\ns",
};
enum {
    NUM_HEADINGS = sizeof headings / sizeof *headings,
    BITS = 1,
    PERPLEXITY = 2,
    DELTA = 3,
    DIVERGENCE = 4
};

/* Bits, perplexity and what it lost, and the divergence: what a table is for. */
static void keep_essential(struct bs_sheet *sheet, int before, int published)
{
    bs_sheet_keep(sheet, before + BITS);
    bs_sheet_keep(sheet, before + PERPLEXITY);
    bs_sheet_keep(sheet, before + published + DELTA);
    bs_sheet_keep(sheet, before + published + DIVERGENCE);
}

/* These follow the perplexity where any was published. */
static const char *const published_headings[] = {"perplexity\npublished", "difference",
                                                 "difference\n%"};
enum { NUM_PUBLISHED = sizeof published_headings / sizeof *published_headings };

/* The model differs from itself by nothing, which says nothing. */
static void add_differences(struct bs_sheet *sheet, const struct bs_row *row)
{
    if (is_unquantized(row)) {
        add_dashes(sheet, 5);
        return;
    }
    bs_sheet_estimate(sheet, row->perplexity_delta, row->perplexity_delta_se, true);
    bs_sheet_estimate(sheet, 1000 * row->kld_mean, 1000 * row->kld_mean_se, false);
    bs_sheet_rounded(sheet, 1000 * row->kld_p999);
    bs_sheet_estimate(sheet, 100 * row->same_top, 100 * row->same_top_se, false);
    bs_sheet_rounded(sheet, 100 * row->relative_output_error);
}

static void add_costs(struct bs_sheet *sheet, const struct bs_row *row)
{
    bs_sheet_rounded(sheet, row->compression_ratio);
    double quantize = isnan(row->seconds_quantize) ? 0 : row->seconds_quantize;
    bs_sheet_rounded(sheet, quantize + row->seconds_evaluate);
}

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

/* "gptq w3 g128", marked where something below the table speaks of it. */
static void add_label(struct bs_sheet *sheet, const struct section *section,
                      const struct bs_row *row)
{
    char provenance[24] = "";
    int number = provenance_of(section->table, row);
    if (number > 1)
        snprintf(provenance, sizeof provenance, " \xe2\x80\xa1%d", number);
    bs_sheet_text(sheet, "%s%s%s", row->label, row->fallbacks > 0 ? " \xe2\x80\xa0" : "",
                  provenance);
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

static void add_row(struct bs_sheet *sheet, const struct section *section, const struct bs_row *row)
{
    bool several = section->num_models > 1;
    const char *model = several ? row->model : "", *parting = several ? ", " : "";
    if (several)
        bs_sheet_text(sheet, "%s", row->model);
    add_label(sheet, section, row);
    if (is_failed(row)) {
        add_dashes(sheet, 1);
        bs_sheet_text(sheet, "failed");
        if (section->num_sources)
            add_published(sheet, section, row);
        add_dashes(sheet, NUM_HEADINGS - PERPLEXITY - 1);
        bs_sheet_note(sheet, "failed: %s%s%s: %s", model, parting, row->label, row->message);
    } else {
        bs_sheet_text(sheet, "%.2f", row->bits_per_weight);
        bs_sheet_perplexity(sheet, row->perplexity, row->perplexity_se);
        if (section->num_sources)
            add_published(sheet, section, row);
        add_differences(sheet, row);
        add_costs(sheet, row);
    }
    if (row->fallbacks > 0)
        bs_sheet_note(sheet, "\xe2\x80\xa0 %s%s%s: the algorithm changed its plan for %d linear%s",
                      model, parting, row->label, row->fallbacks, row->fallbacks == 1 ? "" : "s");
}

/* The means of trials that differ in their calibration's seed only, each with the text's error and
 * what another draw does. */
static void add_mean(struct bs_sheet *sheet, const struct section *section,
                     const struct bs_row *mean)
{
    if (section->num_models > 1)
        bs_sheet_text(sheet, "%s", mean->model);
    bs_sheet_text(sheet, "%s, mean of %d seeds", mean->recipe, mean->calibrations);
    bs_sheet_text(sheet, "%.2f", mean->bits_per_weight);
    bs_sheet_spread(sheet, mean->perplexity, mean->perplexity_se, mean->perplexity_calibration_sd,
                    false, mean->perplexity < 1000 ? 2 : 0);
    if (section->num_sources)
        add_published(sheet, section, mean);
    bs_sheet_spread(sheet, mean->perplexity_delta, mean->perplexity_delta_se,
                    mean->perplexity_calibration_sd, true, 0);
    bs_sheet_spread(sheet, 1000 * mean->kld_mean, 1000 * mean->kld_mean_se,
                    1000 * mean->kld_calibration_sd, false, 0);
    bs_sheet_rounded(sheet, 1000 * mean->kld_p999);
    bs_sheet_spread(sheet, 100 * mean->same_top, 100 * mean->same_top_se,
                    100 * mean->same_top_calibration_sd, false, 0);
    bs_sheet_rounded(sheet, 100 * mean->relative_output_error);
    add_costs(sheet, mean);
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

/* The trials of one model, the unquantized model first. */
static void add_model(struct bs_sheet *sheet, const struct section *section, const char *model)
{
    const struct bs_results *results = section->table->results;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < results->num_rows; i++) {
            const struct bs_row *row = &results->rows[i];
            if (same_section(row, section->first) && !strcmp(row->model, model) &&
                is_unquantized(row) == (pass == 0)) {
                struct bs_row mean;
                add_row(sheet, section, row);
                if (ends_group(results, i) &&
                    bs_rows_mean(results->rows, results->num_rows, row, &mean))
                    add_mean(sheet, section, &mean);
            }
        }
}

static void add_headings(struct bs_sheet *sheet, const struct section *section)
{
    if (section->num_models > 1)
        bs_sheet_text(sheet, "model");
    for (int j = 0; j < NUM_HEADINGS; j++) {
        bool measured = section->num_sources && j == PERPLEXITY;
        bs_sheet_text(sheet, "%s%s", headings[j], measured ? "\nmeasured" : "");
        for (int k = 0; measured && k < NUM_PUBLISHED; k++)
            bs_sheet_text(sheet, "%s", published_headings[k]);
    }
}

static bool has_means(const struct section *section)
{
    const struct bs_results *results = section->table->results;
    for (int i = 0; i < results->num_rows; i++)
        if (same_section(&results->rows[i], section->first) && results->rows[i].calibrations > 1)
            return true;
    return false;
}

static enum bs_status print_section(const struct table *table, const struct bs_row *first,
                                    enum bs_table_style style, FILE *out, struct bs_error *err)
{
    const struct bs_results *results = table->results;
    struct section section = {.table = table, .first = first};
    if (find_sources(&section, err))
        return err->status;
    for (int i = 0; i < results->num_rows; i++)
        section.num_models += begins_model(&section, i);
    bool several = section.num_models > 1;
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, NUM_HEADINGS + several + (section.num_sources ? NUM_PUBLISHED : 0));
    sheet.num_names += several;
    keep_essential(&sheet, several, section.num_sources ? NUM_PUBLISHED : 0);
    char models[32], measured[BS_MEASURED_TEXT];
    snprintf(models, sizeof models, "%d models", section.num_models);
    bs_row_measured(first, measured);
    bs_sheet_title(&sheet, "%s on %s, %s. \xc2\xb1 is one standard error over windows%s.",
                   several ? models : first->model, first->text, measured,
                   has_means(&section)
                       ? ", a second \xc2\xb1 the standard deviation of one draw of calibration"
                       : "");
    add_headings(&sheet, &section);
    note_sources(&sheet, &section);
    for (int i = 0; i < results->num_rows; i++)
        if (begins_model(&section, i))
            add_model(&sheet, &section, results->rows[i].model);
    note_provenance(&sheet, &section);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    bs_free((void *)section.sources);
    return status;
}

/* Four fields after those of a row. */
static const char *const published_fields[] = {"published", "published_difference",
                                               "published_difference_percent", "published_source"};
enum { NUM_PUBLISHED_FIELDS = sizeof published_fields / sizeof *published_fields };

static void add_published_fields(struct bs_sheet *sheet, const struct bs_published *p,
                                 const struct bs_row *row)
{
    if (p)
        bs_sheet_figure(sheet, p->printed, p->value);
    else
        bs_sheet_double(sheet, (double)NAN);
    double difference = difference_to(p, row);
    bs_sheet_double(sheet, difference);
    bs_sheet_double(sheet, p ? 100 * difference / p->value : (double)NAN);
    bs_sheet_text(sheet, "%s", p ? p->source : "");
}

/* Every field of every row. */
static enum bs_status print_fields(const struct table *table, enum bs_table_style style, FILE *out,
                                   struct bs_error *err)
{
    const struct bs_results *results = table->results;
    int num_fields = table->num_published ? NUM_PUBLISHED_FIELDS : 0;
    for (const struct bs_field *field = bs_row_type.fields; field->name; field++)
        num_fields++;
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, num_fields);
    bs_sheet_header(&sheet, &bs_row_type);
    for (int k = 0; table->num_published && k < NUM_PUBLISHED_FIELDS; k++)
        bs_sheet_text(&sheet, "%s", published_fields[k]);
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        bs_sheet_record(&sheet, &bs_row_type, row);
        if (table->num_published)
            add_published_fields(&sheet, published_for(table, row), row);
    }
    enum bs_status status;
    if (style == BS_TABLE_CSV) {
        status = bs_sheet_print(&sheet, style, out, err);
    } else {
        /* `o` takes the array, and a NULL one makes the whole NULL. */
        json_t *json = json_pack("{s:i, s:o}", "schema_version", results->schema_version, "trials",
                                 bs_sheet_json(&sheet));
        status = bs_json_print(json, out, err);
    }
    bs_sheet_release(&sheet);
    return status;
}

enum bs_status bs_table_print(const struct bs_results *results,
                              const struct bs_published *published, int num_published,
                              enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct table table = {results, published, num_published, 0, NULL};
    if (style == BS_TABLE_CSV || style == BS_TABLE_JSON)
        return print_fields(&table, style, out, err);
    enum bs_status status = find_provenances(&table, err);
    for (int i = 0; !status && i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        bool begun = false;
        for (int k = 0; k < i && !begun; k++)
            begun = same_section(row, &results->rows[k]);
        if (begun)
            continue;
        if (i > 0)
            fputc('\n', out);
        status = print_section(&table, row, style, out, err);
    }
    bs_free(table.provenances);
    return status;
}
