#include "eval/report/choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/report/html.h"
#include "eval/report/sheet.h"
#include "eval/tasks/evaluation.h"

/* A trial that is judged, or a recipe: the mean of several draws of its calibration. */
struct candidate {
    struct bs_row row; /* a mean's is to be released */
    bool is_mean;
    int place;              /* in the order of what is shown */
    double bytes, loss, se; /* NaN loss of a trial that failed; NaN se where it is not known */
    char reason[400];       /* why it fell; "" = it holds */
};

/* The trials of one model on one text. */
struct field {
    const struct bs_row *unquantized;
    const struct bs_choice_limits *wish;
    double limit; /* of the loss, NaN = none */
    bool of_items;
    int count;
    struct candidate *candidates;
};

static const char *value_name(const struct field *field)
{
    return field->of_items ? "acc" : "perplexity";
}

/* Losses of items in percent, as tables show them. */
static double scale_of(const struct field *field) { return field->of_items ? 100 : 1; }

static void judge_size(const struct field *field, struct candidate *own)
{
    const struct bs_choice_limits *wish = field->wish;
    if (!bs_row_is_done(&own->row))
        snprintf(own->reason, sizeof own->reason, "failed");
    else if (!isfinite(own->loss) || !isfinite(own->bytes))
        snprintf(own->reason, sizeof own->reason, "its loss or its size is not known");
    else if (wish->bits && own->row.bits > wish->bits)
        snprintf(own->reason, sizeof own->reason, "%d bits", own->row.bits);
    else if (wish->memory > 0 && own->bytes > wish->memory)
        snprintf(own->reason, sizeof own->reason, "too large");
}

static void judge_loss(const struct field *field, struct candidate *own)
{
    double over = own->loss - field->limit, scale = scale_of(field);
    if (*own->reason || !isfinite(field->limit) || over + 2 * own->se <= 0)
        return;
    if (isnan(own->se)) {
        snprintf(own->reason, sizeof own->reason, "not known, its error is not known");
        return;
    }
    bool known = over - 2 * own->se > 0;
    snprintf(own->reason, sizeof own->reason, "%s %.3g",
             known ? "loses more than" : "not known to lose no more than", scale * field->limit);
}

/* Two standard errors of the difference of both losses, as if they were of different texts. */
static double noise_of(const struct candidate *a, const struct candidate *b)
{
    return 2 * sqrt(a->se * a->se + b->se * b->se);
}

/* Whether `other` leaves no reason to take `own`; not known to where an error is not known. */
static bool beats(const struct candidate *other, const struct candidate *own)
{
    double noise = noise_of(own, other), better = own->loss - other->loss;
    if (isnan(noise))
        return false;
    return (other->bytes <= own->bytes && better > noise) ||
           (other->bytes < own->bytes && better >= 0);
}

/* Of those that hold otherwise: the one that beats it by most says why. */
static void judge_front(const struct field *field, struct candidate *own, char *reason, size_t size)
{
    const struct candidate *best = NULL;
    for (int i = 0; i < field->count && !*own->reason; i++) {
        const struct candidate *other = &field->candidates[i];
        if (other != own && !*other->reason && beats(other, own) &&
            (!best || other->loss < best->loss))
            best = other;
    }
    *reason = '\0';
    if (!best)
        return;
    const char *size_of_it = best->bytes < own->bytes ? "smaller" : "as small";
    if (best->loss < own->loss)
        snprintf(reason, size, "%s is %s and loses %.2g less", best->row.label, size_of_it,
                 scale_of(field) * (own->loss - best->loss));
    else
        snprintf(reason, size, "%s is %s and loses no more", best->row.label, size_of_it);
}

