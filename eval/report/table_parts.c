/* What tells the recipes of a table apart, as columns in the place of their labels. */
#include <string.h>

#include "eval/report/table_internal.h"

/* What a recipe is told by. A main part has a column where it varies at all; another one only where
 * those before it do not tell all recipes apart: most follow from the algorithm. */
static const struct part {
    const char *field, *heading;
    bool is_main;
} parts[] = {
    {"algorithm", "algorithm", true},
    {"format", "format", true},
    {"bits", "bits", true},
    {"granularity", "group", true},
    {"activation_bits", "act.\nbits", true},
    {"kv_code_bits", "KV\nbits", true},
    {"activation_granularity", "act.\nscales", false},
    {"grid", "grid", false},
    {"symmetric", "symmetric", false},
    {"range", "range", false},
    {"options", "options", false},
    {"calibrate_on", "calibrated on", false},
    {"compute", "compute", false},
    {"calibration_text", "calibration", false},
    {"calibration_windows", "windows", false},
    {"calibration_tokens", "tokens", false},
    {"calibration_seed", "seed", false},
    {"numerics", "numerics", false},
};
enum { NUM_PARTS = sizeof parts / sizeof *parts };
_Static_assert(sizeof parts / sizeof *parts <= BS_MOST_PARTS, "a section has room for all parts");

static const char seed_field[] = "calibration_seed";

static const struct bs_field *field_of(int part)
{
    const struct bs_field *field = bs_row_type.fields;
    while (strcmp(field->name, parts[part].field))
        field++;
    return field;
}

static bool same_part(int part, const struct bs_row *a, const struct bs_row *b)
{
    const struct bs_field *field = field_of(part);
    if (field->kind == BS_FIELD_INT)
        return bs_field_int(field, a) == bs_field_int(field, b);
    return !strcmp(bs_field_text(field, a), bs_field_text(field, b));
}

/* Whether the row has nothing there, as unquantized weights have no format. */
static bool has_none(int part, const struct bs_row *row)
{
    const struct bs_field *field = field_of(part);
    const char *text = field->kind == BS_FIELD_INT ? "some" : bs_field_text(field, row);
    return !*text || !strcmp(text, "none");
}

static bool is_told(const struct bs_parts *chosen, const struct bs_row *a, const struct bs_row *b)
{
    for (int p = 0; p < chosen->count; p++)
        if (!same_part(chosen->parts[p], a, b))
            return true;
    return false;
}

/* Whether rows that may stand together, quantized and of one model, are two recipes. */
static bool are_two(const struct bs_row *a, const struct bs_row *b, const struct bs_row *first)
{
    return bs_rows_comparable(a, first) && bs_rows_comparable(b, first) &&
           !strcmp(a->model, b->model) && strcmp(a->label, b->label) &&
           strcmp(a->algorithm, "unquantized") && strcmp(b->algorithm, "unquantized");
}

/* Whether the part has a column after those that are chosen. */
static bool is_wanted(const struct bs_results *results, const struct bs_row *first,
                      const struct bs_parts *chosen, int part)
{
    for (int i = 0; i < results->num_rows; i++)
        for (int k = 0; k < i; k++) {
            const struct bs_row *a = &results->rows[i], *b = &results->rows[k];
            bool varies = are_two(a, b, first) && !same_part(part, a, b);
            bool is_shown = parts[part].is_main && !has_none(part, a) && !has_none(part, b);
            if (varies && (is_shown || !is_told(chosen, a, b)))
                return true;
        }
    return false;
}

void bs_parts_choose(const struct bs_results *results, const struct bs_row *first,
                     struct bs_parts *chosen)
{
    chosen->count = 0;
    for (int part = 0; part < NUM_PARTS; part++)
        if (is_wanted(results, first, chosen, part))
            chosen->parts[chosen->count++] = part;
    chosen->with_label = !chosen->count;
    for (int i = 0; i < results->num_rows; i++)
        for (int k = 0; k < i; k++)
            chosen->with_label =
                chosen->with_label || (are_two(&results->rows[i], &results->rows[k], first) &&
                                       !is_told(chosen, &results->rows[i], &results->rows[k]));
}

void bs_parts_headings(struct bs_sheet *sheet, const struct bs_parts *chosen)
{
    if (chosen->with_label)
        bs_sheet_text(sheet, "recipe");
    for (int p = 0; p < chosen->count; p++)
        bs_sheet_text(sheet, "%s", parts[chosen->parts[p]].heading);
}

void bs_parts_cells(struct bs_sheet *sheet, const struct bs_parts *chosen, const struct bs_row *row,
                    const char *marks, bool is_mean)
{
    bool is_reference = !strcmp(row->algorithm, "unquantized");
    char seeds[32];
    snprintf(seeds, sizeof seeds, "mean of %d", row->calibrations);
    if (chosen->with_label)
        bs_sheet_text(sheet, "%s%s%s%s%s", row->label, marks, is_mean ? ", " : "",
                      is_mean ? seeds : "", is_mean ? " seeds" : "");
    for (int p = 0; p < chosen->count; p++) {
        const struct bs_field *field = field_of(chosen->parts[p]);
        bool is_first = !p && !chosen->with_label;
        const char *own_marks = is_first ? marks : "";
        bool is_number = field->kind == BS_FIELD_INT;
        int number = is_number ? bs_field_int(field, row) : 0;
        const char *text = is_number ? "" : bs_field_text(field, row);
        if (is_reference)
            bs_sheet_text(sheet, "%s%s", is_first ? row->label : "\xe2\x80\x94", own_marks);
        else if (is_mean && !strcmp(field->name, seed_field))
            bs_sheet_text(sheet, "%s", seeds);
        else if (is_number && number >= 0)
            bs_sheet_text(sheet, "%d%s", number, own_marks);
        else if (is_number || !*text || !strcmp(text, "none"))
            bs_sheet_text(sheet, "\xe2\x80\x94%s", own_marks);
        else
            bs_sheet_text(sheet, "%s%s", text, own_marks);
    }
}
