/* Tables and differences in every style. */
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
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/store/results_internal.h"
#include "eval/report/table.h"
#include "tests/support/tables.h"
#include "tests/support/values.h"

enum { WINDOWS = 3, TOKENS = 5, VALUES = WINDOWS * (TOKENS - 1) };

enum { VALUES_A_ROW = 8 };

static const char *const value_names[VALUES_A_ROW] = {
    "perplexity", "perplexity_delta",      "kld_mean",        "kld_p999",
    "same_top",   "relative_output_error", "bits_per_weight", "compression_ratio"};

static void make_values(struct bs_value_row *values)
{
    static const double numbers[VALUES_A_ROW][2] = {
        {62.361, 0.808}, {2.156, 0.0996}, {0.0312, 0.00123}, {1.25, NAN},
        {0.9123, 0.003}, {0.0831, NAN},   {3.1484375, NAN},  {3.42, NAN}};
    for (int v = 0; v < VALUES_A_ROW; v++)
        values[v] = value_row(value_names[v], numbers[v][0], numbers[v][1]);
}

static struct bs_row make_row(const char *id, const char *algorithm, const char *label,
                              struct bs_value_row *values)
{
    struct bs_row row = {.bits = 3,
                         .activation_bits = 16,
                         .kv_code_bits = 16,
                         .windows = WINDOWS,
                         .tokens = TOKENS,
                         .stride = TOKENS,
                         .scored = VALUES,
                         .seconds_quantize = (double)NAN,
                         .seconds_evaluate = 2.5,
                         .num_values = VALUES_A_ROW,
                         .values = values};
    make_values(values);
    snprintf(row.id, sizeof row.id, "%s", id);
    row.algorithm = algorithm;
    row.label = row.recipe = label;
    row.model = "datasets/tiny";
    row.text = "evaluation";
    snprintf(row.compute, sizeof row.compute, "float32");
    snprintf(row.evaluation, sizeof row.evaluation, "perplexity");
    snprintf(row.protocol, sizeof row.protocol, "gptq");
    snprintf(row.text_digest, sizeof row.text_digest, "00ff");
    snprintf(row.status, sizeof row.status, "done");
    return row;
}

/* What print() has published. */
static const struct bs_published *published;
static int num_published;
static const char *columns; /* that print() asks for */
static const struct bs_selection *selection;

enum { ROWS = 4 };
static struct bs_row rows[ROWS];
static struct bs_value_row values[ROWS][VALUES_A_ROW + 1];
static char path_name[] = "a.h5", config_text[] = "model: x\n";
static struct bs_results sample;

static int make_sample(void **state)
{
    (void)state;
    unsetenv("COLUMNS");
    published = NULL;
    num_published = 0;
    columns = NULL;
    selection = NULL;
    rows[0] = make_row("1", "gptq", "gptq w3 g128", values[0]);
    snprintf(rows[0].compute, sizeof rows[0].compute, "bfloat16");
    rows[1] = make_row("2", "unquantized", "unquantized", values[1]);
    value_of(&rows[1], "perplexity")->value = 60.205;
    for (int v = 1; v < 6; v++) /* it has no differences to itself */
        snprintf(values[1][v].name, sizeof values[1][v].name, "unheard_of_%d", v);
    rows[2] = make_row("3", "gptq", "gptq w2 g128 act_order", values[2]);
    values[2][rows[2].num_values++] = value_row("fallbacks", 2, NAN);
    value_of(&rows[2], "perplexity")->se = (double)NAN;
    rows[3] = make_row("4", "awq", "awq w3 g128", values[3]);
    snprintf(rows[3].status, sizeof rows[3].status, "failed");
    rows[3].num_values = 0;
    rows[3].message = "block 2: \"q_proj\", not finite";
    sample = (struct bs_results){.path = path_name,
                                 .config = config_text,
                                 .schema_version = 1,
                                 .num_rows = ROWS,
                                 .rows = rows};
    return 0;
}