static int by_verdict(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (!*a->reason != !*b->reason)
        return !*a->reason ? -1 : 1;
    if (a->bytes < b->bytes || a->bytes > b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    if (a->loss < b->loss || a->loss > b->loss)
        return a->loss < b->loss ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

/* The front is that of the trials that hold otherwise, all of which are known before. */
static enum bs_status judge(struct field *field, struct bs_error *err)
{
    enum { REASON = sizeof field->candidates->reason };
    char(*fallen)[REASON] = bs_calloc((size_t)field->count, sizeof *fallen);
    if (!fallen)
        return bs_fail_memory(err);
    for (int i = 0; i < field->count; i++) {
        judge_size(field, &field->candidates[i]);
        judge_loss(field, &field->candidates[i]);
    }
    for (int i = 0; i < field->count; i++)
        judge_front(field, &field->candidates[i], fallen[i], REASON);
    for (int i = 0; i < field->count; i++)
        if (!*field->candidates[i].reason)
            snprintf(field->candidates[i].reason, REASON, "%s", fallen[i]);
    bs_free(fallen);
    qsort(field->candidates, (size_t)field->count, sizeof *field->candidates, by_verdict);
    return BS_OK;
}

/* The loss that the trial has, with the error of its difference. */
static void measure(const struct field *field, struct candidate *own)
{
    char name[32];
    snprintf(name, sizeof name, "%s_delta", value_name(field));
    const struct bs_value_row *delta =
        bs_row_value(&own->row, field->unquantized->evaluation, name);
    double sd = delta ? delta->calibration_sd : (double)NAN;
    own->bytes = bs_row_number(&own->row, "bytes");
    own->loss = delta ? (field->of_items ? -delta->value : delta->value) : (double)NAN;
    own->se = delta && isfinite(delta->se) ? delta->se : (double)NAN;
    if (isfinite(sd))
        own->se = sqrt(own->se * own->se + sd * sd);
}

static void release_field(struct field *field)
{
    for (int i = 0; i < field->count; i++)
        if (field->candidates[i].is_mean)
            bs_rows_mean_release(&field->candidates[i].row);
    bs_free(field->candidates);
}

static enum bs_status begin_field(struct field *field, const struct bs_trials *shown,
                                  const struct bs_choice_limits *wish,
                                  const struct bs_row *unquantized, struct bs_error *err)
{
    *field = (struct field){.unquantized = unquantized,
                            .wish = wish,
                            .of_items = bs_evaluation_has_answers(unquantized->evaluation)};
    double level = bs_row_number(unquantized, value_name(field));
    field->limit =
        wish->max_delta > 0 ? wish->max_delta * (wish->is_relative ? level : 1) : (double)NAN;
    field->candidates = bs_calloc((size_t)shown->results.num_rows, sizeof *field->candidates);
    if (!field->candidates)
        return bs_fail_memory(err);
    for (int i = 0; i < shown->results.num_rows; i++) {
        const struct bs_row *row = &shown->results.rows[i];
        if (!bs_rows_same_subject(row, unquantized) || !strcmp(row->algorithm, "unquantized"))
            continue;
        if (bs_trials_is_told(shown, i))
            continue;
        struct candidate *own = &field->candidates[field->count];
        *own = (struct candidate){.row = *row, .place = i};
        own->is_mean = bs_row_is_done(row) && bs_trials_whole_group(shown, row);
        if (own->is_mean &&
            bs_rows_mean(shown->all->rows, shown->all->num_rows, row, &own->row, err))
            return err->status;
        field->count++;
        measure(field, own);
    }
    return judge(field, err);
}

static void add_candidate(struct bs_sheet *sheet, const struct field *field,
                          const struct candidate *own, bool for_programs)
{
    double scale = scale_of(field);
    if (own->is_mean && !for_programs)
        bs_sheet_text(sheet, "%s, mean of %d seeds", own->row.label, own->row.calibrations);
    else
        bs_sheet_text(sheet, "%s", own->row.label);
    if (for_programs) {
        bs_sheet_text(sheet, "%s", own->row.model);
        bs_sheet_text(sheet, "%s", own->row.text);
        bs_sheet_text(sheet, "%s", value_name(field));
        bs_sheet_double(sheet, bs_row_number(&own->row, "bits_per_weight"));
        bs_sheet_double(sheet, own->bytes);
        bs_sheet_double(sheet, own->loss);
        bs_sheet_double(sheet, own->se);
        bs_sheet_text(sheet, "%s", *own->reason ? "fell" : "holds");
        bs_sheet_text(sheet, "%s", own->reason);
        return;
    }
    bs_sheet_text(sheet, "%s", *own->reason ? own->reason : "holds");
    bs_sheet_rounded(sheet, bs_row_number(&own->row, "bits_per_weight"));
    bs_sheet_rounded(sheet, own->bytes / 1e6);
    bs_sheet_estimate(sheet, scale * own->loss, scale * own->se, true, 0);
}

static void add_headings(struct bs_sheet *sheet, bool for_programs, bool of_items)
{
    static const char *const eyes[] = {"recipe", "verdict", "bits/\nweight", "size\nMB", NULL};
    static const char *const programs[] = {"label",           "model",  "text", "compared",
                                           "bits_per_weight", "bytes",  "loss", "se",
                                           "verdict",         "reason", NULL};
    const char *const *names = for_programs ? programs : eyes;
    int count = 0;
    while (names[count])
        count++;
    bs_sheet_init(sheet, count + !for_programs);
    sheet->num_names = 2;
    for (int j = 0; j < count; j++)
        bs_sheet_text(sheet, "%s", names[j]);
    if (!for_programs)
        bs_sheet_text(sheet, of_items ? "loss of\nacc %%" : "loss of\nperplexity");
    for (int j = 2; j < sheet->num_columns && !for_programs; j++)
        bs_sheet_keep(sheet, j);
}

/* Those that hold come first; which of them it is: the smallest where a limit says how much may be
 * lost, else what loses least, and then the smallest that is not known to lose more. */
static void add_recommendation(struct bs_sheet *sheet, const struct field *field, int holding)
{
    const struct candidate *all = field->candidates;
    int best = 0, smallest = 0;
    for (int i = 1; i < holding && !isfinite(field->limit); i++)
        if (all[i].loss < all[best].loss)
            best = i;
    while (smallest < best &&
           !(all[smallest].loss - all[best].loss <= noise_of(&all[smallest], &all[best])))
        smallest++;
    if (!holding)
        bs_sheet_note(sheet, "none of %d holds", field->count);
    else if (isfinite(field->limit))
        bs_sheet_note(sheet, "recommended: %s, the smallest of what holds", all[best].row.label);
    else
        bs_sheet_note(sheet, "recommended: %s, which loses least of what holds%s%s%s",
                      all[best].row.label, smallest == best ? "" : "; ",
                      smallest == best ? "" : all[smallest].row.label,
                      smallest == best ? "" : " is the smallest that is not known to lose more");
    bs_sheet_note(sheet, "\xc2\xb1 is one standard error of the paired difference to the "
                         "unquantized model; to hold a limit a loss keeps two of them from it");
}

static enum bs_status print_field(const struct field *field, int holding, enum bs_table_style style,
                                  FILE *out, struct bs_error *err)
{
    struct bs_sheet sheet;
    char measured[BS_MEASURED_TEXT], limit[64] = "";
    bs_row_measured(field->unquantized, measured);
    if (isfinite(field->limit))
        snprintf(limit, sizeof limit, "; to lose no more than %.3g",
                 scale_of(field) * field->limit);
    add_headings(&sheet, false, field->of_items);
    bs_sheet_title(&sheet, "%s on %s, %s%s", field->unquantized->model, field->unquantized->text,
                   measured, limit);
    for (int i = 0; i < field->count; i++) {
        if (i == holding && i)
            bs_sheet_rule(&sheet);
        add_candidate(&sheet, field, &field->candidates[i], false);
    }
    add_recommendation(&sheet, field, holding);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

static int count_holding(const struct field *field)
{
    int count = 0;
    for (int i = 0; i < field->count; i++)
        count += !*field->candidates[i].reason;
    return count;
}

/* Of a task the unquantized model must have an item right. */
static bool has_to_lose(const struct bs_row *unquantized)
{
    return !bs_evaluation_has_answers(unquantized->evaluation) ||
           bs_row_number(unquantized, "acc") > 0;
}

/* The unquantized model need not be among what is shown to be compared with. */
static const struct bs_row *next_unquantized(const struct bs_trials *shown, int *i)
{
    const struct bs_results *all = shown->all;
    while (*i < all->num_rows) {
        const struct bs_row *row = &all->rows[(*i)++];
        bool any = false;
        for (int k = 0; k < shown->results.num_rows && !any; k++)
            any = bs_rows_same_subject(&shown->results.rows[k], row) &&
                  strcmp(shown->results.rows[k].algorithm, "unquantized");
        if (any && bs_row_is_done(row) && !strcmp(row->algorithm, "unquantized"))
            return row;
    }
    return NULL;
}

static void tell_nothing(const struct bs_row *unquantized, enum bs_table_style style, FILE *out)
{
    static const char words[] = "%s on %s has nothing right to lose";
    if (style == BS_TABLE_HTML)
        bs_html_element(out, "p", words, unquantized->model, unquantized->text);
    else
        bs_print_line(out, words, unquantized->model, unquantized->text);
}

enum bs_status bs_choose_print(const struct bs_trials *shown, const struct bs_choice_limits *wish,
                               enum bs_table_style style, FILE *out, bool *held,
                               struct bs_error *err)
{
    bool for_programs = bs_table_is_for_programs(style);
    struct bs_sheet sheet = {.num_cells = 0};
    enum bs_status status = BS_OK;
    const struct bs_row *unquantized;
    int fields = 0;
    *held = true;
    if (for_programs)
        add_headings(&sheet, true, false);
    for (int i = 0; !status && (unquantized = next_unquantized(shown, &i));) {
        struct field field;
        if (!has_to_lose(unquantized)) {
            tell_nothing(unquantized, style, for_programs ? stderr : out);
            continue;
        }
        status = begin_field(&field, shown, wish, unquantized, err);
        int holding = status ? 0 : count_holding(&field);
        *held = *held && holding;
        if (fields && !for_programs)
            fputc('\n', out);
        for (int k = 0; k < field.count && for_programs; k++)
            add_candidate(&sheet, &field, &field.candidates[k], true);
        if (!status && !for_programs)
            status = print_field(&field, holding, style, out, err);
        release_field(&field);
        fields++;
    }
    if (!status && !fields)
        status = bs_fail(err, BS_EDATA,
                         "%s: no trial to judge: expected a quantized one beside "
                         "an unquantized model that has something to lose",
                         shown->all->path);
    else if (!status && style == BS_TABLE_JSON)
        status = bs_json_print(bs_sheet_json(&sheet), out, err);
    else if (!status && for_programs)
        status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}
