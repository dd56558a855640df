#include "tests/fuzz/results.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/run/published.h"
#include "eval/report/chart.h"
#include "eval/store/results.h"
#include "eval/report/table.h"
#include "tests/fuzz/target.h"
#include "tests/support/tables.h"

enum { WINDOWS = 2, TOKENS = 5, VALUES = WINDOWS * (TOKENS - 1), LAYERS = 2 };

static const struct bs_run_info info = {
    .config = "model: tiny\n",
    .host = "host",
    .cpu = "cpu",
    .blas = "blas",
    .started = "2026-01-01T00:00:00Z",
    .finished = "",
    .threads = 1,
};

static float per_token[VALUES] = {1.5f, 0.25f, 3, 0, 2, 0.125f, 7, 1};
static uint8_t agree[VALUES] = {1, 0, 1, 1, 0, 0, 1, 1};
static const struct bs_figures figures = {
    .of = {[BS_NLL] = per_token, [BS_KLD] = per_token, [BS_SAME_TOP] = agree}};
static char columns[2][40] = {"relative_output_error", "sqnr_db"};
static struct bs_layer_row layers[LAYERS] = {
    {.block = 0,
     .name = "self_attn.q_proj",
     .out_features = 4,
     .in_features = 4,
     .values = {0.1, 20}},
    {.block = 1, .name = "mlp.up_proj", .out_features = 8, .in_features = 4, .values = {0.2, 10}},
};

