/* Charts for print, and of any value over any other. */
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
#include "tests/support/charts.h"
#include "tests/support/folder.h"

/* For print: widths, colours and files of other kinds, under names of their own. */
static void test_print(void **state)
{
    (void)state;
    static const struct {
        bool is_single, is_dark;
        const char *base, *width, *paper;
    } cases[] = {{true, false, "pareto_single", "237.6", "#ffffff"},
                 {false, true, "pareto_dark", "504", "#16181d"},
                 {true, true, "pareto_single_dark", "237.6", "#16181d"}};
    struct bs_error err;
    char path[160], *data, words[64];
    size_t size;
    charts_add("unquantized", 16, 16, 60, "text");
    for (int bits = 2; bits <= 4; bits++)
        charts_add("rtn", bits, 16, 60 + 500.0 / (1 << 2 * bits), "text");
    charts_add("rtn", 8, 8, 61, "text");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        charts_how.pictures = 1u << BS_PDF | 1u << BS_EPS | 1u << BS_SVG;
        charts_how.is_single = cases[i].is_single;
        charts_how.is_dark = cases[i].is_dark;
        for (int chart = 0; bs_chart_names[chart]; chart++)
            if (strcmp(bs_chart_names[chart], "sensitivity") && /* there are no such trials */
                strcmp(bs_chart_names[chart], "channels") &&
                charts_draw(bs_chart_names[chart], "plots", &err))
                fail_msg("%s: %s", bs_chart_names[chart], err.message);
        charts_path(cases[i].base, "png", path, sizeof path);
        assert_int_not_equal(access(path, F_OK), 0); /* not asked for */
        charts_path(cases[i].base, "pdf", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        assert_memory_equal(data, "%PDF-", 5);
        bs_free(data);
        charts_path(cases[i].base, "eps", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        assert_memory_equal(data, "%!PS-Adobe-3.0 EPSF-3.0", 23);
        snprintf(words, sizeof words, "%%%%BoundingBox: 0 0 %.3s", cases[i].width);
        assert_non_null(strstr(data, cases[i].is_single ? "%%BoundingBox: 0 0 23" : words));
        bs_free(data);
        charts_path(cases[i].base, "svg", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        assert_non_null(strstr(data, cases[i].is_single ? "width=\"960\"" : "width=\"1600\""));
        assert_non_null(strstr(data, cases[i].paper));
        bs_free(data);
    }
}

/* The n-th block of the data, of which the first is 0. */
static const char *block_of(const char *data, int n)
{
    const char *at = strchr(data, '\n') + 1;
    for (; n > 0; n--)
        at = strstr(at, "\n\n\n") + 3;
    return at;
}

static void assert_begins(const char *text, const char *with)
{
    if (strncmp(text, with, strlen(with)))
        fail_msg("expected %s, found %.80s", with, text);
}

/* Any number over any other: lines and panels by columns, published figures beside the measured
 * ones, and nothing moved. */
static void test_xy(void **state)
{
    (void)state;
    struct bs_error err;
    char path[160], *data;
    size_t size;
    static const struct bs_published figures[] = {{.model = "one",
                                                   .text = "text",
                                                   .label = "rtn w3 g128",
                                                   .tokens = 2,
                                                   .value_name = "kld_mean",
                                                   .value = 0.03}};
    for (int m = 0; m < 2; m++) {
        charts_model = m ? "two" : "one";
        charts_add("unquantized", 16, 16, 60, "text");
        for (int bits = 3; bits <= 4; bits++) {
            charts_add("rtn", bits, 16, 60 + 500.0 / (1 << 2 * bits), "text");
            charts_add("gptq", bits, 16, 60 + 400.0 / (1 << 2 * bits), "text");
        }
    }
    charts_how.x = "bits";
    charts_how.y = "kld_mean";
    charts_how.lines = "algorithm";
    charts_how.panels = "model";
    charts_how.published = (struct bs_published_list){1, figures};
    if (charts_draw("xy", "plots", &err))
        fail_msg("%s", err.message);
    charts_assert_pictures("kld_mean_over_bits");
    charts_path("kld_mean_over_bits", "tsv", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    const char *rtn = "3\t0\t17.625\t0.1\trtn w3 g128\tone\n4\t0\t5.90625\t0.1\trtn w4 g128\tone\n";
    assert_begins(block_of(data, 0), rtn);
    assert_begins(block_of(data, 1), "3\t0\t14.5\t0.1\tgptq w3");
    assert_begins(block_of(data, 2), "3\t0\t30\t1\trtn w3 g128\tone\n");
    assert_non_null(strstr(block_of(data, 3), "\trtn w3 g128\ttwo\n"));
    bs_free(data);
    charts_path("kld_mean_over_bits", "gp", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    static const char *const lines[] = {
        "\nPANELS = 2\n",   "\nPANEL[2] = \"two\"\n", "\nKEY_NAMES[1] = \"rtn\"\n",
        "\nLINED[2] = 1\n", "\nPUBLISHED = 1\n",      "SECTION = \"text (",
        "\nN = 2\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(data, lines[i]))
            fail_msg("no '%s' in %s", lines[i], data);
    bs_free(data);
    /* the chart against bits has them in a block of their own, after one of no dots */
    if (charts_draw("kld_mean_vs_bits", "plots", &err))
        fail_msg("%s", err.message);
    charts_path("kld_mean_vs_bits_one", "tsv", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "\n\n\nnan\tnan\t0\n\n\n"
                                 "# bits\tpublished\tline\tlabel\n3\t30\t1\trtn w3 g128\n"));
    bs_free(data);
    /* models that no panel parts are lines apart, and two points at one place are not joined */
    charts_how.panels = "";
    charts_how.lines = "bits_per_weight";
    charts_how.x = "activation_bits";
    assert_int_equal(charts_draw("xy", "plots", &err), BS_OK);
    charts_path("kld_mean_over_activation_bits", "gp", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "\nN = 4\n"));
    assert_non_null(strstr(data, "\nKEY_NAMES[1] = \"bits\\137per\\137weight 3.1, one\"\n"));
    assert_non_null(strstr(data, "\nLINED[1] = 0\n"));
    bs_free(data);
    charts_how.x = "label";
    assert_int_equal(charts_draw("xy", "plots", &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "--x: 'label' is a text, expected a number"));
    charts_how.x = "bitz";
    assert_int_equal(charts_draw("xy", "plots", &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "did you mean 'bits'?"));
    charts_how.x = "bits";
    charts_how.y = "acc";
    assert_int_equal(charts_draw("xy", "plots", &err), BS_ECONFIG);
}

/* A cell for each pair of bits that was measured, on one scale for all panels. */
static void test_heatmap(void **state)
{
    (void)state;
    struct bs_error err;
    char path[512], *data;
    size_t size;
    charts_add("unquantized", 16, 16, 60, "text");
    for (int bits = 3; bits <= 4; bits++)
        for (int activation_bits = 4; activation_bits <= 16; activation_bits *= 2)
            charts_add("rtn", bits, activation_bits,
                       60 + 200.0 / (1 << bits) + 64.0 / activation_bits, "text");
    charts_add("gptq", 3, 4, 62, "text");
    if (charts_draw("heatmap", "plots", &err))
        fail_msg("%s", err.message);
    charts_assert_pictures("heatmap");
    charts_path("heatmap", "tsv", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    /* 25 + 16 is the worst; 2 the best of all panels */
    assert_begins(block_of(data, 0), "0\t0\t1.000000\t+41.0\t4\t3\t41\t0.41\t");
    assert_non_null(strstr(block_of(data, 0), "\n2\t1\t0.698648\t+16.5\t16\t4\t16.5\t0.165\t"));
    assert_begins(block_of(data, 1), "0\t0\t0.000000\t+2.00\t4\t3\t2\t0.02\t");
    bs_free(data);
    charts_path("heatmap", "gp", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    static const char *const lines[] = {"\nPANELS = 2\n",
                                        "\nPANEL[1] = \"rtn, KV16\"\n",
                                        "\nPANEL[2] = \"gptq",
                                        "\nX_STEP[3] = \"16\"\n",
                                        "\nY_STEPS = 2\n",
                                        "\nY_NAME = \"weight bits\"\n",
                                        "\nX_NAME = \"activation bits\"\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(data, lines[i]))
            fail_msg("no '%s' in %s", lines[i], data);
    bs_free(data);
    charts_how.x = "bits";
    charts_how.y = "kv_code_bits";
    assert_int_equal(charts_draw("heatmap_kld_mean", "plots", &err), BS_EDATA);
    assert_non_null(strstr(err.message, "are one cell of the map"));
    charts_how.lines = "bits";
    assert_int_equal(bs_chart_check("heatmap", &charts_how, true, &err), BS_ECONFIG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, charts_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_print), TEST(test_xy), TEST(test_heatmap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