/* What is printed, in memory of malloc. */
static char *print(const struct bs_results *results, enum bs_table_style style)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct bs_error err;
    const struct bs_published_list list = {num_published, published};
    enum bs_status status = print_selected(results, &list, selection, columns, style, out, &err);
    fclose(out);
    if (status)
        fail_msg("%s", err.message);
    return text;
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static int width_of(const char *line)
{
    int width = 0;
    for (; *line && *line != '\n'; line++)
        width += ((unsigned char)*line & 0xc0) != 0x80;
    return width;
}

static void test_terminal(void **state)
{
    (void)state;
    char *text = print(&sample, BS_TABLE_TERMINAL);
    assert_holds(text, "datasets/tiny on evaluation, protocol gptq, 3 windows");
    assert_holds(text, " 62.36 \xc2\xb1 0.81 ");
    assert_holds(text, " +2.16 \xc2\xb1 0.10 "); /* 0.0996 in two digits is 0.10 */
    assert_holds(text, " 31.2 \xc2\xb1 1.2 ");
    assert_holds(text, " 91.23 \xc2\xb1 0.30 ");
    assert_holds(text, " 62.36 \xc2\xb1 n/a ");
    assert_holds(text, " 3.15 ");
    assert_holds(text, "gptq w2 g128 act_order \xe2\x80\xa0");
    assert_holds(text, "\n\xe2\x80\xa0 gptq w2 g128 act_order: ");
    assert_holds(text, "2 linears");
    assert_holds(text, "\nfailed: awq w3 g128: block 2");
    /* The unquantized model is first, and differs from itself by nothing. */
    char *first = strstr(text, "\nunquantized");
    assert_non_null(first);
    assert_true(first < strstr(text, "\ngptq w3"));
    assert_holds(first, "60.20 \xc2\xb1 0.81  ");
    assert_true(strstr(first, "\xe2\x80\x94") < strchr(first + 1, '\n'));
    /* Every line of the table proper is as wide as its rule, whatever characters it holds. */
    char *rule = strstr(text, "\n\xe2\x94\x80") + 1;
    int width = width_of(rule), lines = 0;
    assert_in_range(width, 60, 120);
    for (char *line = strchr(rule, '\n') + 1; lines < ROWS; line = strchr(line, '\n') + 1, lines++)
        assert_int_equal(width_of(line), width);
    free(text);
}

static void test_sections(void **state)
{
    (void)state;
    rows[2].text = "other";
    rows[3].windows = 7;
    char *text = print(&sample, BS_TABLE_TERMINAL);
    assert_holds(text, "on evaluation, protocol gptq, 3 windows");
    assert_holds(text, "on other, protocol gptq, 3 windows");
    assert_holds(text, "on evaluation, protocol gptq, 7 windows");
    free(text);
}

static const char one_source[] = "A paper (2210.17323), table 3", another[] = "its README";

/* Figures for three of the trials; that of another text, model, label, length and part of the text
 * are for none. */
static const struct bs_published some_figures[] = {
    {"datasets/tiny", "evaluation", "gptq w3 g128", "gptq", 0, TOKENS, TOKENS, "perplexity", 62.50,
     "62.50", one_source, NULL},
    {"datasets/tiny", "evaluation", "unquantized", "gptq", WINDOWS, TOKENS, TOKENS, "perplexity",
     60.205, "60.205", one_source, NULL},
    {"datasets/tiny", "evaluation", "awq w3 g128", "gptq", 0, TOKENS, TOKENS, "perplexity", 1300,
     "1.3e3", one_source, NULL},
    {"datasets/tiny", "other", "gptq w2 g128 act_order", "gptq", 0, TOKENS, TOKENS, "perplexity", 7,
     "7", another, NULL},
    {"org/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", 0, TOKENS, TOKENS, "perplexity", 7,
     "7", another, NULL},
    {"datasets/tiny", "evaluation", "gptq w2 g128", "gptq", 0, TOKENS, TOKENS, "perplexity", 7, "7",
     another, NULL},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", 0, TOKENS + 1, TOKENS,
     "perplexity", 7, "7", another, NULL},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", WINDOWS + 1, TOKENS, TOKENS,
     "perplexity", 7, "7", another, NULL},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "sliding", 0, TOKENS, TOKENS,
     "perplexity", 7, "7", another, NULL},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", 0, TOKENS, 1, "perplexity", 7,
     "7", another, NULL},
};
enum { FIGURES = sizeof some_figures / sizeof *some_figures };