/* A value of a trial, be its name known or not. */
static struct bs_value_row make_value(const char *evaluation, const char *name, double value)
{
    struct bs_value_row row = {.value = value, .se = 0.5, .df = 1, .n = VALUES};
    snprintf(row.evaluation, sizeof row.evaluation, "%s", evaluation);
    snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

/* `values` has room for 4. */
static struct bs_trial_record make_record(const char *id, const char *algorithm, int bits,
                                          struct bs_value_row *values)
{
    struct bs_trial_record record = {
        .row = {.bits = bits,
                .activation_bits = 16,
                .kv_code_bits = 16,
                .windows = WINDOWS,
                .tokens = TOKENS,
                .num_values = 4,
                .values = values},
        .canonical = "recipe\n",
        .layers = {.num_rows = bits < 16 ? LAYERS : 0,
                   .num_columns = 2,
                   .rows = layers,
                   .columns = columns},
        .figures = &figures,
    };
    struct bs_row *row = &record.row;
    values[0] = make_value("perplexity", "perplexity", bits);
    values[1] = make_value("perplexity", "nll_delta", 0.25);
    values[2] = make_value("model", "bits_per_weight", bits);
    values[3] = make_value("other", "unheard_of", 1);
    snprintf(row->id, sizeof row->id, "%s", id);
    row->recipe = bits < 16 ? algorithm : "unquantized";
    row->algorithm = algorithm;
    row->model = "tiny";
    row->text = "t";
    snprintf(row->status, sizeof row->status, "done");
    snprintf(row->evaluation, sizeof row->evaluation, "perplexity");
    return record;
}

void fuzz_make_results(const char *path)
{
    struct bs_value_row values[3][4];
    struct bs_trial_record records[] = {make_record("a", "rtn", 16, values[0]),
                                        make_record("b", "rtn", 4, values[1]),
                                        make_record("c", "gptq", 4, values[2])};
    struct bs_trial_record *failed = &records[2];
    snprintf(failed->row.status, sizeof failed->row.status, "failed");
    failed->row.message = "block 1: not finite";
    failed->row.num_values = 0;
    failed->layers = (struct bs_layer_table){.num_rows = 0};
    failed->figures = NULL;
    struct bs_error err = {0};
    if (!bs_results_commit(path, records, 3, NULL, 0, &info, &err))
        return;
    fprintf(stderr, "%s\n", err.message);
    abort();
}

static void read_figures(const char *path, const struct bs_row *row)
{
    for (int f = 0; f < BS_NUM_FIGURES; f++) {
        struct bs_error err = {0};
        void *read;
        enum bs_status status = bs_results_read_figure(path, row, (enum bs_figure)f, &read, &err);
        fuzz_check(status, &err, path);
        if (status)
            continue;
        /* as large as the row says */
        size_t last = (size_t)row->windows * ((size_t)row->tokens - 1) * bs_figure_bytes(f) - 1;
        volatile char byte = ((const char *)read)[last];
        (void)byte;
        bs_free(read);
    }
}

static void read_layers(const char *path, const struct bs_row *row)
{
    struct bs_error err = {0};
    struct bs_layer_table table;
    enum bs_status status = bs_results_read_layers(path, row->id, &table, &err);
    fuzz_check(status, &err, path);
    for (int i = 0; !status && i < table.num_rows; i++)
        if (strlen(table.rows[i].name) >= sizeof table.rows[i].name)
            abort();
    bs_layer_table_release(&table);
}

static void read_canonical(const char *path, const struct bs_row *row)
{
    struct bs_error err = {0};
    char *canonical;
    enum bs_status status = bs_results_read_text(path, row->id, "canonical", &canonical, &err);
    fuzz_check(status, &err, path);
    bs_free(canonical);
}

/* The table, with what the file's config expects, and the comparison with itself, in every
 * style. */
static void print(const struct bs_results *results, unsigned what)
{
    struct bs_error err = {0};
    struct bs_published_set set;
    FILE *out = fopen("/dev/null", "w");
    if (!out)
        abort();
    fuzz_check(bs_published_read(results, &set, &err), &err, results->path);
    const struct bs_published_list list = {set.count, set.figures};
    for (int style = 0; what & FUZZ_TABLE && bs_table_styles[style]; style++)
        fuzz_check(
            print_selected(results, &list, NULL, NULL, (enum bs_table_style)style, out, &err), &err,
            NULL);
    bs_published_release(&set);
    for (int style = 0; what & FUZZ_DIFF && bs_table_styles[style]; style++)
        fuzz_check(bs_diff_print(results, results, NULL, (enum bs_table_style)style, out, &err),
                   &err, NULL);
    fclose(out);
}

/* Every chart's data and script; gnuplot itself is not run, a folder without it being all of
 * PATH. */
static void plot(const struct bs_results *results)
{
    const struct bs_chart_how how = {
        .plots = "plots", .directory = fuzz_path("charts"), .pictures = 1u << BS_PNG};
    setenv("PATH", fuzz_folder(), 1);
    for (int chart = 0; bs_chart_names[chart]; chart++) {
        struct bs_error err = {0};
        struct bs_lines drawn = {0};
        enum bs_status status = bs_chart_draw(results, bs_chart_names[chart], &how, &drawn, &err);
        bs_lines_release(&drawn);
        if (!status)
            abort(); /* it cannot have been drawn */
        fuzz_check(status, &err, NULL);
    }
}

void fuzz_read_results(const char *path, unsigned what)
{
    struct bs_error err = {0};
    struct bs_results results;
    enum bs_status status = bs_results_read(path, &results, &err);
    fuzz_check(status, &err, path);
    if (status)
        return;
    const struct bs_row *row = results.num_rows ? &results.rows[results.num_rows / 2] : NULL;
    if (row && what & FUZZ_TOKENS)
        read_figures(path, row);
    if (row && what & FUZZ_LAYERS)
        read_layers(path, row);
    if (row && what & FUZZ_CANONICAL)
        read_canonical(path, row);
    if (what & (FUZZ_TABLE | FUZZ_DIFF))
        print(&results, what);
    if (what & FUZZ_PLOT)
        plot(&results);
    bs_results_release(&results);
}

void fuzz_continue_results(const char *path)
{
    static const char *const order[] = {"d", "b", "a"};
    struct bs_error err = {0};
    struct bs_value_row values[2][4];
    struct bs_trial_record records[] = {make_record("d", "awq", 3, values[0]),
                                        make_record("c", "gptq", 4, values[1])};
    fuzz_check(bs_results_commit(path, records, 2, order, 3, &info, &err), &err, path);
}
