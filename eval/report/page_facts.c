/* What was run and where, and what a reader has to know before the numbers. */
#include <math.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/report/html.h"
#include "eval/report/page_internal.h"

/* A row of the list of facts; nothing where there is nothing to say. */
static void print_fact(FILE *out, const char *name, const struct bs_lines *values)
{
    if (!values->count)
        return;
    fprintf(out, "<dt>%s</dt>\n", name);
    for (int i = 0; i < values->count; i++)
        bs_html_element(out, "dd", "%s", values->lines[i]);
}

/* Adds a line that is not there yet. */
static enum bs_status add_new(struct bs_lines *lines, const char *line, struct bs_error *err)
{
    return !*line || bs_lines_have(lines, line) ? BS_OK : bs_lines_add(lines, err, "%s", line);
}

static const char *or_empty(const char *text) { return text ? text : ""; }

static enum bs_status list_model(const struct bs_row *row, struct bs_lines *lines,
                                 struct bs_error *err)
{
    char *line = bs_printf("%s (digest %.8s)", row->model, row->model_digest);
    enum bs_status status = line ? add_new(lines, line, err) : bs_fail_memory(err);
    bs_free(line);
    return status;
}

static enum bs_status list_text(const struct bs_row *row, struct bs_lines *lines,
                                struct bs_error *err)
{
    char measured[BS_MEASURED_TEXT];
    bs_row_measured(row, measured);
    char *line = bs_printf("%s, %s", row->text, measured);
    enum bs_status status = line ? add_new(lines, line, err) : bs_fail_memory(err);
    bs_free(line);
    return status;
}

static enum bs_status list_calibration(const struct bs_row *row, struct bs_lines *lines,
                                       struct bs_error *err)
{
    char seed[32] = "";
    if (!row->calibration_text)
        return BS_OK;
    if (row->calibration_seed >= 0)
        snprintf(seed, sizeof seed, ", seed %d", row->calibration_seed);
    char *line = *row->calibration_digest
                     ? bs_printf("%s, %d windows of %d tokens, sampling %s%s",
                                 row->calibration_text, row->calibration_windows,
                                 row->calibration_tokens, row->calibration_sampling, seed)
                     : bs_strdup("");
    enum bs_status status = line ? add_new(lines, line, err) : bs_fail_memory(err);
    bs_free(line);
    return status;
}

static enum bs_status list_program(const struct bs_row *row, struct bs_lines *lines,
                                   struct bs_error *err)
{
    char *line = bs_printf("bitsweep %s, commit %s, numerics %s", or_empty(row->version),
                           or_empty(row->commit), row->numerics);
    enum bs_status status = line ? add_new(lines, line, err) : bs_fail_memory(err);
    bs_free(line);
    return status;
}

static enum bs_status list_machine(const struct bs_row *row, struct bs_lines *lines,
                                   struct bs_error *err)
{
    char *line = bs_printf("%s, instructions %s, BLAS %s, %d thread%s, begun %s",
                           or_empty(row->cpu), row->isa, or_empty(row->blas), row->threads,
                           row->threads == 1 ? "" : "s", row->started);
    enum bs_status status = line ? add_new(lines, line, err) : bs_fail_memory(err);
    bs_free(line);
    return status;
}

/* A list of what differs among the trials, by one function a row. */
static enum bs_status print_list(const struct bs_page *page, const char *name,
                                 enum bs_status (*list)(const struct bs_row *, struct bs_lines *,
                                                        struct bs_error *),
                                 FILE *out, struct bs_error *err)
{
    const struct bs_results *results = &page->shown->results;
    struct bs_lines lines = {0};
    enum bs_status status = BS_OK;
    for (int i = 0; i < results->num_rows && !status; i++)
        status = list(&results->rows[i], &lines, err);
    if (!status)
        print_fact(out, name, &lines);
    bs_lines_release(&lines);
    return status;
}

/* "29 trials, 1 of them failed; 12 s to quantize, 40 s to evaluate" */
static void print_counts(const struct bs_page *page, FILE *out)
{
    const struct bs_results *results = &page->shown->results;
    int failed = 0;
    double quantize = 0, evaluate = 0;
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        failed += !bs_row_is_done(row);
        quantize += isfinite(row->seconds_quantize) ? row->seconds_quantize : 0;
        evaluate += isfinite(row->seconds_evaluate) ? row->seconds_evaluate : 0;
    }
    fputs("<dt>Trials</dt>\n", out);
    bs_html_element(out, "dd",
                    "%d of %d, %d failed; %.0f s to quantize, %.0f s to "
                    "evaluate",
                    results->num_rows, page->shown->all->num_rows, failed, quantize, evaluate);
    if (page->selected)
        bs_html_element(out, "dd", "chosen by %s", page->selected);
}

/* The files, and which machine's run each is from. */
static enum bs_status print_files(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    fputs("<dt>Results</dt>\n", out);
    for (int f = 0; f < bs_page_files(page); f++) {
        char *host;
        const char *path = bs_page_file(page, f)->path;
        if (bs_results_read_text(path, NULL, "host", &host, err))
            return err->status;
        bs_html_element(out, "dd", "%s, of a run on %s", path, host);
        bs_free(host);
    }
    return BS_OK;
}