static void test_published(void **state)
{
    (void)state;
    published = some_figures;
    num_published = FIGURES;
    char *text = print(&sample, BS_TABLE_MARKDOWN);
    assert_holds(text, "| perplexity measured | perplexity published | difference | difference % | "
                       "\xce\x94 perplexity |");
    assert_holds(text,
                 "| gptq w3 g128 | 3.15 | 62.36 \xc2\xb1 0.81 | 62.50 | -0.14 | -0.22 | +2.16");
    assert_holds(text, "| 60.20 \xc2\xb1 0.81 | 60.205 | 0.000 | 0.00 | \xe2\x80\x94 |");
    assert_holds(text, "| 62.36 \xc2\xb1 n/a |  |  |  | +2.16");
    assert_holds(text, "| failed | 1.3e3 | \xe2\x80\x94 | \xe2\x80\x94 | \xe2\x80\x94 |");
    assert_holds(text, "\n- published: A paper (2210.17323), table 3\n");
    assert_null(strstr(text, "README"));
    free(text);

    text = print(&sample, BS_TABLE_TERMINAL);
    assert_holds(text, "perplexity");
    assert_holds(text, " measured   published  difference ");
    assert_holds(text, "  62.50       -0.14       -0.22  ");
    assert_holds(text, "\npublished: A paper");
    free(text);

    text = print(&sample, BS_TABLE_LATEX);
    assert_holds(text, "\\begin{tabular}{lrrrrrrrrrrrr}\n");
    assert_holds(text, "& 62.50 & $-$0.14 & $-$0.22 &");
    assert_holds(text, "\\par\\footnotesize published: A paper (2210.17323), table 3\n");
    free(text);
}

static void test_published_fields(void **state)
{
    (void)state;
    published = some_figures;
    num_published = FIGURES;
    char *text = print(&sample, BS_TABLE_CSV);
    assert_holds(text, ",perplexity_published,perplexity_published_difference,"
                       "perplexity_published_difference_percent,perplexity_published_source,nll,");
    assert_holds(text, ",62.50,-0.13");
    assert_holds(text, ",\"A paper (2210.17323), table 3\",");
    assert_holds(text, ",62.361,,,,,,,,"); /* nothing for the third, and no standard error */
    free(text);
    text = print(&sample, BS_TABLE_JSON);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    json_t *trials = json_object_get(json, "trials");
    json_t *first = json_array_get(trials, 0), *third = json_array_get(trials, 2);
    assert_true(json_real_value(json_object_get(first, "perplexity_published")) == 62.5);
    assert_true(json_real_value(json_object_get(first, "perplexity_published_difference")) ==
                62.361 - 62.5);
    assert_string_equal(json_string_value(json_object_get(first, "perplexity_published_source")),
                        one_source);
    assert_true(json_is_null(json_object_get(third, "perplexity_published")));
    json_decref(json);
    free(text);
}

/* Sections have the columns where they have figures; several sources are numbered. */
static void test_published_sources(void **state)
{
    (void)state;
    published = some_figures;
    num_published = FIGURES;
    rows[2].text = "other";
    rows[3].text = "third";
    char *text = print(&sample, BS_TABLE_MARKDOWN);
    assert_holds(text, "\n- published: its README\n");
    assert_holds(text, " | 7 | +55 | +790.87 |");
    const char *third = strstr(text, "tiny on third");
    assert_non_null(third);
    assert_holds(third, "| perplexity | \xce\x94 perplexity |");
    free(text);

    rows[2].text = "evaluation";
    rows[2].tokens++;
    rows[0].tokens++;
    struct bs_published figures[2] = {some_figures[0], some_figures[6]};
    figures[0].tokens++;
    published = figures;
    num_published = 2;
    text = print(&sample, BS_TABLE_TERMINAL);
    assert_holds(text, " 62.50 [1] ");
    assert_holds(text, " 7 [2] ");
    assert_holds(text, "\npublished [1]: A paper");
    assert_holds(text, "\npublished [2]: its README\n");
    free(text);
}

