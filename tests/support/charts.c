#include "tests/support/charts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "tests/support/folder.h"
#include "tests/support/results.h"
#include "tests/support/values.h"

char charts_file[80], charts_folder[80];
static int num_trials;
const char *charts_model, *charts_compute, *charts_format, *charts_family;

struct bs_chart_how charts_how;

int charts_setup(void **state)
{
    folder_setup(state);
    num_trials = 0;
    charts_model = "it's \"tiny\"";
    charts_compute = "float32";
    charts_format = charts_family = "int";
    charts_how = (struct bs_chart_how){.pictures = 1u << BS_PNG | 1u << BS_SVG};
    snprintf(charts_file, sizeof charts_file, "%s/r.h5", folder.path);
    snprintf(charts_folder, sizeof charts_folder, "%s/it's charts", folder.path);
    return 0;
}

void charts_path(const char *base, const char *ending, char *path, size_t size)
{
    snprintf(path, size, "%s/%s.%s", charts_folder, base, ending);
}

void charts_add(const char *algorithm, int bits, int activation_bits, double perplexity,
                const char *text)
{
    struct bs_value_row values[] = {
        value_row("perplexity", perplexity, NAN),
        value_row("perplexity_delta", perplexity - 60, 0.01 * fabs(perplexity - 60)),
        value_row("bits_per_weight", bits + 0.1, NAN),
        value_row("same_top", 1 - 0.01 * fabs(perplexity - 59), 0.001),
        value_row("kld_mean", 0.002 * (perplexity - 59), 0.0001),
        value_row("kv_bits", bits + 0.5, NAN)};
    struct bs_row row = {.bits = bits,
                         .activation_bits = activation_bits,
                         .kv_code_bits = 16,
                         .windows = 2,
                         .tokens = 2,
                         .scored = 2,
                         .num_values = strcmp(algorithm, "unquantized") ? 6 : 3,
                         .values = values};
    char label[64] = "unquantized";
    bool unquantized = !strcmp(algorithm, "unquantized");
    snprintf(row.id, sizeof row.id, "%d", num_trials++);
    row.algorithm = algorithm;
    row.recipe = label;
    if (!unquantized)
        snprintf(label, sizeof label, "%s %s%d g128%s%s", algorithm,
                 !strcmp(charts_format, "int") ? "w" : charts_format, bits,
                 activation_bits < 16 ? " a8 token" : "",
                 !strcmp(charts_compute, "bfloat16") ? " bfloat16" : "");
    row.text = text;
    row.model = charts_model;
    snprintf(row.compute, sizeof row.compute, "%s", charts_compute);
    snprintf(row.status, sizeof row.status, "done");
    snprintf(row.evaluation, sizeof row.evaluation, "perplexity");
    snprintf(row.granularity, sizeof row.granularity, "128");
    snprintf(row.format, sizeof row.format, "%s", unquantized ? "none" : charts_format);
    snprintf(row.format_family, sizeof row.format_family, "%s", unquantized ? "" : charts_family);
    struct bs_layer_row layers[6];
    for (int i = 0; i < 6; i++) {
        static const char *const names[] = {"attn.q_proj", "attn.k_proj", "mlp.fc1"};
        layers[i] = (struct bs_layer_row){.block = i / 3};
        set_layer_value(&layers[i], "relative_output_error", 1.0 / (bits + i));
        set_layer_value(&layers[i], "sqnr_db", 5 * bits + i);
        snprintf(layers[i].name, sizeof layers[i].name, "%s", names[i % 3]);
    }
    float nll[] = {(float)log(perplexity) - 0.25f, (float)log(perplexity) + 0.25f};
    float kld[] = {0.5f, 0.25f};
    uint8_t same_top[] = {1, 0};
    const struct bs_figures figures = {
        .of = {[BS_NLL] = nll, [BS_KLD] = kld, [BS_SAME_TOP] = same_top}};
    const struct bs_trial_record record = {.row = row,
                                           .canonical = "",
                                           .layers = layer_table(layers, unquantized ? 0 : 6),
                                           .figures = &figures};
    results_add(charts_file, &record);
}

const struct bs_chart_how *charts_how_of(const char *plots)
{
    charts_how.plots = plots;
    charts_how.directory = charts_folder;
    return &charts_how;
}

enum bs_status charts_draw(const char *name, const char *plots, struct bs_error *err)
{
    struct bs_results results;
    if (bs_results_read(charts_file, &results, err))
        fail_msg("%s", err->message);
    struct bs_lines drawn = {0};
    enum bs_status status = bs_chart_draw(&results, name, charts_how_of(plots), &drawn, err);
    bs_lines_release(&drawn);
    bs_results_release(&results);
    return status;
}

void charts_assert_pictures(const char *base)
{
    struct bs_error err;
    char path[160], *data;
    size_t size;
    charts_path(base, "png", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_true(size > 5000);
    assert_memory_equal(data, "\x89PNG\r\n\x1a\n", 8);
    assert_memory_equal(data + size - 8, "IEND", 4);
    int width = (unsigned char)data[18] << 8 | (unsigned char)data[19];
    assert_int_equal(width, 1600);
    bs_free(data);
    charts_path(base, "svg", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "<svg"));
    assert_non_null(strstr(data, "</svg>"));
    bs_free(data);
}