enum bs_status bs_page_facts(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    static const struct {
        const char *name;
        enum bs_status (*list)(const struct bs_row *, struct bs_lines *, struct bs_error *);
    } lists[] = {
        {"Models", list_model},    {"Measured on", list_text},  {"Calibration", list_calibration},
        {"Program", list_program}, {"Processor", list_machine},
    };
    bs_page_section(out, "run", "What was run");
    fputs("<dl>\n", out);
    print_counts(page, out);
    enum bs_status status = BS_OK;
    for (size_t i = 0; i < sizeof lists / sizeof *lists && !status; i++)
        status = print_list(page, lists[i].name, lists[i].list, out, err);
    if (!status)
        status = print_files(page, out, err);
    fputs("</dl>\n</section>\n", out);
    return status;
}

/* ---- what to know ---- */

/* What was passed over or decided as the model was opened, once for each model and run. */
static enum bs_status add_notices(const struct bs_page *page, int trial, struct bs_lines *lines,
                                  struct bs_error *err)
{
    const struct bs_row *row = &page->shown->results.rows[trial];
    for (int k = 0; k < trial; k++) {
        const struct bs_row *other = &page->shown->results.rows[k];
        if (!strcmp(row->model, other->model) && !strcmp(row->started, other->started))
            return BS_OK;
    }
    struct bs_error none;
    char *notices;
    enum bs_status status = bs_results_read_text(row->file, row->id, "notices", &notices, &none);
    if (status) /* most trials have none */
        return status == BS_ENOMEM ? bs_fail_memory(err) : BS_OK;
    for (char *line = notices; *line && !status;) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + (line[length] == '\n');
        line[length] = '\0';
        status = add_new(lines, line, err);
        line = next;
    }
    bs_free(notices);
    return status;
}

/* What is the same on every text. */
static enum bs_status add_of_model(const struct bs_row *row, const char *what, double count,
                                   struct bs_lines *lines, struct bs_error *err)
{
    char *line = bs_printf("%s, %s: %s %.0f", row->model, row->label, what, count);
    enum bs_status status = line ? add_new(lines, line, err) : bs_fail_memory(err);
    bs_free(line);
    return status;
}

static enum bs_status add_trial(const struct bs_page *page, int trial, struct bs_lines *lines,
                                struct bs_error *err)
{
    const struct bs_row *row = &page->shown->results.rows[trial];
    double fallbacks = bs_row_number(row, "fallbacks"), dead = bs_row_number(row, "dead_columns");
    if (!bs_row_is_done(row))
        return bs_lines_add(lines, err, "failed: %s, %s on %s: %s", row->model, row->label,
                            row->text, or_empty(row->message));
    if (fallbacks > 0 &&
        add_of_model(row, "the algorithm changed its plan for linears:", fallbacks, lines, err))
        return err->status;
    return dead > 0 ? add_of_model(row, "input columns that are always zero in calibration:", dead,
                                   lines, err)
                    : BS_OK;
}

static enum bs_status add_unfinished(const struct bs_page *page, struct bs_lines *lines,
                                     struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int f = 0; f < bs_page_files(page) && !status; f++) {
        char *finished;
        const char *path = bs_page_file(page, f)->path;
        if (bs_results_read_text(path, NULL, "finished", &finished, err))
            return err->status;
        if (!*finished)
            status = bs_lines_add(lines, err,
                                  "the run had not finished: %s lacks trials that its config asks "
                                  "for",
                                  path);
        bs_free(finished);
    }
    return status;
}

/* Texts of so few windows that no test finds a difference on them. */
static enum bs_status add_short_text(const struct bs_page *page, int trial, struct bs_lines *lines,
                                     struct bs_error *err)
{
    enum { FEWEST = 6 };
    const struct bs_row *row = &page->shown->results.rows[trial];
    if (row->windows >= FEWEST || row->windows < 1)
        return BS_OK;
    char *line = bs_printf("%s has %d window%s: fewer than %d never show a difference", row->text,
                           row->windows, row->windows == 1 ? "" : "s", FEWEST);
    enum bs_status status = line ? add_new(lines, line, err) : bs_fail_memory(err);
    bs_free(line);
    return status;
}

enum bs_status bs_page_warnings(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    struct bs_lines lines = {0};
    enum bs_status status = add_unfinished(page, &lines, err);
    for (int i = 0; i < page->shown->results.num_rows && !status; i++) {
        status = add_trial(page, i, &lines, err);
        if (!status)
            status = add_short_text(page, i, &lines, err);
        if (!status)
            status = add_notices(page, i, &lines, err);
    }
    if (!status && lines.count) {
        bs_page_section(out, "warnings", "To know");
        fputs("<ul>\n", out);
        for (int i = 0; i < lines.count; i++)
            bs_html_element(out, "li", "%s", lines.lines[i]);
        fputs("</ul>\n</section>\n", out);
    }
    bs_lines_release(&lines);
    return status;
}