static void test_models(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        rows[i + 1].model = "org/other"; /* unquantized and act_order */
    rows[3].model = "datasets/tiny";
    char *text = print(&sample, BS_TABLE_MARKDOWN);
    assert_holds(text, "2 models on evaluation, protocol gptq, 3 windows");
    assert_holds(text, "| model | recipe | bits/ weight |");
    assert_holds(text, "|\n|:---|:---|---:|");
    /* Each model's trials together, its unquantized trial first. */
    const char *first = strstr(text, "| datasets/tiny | gptq w3 g128 |");
    const char *failed = strstr(text, "| datasets/tiny | awq w3 g128 |");
    const char *unquantized = strstr(text, "| org/other | unquantized |");
    assert_true(first && first < failed && failed < unquantized);
    assert_true(unquantized <
                strstr(text, "| org/other | gptq w2 g128 act\\_order \xe2\x80\xa0 |"));
    assert_holds(text, "- \xe2\x80\xa0 org/other, gptq w2");
    assert_holds(text, "- failed: datasets/tiny, awq w3 g128: block 2");
    free(text);
    text = print(&sample, BS_TABLE_LATEX);
    assert_holds(text, "\\begin{tabular}{llrrrrrrrrr}\n");
    free(text);
    text = print(&sample, BS_TABLE_TERMINAL);
    assert_holds(text, "\ndatasets/tiny  gptq w3 g128 ");
    free(text);
}

static void test_markdown(void **state)
{
    (void)state;
    rows[0].label = "a|b";
    char *text = print(&sample, BS_TABLE_MARKDOWN);
    assert_holds(text, "| recipe | bits/ weight | perplexity |");
    assert_holds(text, "|\n|:---|---:|");
    assert_holds(text, "| a\\|b | 3.15 | 62.36 \xc2\xb1 0.81 |");
    assert_holds(text, "\n- failed: awq w3 g128");
    free(text);
}

static void test_latex(void **state)
{
    (void)state;
    rows[0].label = "50% of_a & b";
    value_of(&rows[0], "perplexity_delta")->value = -0.5;
    char *text = print(&sample, BS_TABLE_LATEX);
    assert_holds(text, "\\begin{tabular}{lrrrrrrrrr}\n\\toprule\n");
    assert_holds(text, "50\\% of\\_a \\& b & 3.15 & 62.36 $\\pm$ 0.81 & "
                       "\\textbf{$-$0.50 $\\pm$ 0.10} &");
    /* bold is what is better by more than two standard errors of both, where anything is */
    assert_holds(text, "$^\\dagger$ & 3.15 & 62.36 $\\pm$ n/a & +2.16 $\\pm$ 0.10 &");
    assert_holds(text, "\\footnotesize bold: the best of equally many bits,");
    assert_holds(text, "\\label{tab:tiny-evaluation}\n");
    assert_holds(text, "act\\_order $^\\dagger$");
    assert_holds(text, "\\bottomrule\n\\end{tabular}");
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c < 0x80);
    free(text);
}

/* The fields of one CSV record, unquoted in place; returns the start of the next record. */
static char *split_csv(char *record, char **fields, int *count)
{
    *count = 0;
    for (;;) {
        char *out = record;
        fields[(*count)++] = out;
        bool quoted = *record == '"';
        if (quoted)
            record++;
        while (quoted ? *record != '"' || record[1] == '"' : !strchr(",\r", *record)) {
            record += quoted && *record == '"';
            *out++ = *record++;
        }
        record += quoted;
        bool last = *record == '\r';
        *out = '\0';
        record += last ? 2 : 1;
        if (last)
            return record;
    }
}

static void test_csv(void **state)
{
    (void)state;
    char *text = print(&sample, BS_TABLE_CSV);
    char *names[2 * BS_MOST_FIELDS], *fields[2 * BS_MOST_FIELDS];
    int num_names, num_fields;
    char *next = split_csv(text, names, &num_names);
    for (int i = 0; i < ROWS; i++) {
        next = split_csv(next, fields, &num_fields);
        assert_int_equal(num_fields, num_names);
        for (int j = 0; j < num_names; j++) {
            if (!strcmp(names[j], "label"))
                assert_string_equal(fields[j], rows[i].label);
            if (!strcmp(names[j], "message"))
                assert_string_equal(fields[j], rows[i].message ? rows[i].message : "");
            if (!strcmp(names[j], "compute"))
                assert_string_equal(fields[j], i == 0 ? "bfloat16" : "float32");
            if (!strcmp(names[j], "windows"))
                assert_string_equal(fields[j], "3");
            if (!strcmp(names[j], "bits_per_weight") && i < 3)
                assert_true(strtod(fields[j], NULL) == 3.1484375);
            if (!strcmp(names[j], "bits_per_weight") && i == 3)
                assert_string_equal(fields[j], "");
            if (!strcmp(names[j], "seconds_quantize"))
                assert_string_equal(fields[j], "");
        }
    }
    assert_int_equal(*next, '\0');
    free(text);
}

