/* Charts: each gives its pictures, its data and a script that draws them again. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/report/chart.h"
#include "tests/support/charts.h"
#include "tests/support/folder.h"
#include "tests/support/results.h"
#include "tests/support/values.h"

static const char *const endings[] = {"png", "svg", "tsv", "gp"};

/* The map of sensitivities and the largest values of channels are of trials that are not here:
 * tests/cli/budget.sh, tests/cli/charts.sh. */
static bool is_of_these(int chart)
{
    const char *name = bs_chart_names[chart];
    return strcmp(name, "sensitivity") && strcmp(name, "channels");
}

static void draw_all(void)
{
    struct bs_error err;
    for (int chart = 0; bs_chart_names[chart]; chart++) {
        if (!is_of_these(chart))
            continue;
        if (charts_draw(bs_chart_names[chart], "plots", &err))
            fail_msg("%s: %s", bs_chart_names[chart], err.message);
        charts_assert_pictures(bs_chart_names[chart]);
    }
}

static void test_all(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    for (int bits = 2; bits <= 8; bits++) {
        charts_add("rtn", bits, 16, 60 + 500.0 / (1 << 2 * bits), "text");
        charts_add("gptq", bits, 16, 60 + 400.0 / (1 << 2 * bits), "text");
    }
    charts_add("rtn", 8, 8, 61, "text");
    charts_add("smoothquant", 8, 8, 60.3, "text");
    draw_all();
    /* The script stands on its own: drawn again in its folder, it gives the same picture. */
    struct bs_error err;
    char path[160], command[256], *before, *after;
    size_t size, size_after;
    for (int chart = 0; bs_chart_names[chart] && is_of_these(chart); chart++) {
        charts_path(bs_chart_names[chart], "png", path, sizeof path);
        assert_int_equal(bs_file_read(path, &before, &size, &err), BS_OK);
        unlink(path);
        snprintf(command, sizeof command, "cd \"%s\" && gnuplot %s.gp", charts_folder,
                 bs_chart_names[chart]);
        assert_int_equal(system(command), 0);
        assert_int_equal(bs_file_read(path, &after, &size_after, &err), BS_OK);
        assert_int_equal(size, size_after);
        assert_memory_equal(before, after, size);
        bs_free(before);
        bs_free(after);
    }
}

