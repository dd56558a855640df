/* A result file as a table: for the eye, the columns one compares; for programs, every field. */
#include "eval/store/table.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/store/sheet.h"

const char *const bs_table_styles[] = {
    [BS_TABLE_TERMINAL] = "terminal", [BS_TABLE_MARKDOWN] = "markdown", [BS_TABLE_CSV] = "csv",
    [BS_TABLE_LATEX] = "latex",       [BS_TABLE_JSON] = "json",         NULL,
};

/* What may stand in one table: numbers taken on the same text, cut alike. */
static bool same_section(const struct bs_row *a, const struct bs_row *b)
{
    return strcmp(a->text, b->text) == 0 && a->windows == b->windows && a->tokens == b->tokens;
}

/* A section of a file on its way to the sheet. */
struct section {
    const struct bs_results *results;
    const struct bs_row *first;
    int num_models;
};

static bool is_unquantized(const struct bs_row *row)
{
    return strcmp(row->algorithm, "unquantized") == 0;
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
enum { NUM_HEADINGS = sizeof headings / sizeof *headings };

static void add_dashes(struct bs_sheet *sheet, int count)
{
    for (int i = 0; i < count; i++)
        bs_sheet_text(sheet, "\xe2\x80\x94");
}

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

static void add_row(struct bs_sheet *sheet, const struct section *section, const struct bs_row *row)
{
    bool several = section->num_models > 1;
    const char *model = several ? row->model : "", *parting = several ? ", " : "";
    if (several)
        bs_sheet_text(sheet, "%s", row->model);
    bs_sheet_text(sheet, "%s%s", row->label, row->fallbacks > 0 ? " \xe2\x80\xa0" : "");
    if (strcmp(row->status, "failed") == 0) {
        add_dashes(sheet, 1);
        bs_sheet_text(sheet, "failed");
        add_dashes(sheet, NUM_HEADINGS - 3);
        bs_sheet_note(sheet, "failed: %s%s%s: %s", model, parting, row->label, row->message);
    } else {
        bs_sheet_text(sheet, "%.2f", row->bits_per_weight);
        bs_sheet_perplexity(sheet, row->perplexity, row->perplexity_se);
        add_differences(sheet, row);
        bs_sheet_rounded(sheet, row->compression_ratio);
        double quantize = isnan(row->seconds_quantize) ? 0 : row->seconds_quantize;
        bs_sheet_rounded(sheet, quantize + row->seconds_evaluate);
    }
    if (row->fallbacks > 0)
        bs_sheet_note(sheet, "\xe2\x80\xa0 %s%s%s: the algorithm changed its plan for %d linear%s",
                      model, parting, row->label, row->fallbacks, row->fallbacks == 1 ? "" : "s");
}

/* True where no earlier row of the section is of this row's model. */
static bool begins_model(const struct section *section, int row)
{
    const struct bs_row *rows = section->results->rows;
    for (int k = 0; k < row; k++)
        if (same_section(&rows[k], section->first) && strcmp(rows[k].model, rows[row].model) == 0)
            return false;
    return same_section(&rows[row], section->first);
}

/* The trials of one model, the unquantized model first. */
static void add_model(struct bs_sheet *sheet, const struct section *section, const char *model)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < section->results->num_rows; i++) {
            const struct bs_row *row = &section->results->rows[i];
            if (same_section(row, section->first) && strcmp(row->model, model) == 0 &&
                is_unquantized(row) == (pass == 0))
                add_row(sheet, section, row);
        }
}

static enum bs_status print_section(const struct bs_results *results, const struct bs_row *first,
                                    enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct section section = {results, first, 0};
    for (int i = 0; i < results->num_rows; i++)
        section.num_models += begins_model(&section, i);
    bool several = section.num_models > 1;
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, NUM_HEADINGS + several);
    sheet.num_names += several;
    char models[32];
    snprintf(models, sizeof models, "%d models", section.num_models);
    bs_sheet_title(
        &sheet,
        "%s on %s, %d windows \xc3\x97 %d tokens. \xc2\xb1 is one standard error, with a "
        "window as one observation.",
        several ? models : first->model, first->text, first->windows, first->tokens);
    if (several)
        bs_sheet_text(&sheet, "model");
    for (int j = 0; j < NUM_HEADINGS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    for (int i = 0; i < results->num_rows; i++)
        if (begins_model(&section, i))
            add_model(&sheet, &section, results->rows[i].model);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

/* Every field of every row. */
static enum bs_status print_fields(const struct bs_results *results, enum bs_table_style style,
                                   FILE *out, struct bs_error *err)
{
    int num_fields = 0;
    while (bs_row_type.fields[num_fields].name)
        num_fields++;
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, num_fields);
    bs_sheet_header(&sheet, &bs_row_type);
    for (int i = 0; i < results->num_rows; i++)
        bs_sheet_record(&sheet, &bs_row_type, &results->rows[i]);
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

enum bs_status bs_table_print(const struct bs_results *results, enum bs_table_style style,
                              FILE *out, struct bs_error *err)
{
    if (style == BS_TABLE_CSV || style == BS_TABLE_JSON)
        return print_fields(results, style, out, err);
    enum bs_status status = BS_OK;
    for (int i = 0; status == BS_OK && i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        bool begun = false;
        for (int k = 0; k < i && !begun; k++)
            begun = same_section(row, &results->rows[k]);
        if (begun)
            continue;
        if (i > 0)
            fputc('\n', out);
        status = print_section(results, row, style, out, err);
    }
    return status;
}