static void test_json(void **state)
{
    (void)state;
    char *text = print(&sample, BS_TABLE_JSON);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    json_t *trials = json_object_get(json, "trials");
    assert_int_equal(json_array_size(trials), ROWS);
    json_t *trial = json_array_get(trials, 3);
    assert_string_equal(json_string_value(json_object_get(trial, "message")), rows[3].message);
    assert_string_equal(json_string_value(json_object_get(trial, "compute")), "float32");
    assert_int_equal(json_integer_value(json_object_get(trial, "windows")), WINDOWS);
    assert_true(json_is_null(json_object_get(trial, "kld_mean_se")));
    assert_true(json_real_value(json_object_get(json_array_get(trials, 2), "kld_mean_se")) ==
                0.00123);
    assert_true(json_is_null(json_object_get(trial, "seconds_quantize")));
    json_decref(json);
    free(text);
}

/* A value that no plug-in of this program has is shown by its own name; what is asked for is shown
 * alone, and what there is not is named with the nearest. */
static void test_columns(void **state)
{
    (void)state;
    struct bs_error err;
    columns = "kld_mean,tokens,unheard_of_1,time";
    char *text = print(&sample, BS_TABLE_MARKDOWN);
    assert_holds(text, "| recipe | KL mean 10\xe2\x81\xbb\xc2\xb3 nats | tokens | "
                       "unheard\\_of\\_1 | time s |\n");
    assert_holds(text, "| gptq w3 g128 | 31.2 \xc2\xb1 1.2 | 5 | \xe2\x80\x94 | 2.50 |\n");
    assert_holds(text, "| unquantized | \xe2\x80\x94 | 5 | 2.16 \xc2\xb1 0.10 | 2.50 |\n");
    free(text);
    columns = NULL;
    text = print(&sample, BS_TABLE_CSV);
    assert_holds(text, ",unheard_of_1,unheard_of_1_se,unheard_of_1_df,");
    free(text);
    FILE *out = fopen("/dev/null", "w");
    assert_int_equal(print_selected(&sample, NULL, NULL, "kld_maen", BS_TABLE_TERMINAL, out, &err),
                     BS_ECONFIG);
    fclose(out);
    assert_holds(err.message, "'kld_maen' is no column");
    assert_holds(err.message, "did you mean 'kld_mean'?");
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_error err;
    published = some_figures;
    num_published = FIGURES;
    FILE *out = fopen("/dev/null", "w");
    const struct bs_published_list list = {num_published, published};
    const struct bs_selection sorted = {
        .where = "bits <= 4 and not label = x", .sort = "-perplexity", .group_by = "algorithm"};
    for (int style = 0; bs_table_styles[style]; style++) {
        long n = 0;
        enum bs_status status;
        do {
            bs_alloc_fail_at(++n);
            status = print_selected(&sample, &list, &sorted, NULL, (enum bs_table_style)style, out,
                                    &err);
            bs_alloc_fail_at(0);
            assert_true(!status || status == BS_ENOMEM);
        } while (status);
        assert_true(n > 10);
    }
    fclose(out);
}

#define TABLE(name) cmocka_unit_test_setup(name, make_sample)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TABLE(test_terminal),
        TABLE(test_models),
        TABLE(test_published),
        TABLE(test_published_fields),
        TABLE(test_published_sources),
        TABLE(test_sections),
        TABLE(test_markdown),
        TABLE(test_latex),
        TABLE(test_csv),
        TABLE(test_json),
        TABLE(test_columns),
        TABLE(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