static void test_data(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    charts_add("rtn", 4, 16, 64, "text");
    charts_add("rtn", 3, 16, 70, "text");
    charts_add("rtn", 8, 8, 61, "text");
    draw_all();
    struct bs_error err;
    char path[160], *data;
    size_t size;
    charts_path("perplexity_vs_bits", "tsv", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_string_equal(data, "# bits\tperplexity\tpaired_se\tlabel\tshown\tcalibration_sd\n"
                              "3\t70\t0.1\trtn w3 g128\trtn w3 g128\tnone\n"
                              "4\t64\t0.04\trtn w4 g128\trtn w4 g128\tnone\n"
                              "\n\n"
                              "1\t61\t0.01\trtn w8 g128 a8 token\trtn w8 g128 a8 token\tnone\n");
    bs_free(data);
}

/* Draws the Pareto chart; what its data file then holds, for the caller to free. */
static char *drawn_pareto(void)
{
    struct bs_error err;
    char path[160], *data;
    size_t size;
    if (charts_draw("pareto", "plots", &err))
        fail_msg("%s", err.message);
    charts_path("pareto", "tsv", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    return data;
}

/* What is below the axis or no increase at all keeps its number, and is open only where it is
 * within its error of zero. */
static void test_off_the_axis(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    charts_add("rtn", 3, 16, 70, "text");
    charts_add("rtn", 4, 16, 62, "text");
    charts_add("gptq", 8, 16, 59.5, "text");
    char *data = drawn_pareto();
    /* measured, less and more by the standard error, not open, off the axis; one on it beside it */
    if (!strstr(data, "\n8.1\t-0.5\t-0.505\t-0.495\t0\tgptq w8 g128\t1\t"))
        fail_msg("%s", data);
    if (!strstr(data, "\n4.1\t2\t1.98\t2.02\t0\trtn w4 g128\t0\t2\n"))
        fail_msg("%s", data);
    assert_non_null(strstr(data, "\n8.1\t-0.5\tgptq w8 g128\t")); /* which ends the front */
    bs_free(data);
}

/* Errors of layers do not depend on what evaluation computes in: one line for each algorithm. */
static void test_layers(void **state)
{
    (void)state;
    static const char *const computes[] = {"float32", "bfloat16"};
    for (int i = 0; i < 2; i++) {
        charts_compute = computes[i];
        charts_add("rtn", 3, 16, 70 + i, "text");
        charts_add("gptq", 3, 16, 66 + i, "text");
    }
    struct bs_error err;
    char path[160], *data;
    size_t size;
    assert_int_equal(charts_draw("layer_error", "plots", &err), BS_OK);
    charts_path("layer_error", "tsv", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "\trtn w3 g128\n"));
    assert_non_null(strstr(data, "\tgptq w3 g128\n"));
    assert_null(strstr(data, "bfloat16"));
    bs_free(data);
}

/* Any figure of predictions by position, one that compares with the unquantized model without a
 * panel of differences to it. */
static void test_positions(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    charts_add("rtn", 3, 16, 70, "text");
    charts_add("gptq", 3, 16, 66, "text");
    struct bs_error err;
    char path[160], *data;
    size_t size;
    static const struct {
        const char *name, *line;
        bool changes;
    } charts_of[] = {
        {"perplexity_by_position",
         "\n1\t1\t1\t69.99999019\t17.49999755\t54.51604718\t89.88176657\t0.154150486\t0\trtn w3 "
         "g128\n",
         true},
        {"kld_by_position", "\n1\t1\t1\t0.375\t0.125\t0.25\t0.5\tnan\t0\trtn w3 g128\n", false}};
    for (int i = 0; i < 2; i++) {
        if (charts_draw(charts_of[i].name, "plots", &err))
            fail_msg("%s", err.message);
        charts_assert_pictures(charts_of[i].name);
        charts_path(charts_of[i].name, "tsv", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        if (!strstr(data, charts_of[i].line))
            fail_msg("%s", data);
        assert_int_equal(strstr(data, "\tunquantized\n") != NULL, charts_of[i].changes);
        bs_free(data);
        charts_path(charts_of[i].name, "gp", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        assert_non_null(strstr(data, charts_of[i].changes ? "\nCHANGES = 1\n" : "\nCHANGES = 0\n"));
        assert_non_null(strstr(data, "FORMAT = \"int weights, 3 bits, groups of 128\""));
        bs_free(data);
    }
    assert_int_equal(charts_draw("perplexity_delta_by_position", "plots", &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "expected perplexity, nll, kld or same_top"));
    assert_int_equal(charts_draw("target_is_top_by_position", "plots", &err), BS_EDATA);
    /* More trials than there are lines for are counted in the title. */
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (int i = 0; i < 8; i++)
        charts_add(names[i], 3, 16, 66, "text");
    assert_int_equal(charts_draw("perplexity_by_position", "plots", &err), BS_OK);
    charts_path("perplexity_by_position", "gp", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "groups of 128; the first 8 of 10 trials\""));
    bs_free(data);
}

/* Any value is an axis: as a table shows it, with its own standard error where there is no paired
 * one, and what gets worse rises. */
static void test_values(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    charts_add("rtn", 4, 16, 64, "text");
    charts_add("rtn", 3, 16, 70, "text");
    struct bs_error err;
    char path[160], *data;
    size_t size;
    static const struct {
        const char *name, *data, *script;
    } cases[] = {
        {"kld_mean_vs_bits", "\n3\t22\t0.1\trtn w3 g128\t", "\nPAIRED = 0\n"},
        {"pareto_kld_mean", "\n4.1\t10\t9.9\t10.1\t", "\nCHANGE = 'increase'\n"},
        {"layer_sqnr_db", "\n1\t20\tmlp.fc1\t", "\nLAYER_VALUE = \"sqnr db\"\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (charts_draw(cases[i].name, "plots", &err))
            fail_msg("%s: %s", cases[i].name, err.message);
        charts_assert_pictures(cases[i].name);
        charts_path(cases[i].name, "tsv", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        if (!strstr(data, cases[i].data))
            fail_msg("%s: no '%s' in %s", cases[i].name, cases[i].data, data);
        bs_free(data);
        charts_path(cases[i].name, "gp", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        if (!strstr(data, cases[i].script))
            fail_msg("%s: no '%s' in %s", cases[i].name, cases[i].script, data);
        bs_free(data);
    }
    assert_int_equal(charts_draw("nothing_vs_bits", "plots", &err), BS_EDATA);
    assert_int_equal(charts_draw("pareto_same_top", "plots", &err), BS_EDATA);
    assert_non_null(strstr(err.message, "same_top of the unquantized model"));
    assert_int_equal(charts_draw("vs_bits", "plots", &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "NAME_vs_bits"));
}

static void test_little(void **state)
{
    (void)state;
    charts_add("rtn", 8, 8, 61, "text"); /* neither a reference nor a trial of weights alone */
    struct bs_error err;
    assert_int_equal(charts_draw("perplexity_vs_bits", "plots", &err), BS_OK);
    assert_int_equal(charts_draw("layer_error", "plots", &err), BS_OK);
    assert_int_equal(charts_draw("pareto", "plots", &err), BS_EDATA);
    charts_add("unquantized", 16, 16, 60, "text");
    assert_int_equal(charts_draw("pareto", "plots", &err), BS_EDATA);
    charts_add("rtn", 3, 16, 60, "text"); /* one point, and it is no worse than the model */
    draw_all();
}

static void test_wide(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 6, "text");
    char name[32];
    for (int i = 0; i < 14; i++)
        for (int bits = 2; bits < 5; bits++) {
            snprintf(name, sizeof name, "algorithm%d", i);
            charts_add(name, bits, 16, 6 + pow(10, 6 - bits) + i, "text");
            charts_add(name, bits, 8, 6 + pow(10, 7 - bits) + i, "text");
        }
    draw_all();
}

static void test_sections(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? "first" : "other text";
        charts_add("unquantized", 16, 16, 60, text);
        charts_add("rtn", 4, 16, 64, text);
        charts_add("rtn", 3, 16, 70, text);
    }
    draw_all();
    charts_assert_pictures("pareto_other_text");
    charts_assert_pictures("perplexity_vs_bits_other_text");
    charts_assert_pictures("layer_error_other_text");
}

/* Several models have a chart each; what was drawn when there was one goes. */
static void test_models(void **state)
{
    (void)state;
    static const char *const models[] = {"org/one-1b", "a/folder/two/", "other/two"};
    struct bs_error err;
    char path[160];
    for (int m = 0; m < 3; m++) {
        charts_model = models[m];
        charts_add("unquantized", 16, 16, 60, "text");
        if (m < 2)
            charts_add("rtn", 3, 16, 70 + m, "text");
        if (m == 0)
            assert_int_equal(charts_draw("pareto", "plots", &err), BS_OK);
        if (m < 2)
            charts_add("rtn", 3, 16, 70 + m, "more");
    }
    charts_path("pareto", "png", path, sizeof path);
    assert_int_equal(access(path, F_OK), 0);
    if (charts_draw("perplexity_vs_bits", "plots", &err))
        fail_msg("%s", err.message);
    charts_assert_pictures("perplexity_vs_bits_one-1b");
    charts_assert_pictures("perplexity_vs_bits_one-1b_more");
    charts_assert_pictures("perplexity_vs_bits_two");
    /* Each its own trials. */
    char *data;
    size_t size;
    charts_path("perplexity_vs_bits_two", "tsv", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "\t71\t"));
    assert_null(strstr(data, "\t70\t"));
    bs_free(data);
    charts_path("perplexity_vs_bits_two_5", "png", path, sizeof path); /* nothing to draw */
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(charts_draw("pareto", "plots", &err),
                     BS_EDATA); /* "more" has no unquantized model */
    for (int i = 0; i < 4; i++) {
        charts_path("pareto", endings[i], path, sizeof path);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct bs_error err;
    charts_add("unquantized", 16, 16, 60, "text");
    assert_int_equal(charts_draw("pie", "plots", &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "pareto"));
    assert_int_equal(charts_draw("pareto", "plots", &err), BS_EDATA);
    charts_add("rtn", 3, 16, 70, "text");
    assert_int_equal(charts_draw("pareto", "no such folder", &err), BS_EIO);
    assert_non_null(strstr(err.message, "no such folder/style.gp"));

    /* gnuplot's own words are in the message */
    char plots[96], path[128];
    snprintf(plots, sizeof plots, "%s/plots", folder.path);
    mkdir(plots, 0777);
    static const char *const names[] = {"style", "pareto"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s.gp", plots, names[i]);
        FILE *out = fopen(path, "w");
        fputs(i == 0 ? "" : "plot nonsense(\n", out);
        fclose(out);
    }
    assert_int_equal(charts_draw("pareto", plots, &err), BS_EIO);
    assert_non_null(strstr(err.message, "pareto.gp: gnuplot failed"));
    assert_non_null(strstr(err.message, "nonsense"));

    char *old = bs_strdup(getenv("PATH"));
    setenv("PATH", folder.path, 1);
    assert_int_equal(charts_draw("pareto", plots, &err), BS_EIO);
    assert_non_null(strstr(err.message, "installed"));
    setenv("PATH", old, 1);
    bs_free(old);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s.gp", plots, names[i]);
        unlink(path);
    }
    rmdir(plots);
}

static void test_memory(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    charts_add("rtn", 4, 16, 64, "text");
    charts_add("rtn", 3, 16, 70, "text");
    struct bs_error err;
    struct bs_results results;
    assert_int_equal(bs_results_read(charts_file, &results, &err), BS_OK);
    for (int chart = 0; bs_chart_names[chart] && is_of_these(chart); chart++) {
        enum bs_status status = BS_ENOMEM;
        for (long n = 1; status; n++) {
            struct bs_lines drawn = {0};
            bs_alloc_fail_at(n);
            status = bs_chart_draw(&results, bs_chart_names[chart], charts_how_of("plots"), &drawn,
                                   &err);
            bs_alloc_fail_at(0);
            bs_lines_release(&drawn);
            if (status && status != BS_ENOMEM && !strstr(err.message, "Cannot allocate"))
                fail_msg("allocation %ld: %s", n, err.message);
        }
    }
    bs_results_release(&results);
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* Forty lines of several families: the legend has a colour a family, whatever the order of the
 * trials, and a shape an algorithm; bits are measured ones. */
static void test_families(void **state)
{
    (void)state;
    static const char *const families[] = {"gguf k", "mx", "int", "of tomorrow"};
    charts_add("unquantized", 16, 16, 60, "text");
    for (int f = 0; f < 4; f++)
        for (int i = 0; i < 10; i++) {
            char name[32];
            snprintf(name, sizeof name, "f%d_%d_", f, i);
            charts_format = name;
            charts_family = families[f];
            charts_add(i % 2 ? "gptq" : "rtn", 2 + i % 5, 16, 61 + i + f, "text");
        }
    draw_all();
    static const char *const names[] = {"perplexity_vs_bits", "pareto"};
    for (int c = 0; c < 2; c++) {
        struct bs_error err;
        char path[160], *script, *data;
        size_t size;
        charts_path(names[c], "gp", path, sizeof path);
        assert_int_equal(bs_file_read(path, &script, &size, &err), BS_OK);
        assert_int_equal(count_of(script, "\nKEY_NAMES["), 4 + 2 + c);
        /* in the order of all families, with the numbers that these have in every chart */
        assert_true(strstr(script, "= \"int\"\n") < strstr(script, "= \"mx\"\n"));
        assert_true(strstr(script, "= \"mx\"\n") < strstr(script, "= \"gguf k\"\n"));
        assert_non_null(strstr(script, c ? "= \"int\"\nKEY_COLOURS[2] = 1\n"
                                         : "= \"int\"\nKEY_COLOURS[1] = 1\n"));
        assert_non_null(strstr(script, "= \"other\"\nKEY_COLOURS["));
        charts_path(names[c], "tsv", path, sizeof path);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        assert_non_null(strstr(data, "\n2.1\t"));
        bs_free(data);
        bs_free(script);
    }
}

/* Whatever labels, models and texts are called, gnuplot draws it as letters and runs none of it; a
 * title too long for the canvas goes on in a second line. */
/* Where the text that begins at `at` stands in a picture of gnuplot's. */
static double height_of(const char *picture, const char *at)
{
    char *end;
    const char *place = picture;
    for (const char *next = place; next && next < at; next = strstr(next + 1, "translate("))
        place = next;
    assert_int_equal(strncmp(place, "translate(", 10), 0);
    (void)strtod(place + 10, &end);
    return strtod(end + 1, NULL);
}

/* No line of the title reaches down to the text, whose letters are 32 high. */
static void assert_clear_above(const char *picture, const char *text)
{
    const char *at = strstr(picture, text);
    assert_non_null(at);
    double height = height_of(picture, at);
    for (const char *other = strstr(picture, "<text"); other; other = strstr(other + 1, "<text"))
        if (height_of(picture, other) < height)
            assert_true(height_of(picture, other) <= height - 40);
}

static void test_title(void **state)
{
    (void)state;
    charts_model = "org/a-model-with-a-name-that-leaves-no-room-for-anything-else-within-a-line";
    static const char text[] = "a text with a long name";
    charts_add("unquantized", 16, 16, 60, text);
    for (int bits = 2; bits <= 8; bits++)
        charts_add("rtn", bits, 16, 60 + 500.0 / (1 << 2 * bits), text);
    struct bs_error err;
    char path[160], *picture;
    size_t size;
    assert_int_equal(charts_draw("perplexity_vs_bits", "plots", &err), BS_OK);
    charts_path("perplexity_vs_bits", "svg", path, sizeof path);
    assert_int_equal(bs_file_read(path, &picture, &size, &err), BS_OK);
    assert_clear_above(picture, "<text>all</text>");
    assert_clear_above(picture, "<text>close-up</text>");
    bs_free(picture);
}

/* The front goes on to the right of its last trial: that one's name is not written across it. */
static void test_front_of_one(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    charts_add("rtn", 4, 16, 183, "text");
    char *data = drawn_pareto();
    const char *names = strstr(data, "# labels of the front");
    assert_non_null(names);
    char *end;
    double bits = strtod(strchr(names, '\n'), &end), increase = strtod(end, &end);
    double name_x = strtod(strchr(end + 1, '\t'), &end), name_y = strtod(end, NULL);
    assert_true(fabs(increase - 123) < 1e-4);
    assert_true(name_x < bits || fabs(log(name_y / increase)) > 0.02);
    bs_free(data);
}

/* A list that makes a name too wide is told by how long it is, unless another is as long. */
static void test_lists(void **state)
{
    (void)state;
    charts_add("unquantized", 16, 16, 60, "text");
    charts_add("gptq table [-1.5104, -0.4528, 0.4528, 1.5104]", 3, 16, 70, "text");
    charts_add("gptq table 16 levels 73f2fe4d of nobody else", 4, 16, 61, "text");
    for (int twice = 0; twice < 2; twice++) {
        char *data = drawn_pareto();
        const char *names = strstr(data, "# labels of the front");
        assert_non_null(names);
        assert_int_equal(strstr(names, "\tgptq 4 levels w3 g128\t") != NULL, !twice);
        assert_non_null(strstr(names, "\tgptq 16 levels of nobody else w4 g128\t"));
        bs_free(data);
        charts_add("gptq table [-1.25, -0.5, 0.5, 1.25]", 3, 16, 69, "text");
    }
}

static void test_hostile_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "'begins",
        "x`touch RAN`",
        "'.system('touch RAN').'",
        "$(touch RAN)",
        "\"a\\nb\"",
        "@BASE",
        "{/=9 x}^a_b",
        "\x1b[31mred\n\x9b",
        "%s%n%99999d",
        "#!",
        "-",
        "\t",
        "<touch RAN",
        "a name of more than any legend has room for, which goes on and on and on until it is cut"};
    enum { NAMES = sizeof names / sizeof *names };
    charts_model =
        "./'`touch RAN`'/models--org--a-model-with-a-long-name/snapshots/0123456789abcdef";
    static const char text[] = "'`touch RAN` $(x) @BASE {^_} a text with a long name";
    charts_add("unquantized", 16, 16, 60, text);
    for (int n = 0; n < NAMES; n++) {
        charts_add(names[n], 3, 16, 70 + n, text);
        charts_add(names[n], 4, 16, 64 + n, text);
        if (n % 4 == 0)
            charts_add(names[n], 8, 8, 62 + n, text);
    }
    draw_all();
    char path[160], *data;
    size_t size;
    struct bs_error err;
    charts_path("perplexity_vs_bits", "gp", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "SECTION = \"org/a-model-with-a-long-name on "));
    assert_null(strstr(data, "`touch"));
    assert_null(strstr(data, "TITLE_MORE = 0"));
    bs_free(data);
    charts_path("perplexity_vs_bits", "svg", path, sizeof path);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_non_null(strstr(data, "{/=9 x}^a_b g128"));
    assert_non_null(strstr(data, "@BASE g128"));
    bs_free(data);
    static const char *const places[] = {"RAN", "plots/RAN"};
    for (int i = 0; i < 2; i++)
        assert_int_not_equal(access(places[i], F_OK), 0);
    snprintf(path, sizeof path, "%s/RAN", charts_folder);
    assert_int_not_equal(access(path, F_OK), 0);
    /* Nothing of what was drawn aside is left. */
    DIR *folder_of = opendir(charts_folder);
    int files = 0;
    while (readdir(folder_of))
        files++;
    closedir(folder_of);
    assert_int_equal(files, 2 + 4 * 5); /* four of each chart */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, charts_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all),          TEST(test_data),      TEST(test_off_the_axis),
        TEST(test_layers),       TEST(test_positions), TEST(test_little),
        TEST(test_wide),         TEST(test_sections),  TEST(test_models),
        TEST(test_refusals),     TEST(test_memory),    TEST(test_hostile_names),
        TEST(test_values),       TEST(test_families),  TEST(test_title),
        TEST(test_front_of_one), TEST(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
