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
#include "tests/support/results.h"

enum { WINDOWS = 3, TOKENS = 5, VALUES = WINDOWS * (TOKENS - 1) };

static struct bs_row make_row(const char *id, const char *algorithm, const char *label)
{
    struct bs_row row = {.bits = 3,
                         .activation_bits = 16,
                         .windows = WINDOWS,
                         .tokens = TOKENS,
                         .stride = TOKENS,
                         .scored = VALUES,
                         .perplexity = 62.361,
                         .perplexity_se = 0.808,
                         .perplexity_delta = 2.156,
                         .perplexity_delta_se = 0.0996,
                         .kld_mean = 0.0312,
                         .kld_mean_se = 0.00123,
                         .kld_p999 = 1.25,
                         .same_top = 0.9123,
                         .same_top_se = 0.003,
                         .relative_output_error = 0.0831,
                         .bits_per_weight = 3.1484375,
                         .compression_ratio = 3.42,
                         .seconds_quantize = (double)NAN,
                         .seconds_evaluate = 2.5};
    snprintf(row.id, sizeof row.id, "%s", id);
    row.algorithm = algorithm;
    row.label = row.recipe = label;
    row.model = "datasets/tiny";
    row.text = "evaluation";
    strcpy(row.compute, "float32");
    strcpy(row.protocol, "gptq");
    strcpy(row.text_digest, "00ff");
    strcpy(row.status, "done");
    return row;
}

/* What print() has published. */
static const struct bs_published *published;
static int num_published;

enum { ROWS = 4 };
static struct bs_row rows[ROWS];
static char path_name[] = "a.h5", config_text[] = "model: x\n";
static struct bs_results sample;

static int make_sample(void **state)
{
    (void)state;
    unsetenv("COLUMNS");
    published = NULL;
    num_published = 0;
    rows[0] = make_row("1", "gptq", "gptq w3 g128");
    strcpy(rows[0].compute, "bfloat16");
    rows[1] = make_row("2", "unquantized", "unquantized");
    rows[1].perplexity = 60.205;
    rows[2] = make_row("3", "gptq", "gptq w2 g128 act_order");
    rows[2].fallbacks = 2;
    rows[2].perplexity_se = (double)NAN;
    rows[3] = make_row("4", "awq", "awq w3 g128");
    strcpy(rows[3].status, "failed");
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
    enum bs_status status = bs_table_print(results, published, num_published, style, out, &err);
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
    {"datasets/tiny", "evaluation", "gptq w3 g128", "gptq", 0, TOKENS, TOKENS, 62.50, "62.50",
     one_source},
    {"datasets/tiny", "evaluation", "unquantized", "gptq", WINDOWS, TOKENS, TOKENS, 60.205,
     "60.205", one_source},
    {"datasets/tiny", "evaluation", "awq w3 g128", "gptq", 0, TOKENS, TOKENS, 1300, "1.3e3",
     one_source},
    {"datasets/tiny", "other", "gptq w2 g128 act_order", "gptq", 0, TOKENS, TOKENS, 7, "7",
     another},
    {"org/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", 0, TOKENS, TOKENS, 7, "7",
     another},
    {"datasets/tiny", "evaluation", "gptq w2 g128", "gptq", 0, TOKENS, TOKENS, 7, "7", another},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", 0, TOKENS + 1, TOKENS, 7, "7",
     another},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", WINDOWS + 1, TOKENS, TOKENS,
     7, "7", another},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "sliding", 0, TOKENS, TOKENS, 7, "7",
     another},
    {"datasets/tiny", "evaluation", "gptq w2 g128 act_order", "gptq", 0, TOKENS, 1, 7, "7",
     another},
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
    assert_holds(text, ",published,published_difference,published_difference_percent,"
                       "published_source\r\n1,");
    assert_holds(text, ",62.50,-0.13");
    assert_holds(text, ",\"A paper (2210.17323), table 3\"\r\n2,");
    assert_holds(text, ",,,,\r\n4,"); /* nothing for the third */
    free(text);
    text = print(&sample, BS_TABLE_JSON);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    json_t *trials = json_object_get(json, "trials");
    json_t *first = json_array_get(trials, 0), *third = json_array_get(trials, 2);
    assert_true(json_real_value(json_object_get(first, "published")) == 62.5);
    assert_true(json_real_value(json_object_get(first, "published_difference")) == 62.361 - 62.5);
    assert_string_equal(json_string_value(json_object_get(first, "published_source")), one_source);
    assert_true(json_is_null(json_object_get(third, "published")));
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
    rows[0].perplexity_delta = -0.5;
    char *text = print(&sample, BS_TABLE_LATEX);
    assert_holds(text, "\\begin{tabular}{lrrrrrrrrr}\n\\toprule\n");
    assert_holds(text, "50\\% of\\_a \\& b & 3.15 & 62.36 $\\pm$ 0.81 & $-$0.50 $\\pm$ 0.10 &");
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
    char *names[BS_MOST_FIELDS], *values[BS_MOST_FIELDS];
    int num_names, num_values;
    char *next = split_csv(text, names, &num_names);
    for (int i = 0; i < ROWS; i++) {
        next = split_csv(next, values, &num_values);
        assert_int_equal(num_values, num_names);
        for (int j = 0; j < num_names; j++) {
            if (!strcmp(names[j], "label"))
                assert_string_equal(values[j], rows[i].label);
            if (!strcmp(names[j], "message"))
                assert_string_equal(values[j], rows[i].message ? rows[i].message : "");
            if (!strcmp(names[j], "compute"))
                assert_string_equal(values[j], i == 0 ? "bfloat16" : "float32");
            if (!strcmp(names[j], "windows"))
                assert_string_equal(values[j], "3");
            if (!strcmp(names[j], "bits_per_weight"))
                assert_true(strtod(values[j], NULL) == rows[i].bits_per_weight);
            if (!strcmp(names[j], "seconds_quantize"))
                assert_string_equal(values[j], "");
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
    assert_true(json_real_value(json_object_get(trial, "kld_mean_se")) == rows[3].kld_mean_se);
    assert_true(json_is_null(json_object_get(trial, "seconds_quantize")));
    json_decref(json);
    free(text);
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_error err;
    published = some_figures;
    num_published = FIGURES;
    FILE *out = fopen("/dev/null", "w");
    for (int style = 0; style < 5; style++) {
        long n = 0;
        enum bs_status status;
        do {
            bs_alloc_fail_at(++n);
            status = bs_table_print(&sample, published, num_published, (enum bs_table_style)style,
                                    out, &err);
            bs_alloc_fail_at(0);
            assert_true(!status || status == BS_ENOMEM);
        } while (status);
        assert_true(n > 10);
    }
    fclose(out);
}

/* Two files of three trials: one the same, one better by a constant, one in each only. */
static char folder[64], file_a[80], file_b[80];

static const char *model = "datasets/tiny";

static void write_rows(const char *path, const char *const *labels, double shift,
                       const struct bs_row *like)
{
    int windows = like->windows;
    static float nll[2 * VALUES], zero[2 * VALUES];
    for (int i = 0; labels[i]; i++) {
        char id[17];
        snprintf(id, sizeof id, "%s%s", model + strlen(model) - 1, labels[i]);
        struct bs_trial_record record = {.row = make_row(id, "gptq", labels[i]), .canonical = ""};
        record.row.model = model;
        for (int k = 0; k < windows * (TOKENS - 1); k++)
            nll[k] = (float)(2 + 0.1 * (k % 7) + (i > 0 ? shift * (1 + 0.01 * (k % 5)) : 0));
        record.nll = nll;
        record.kld = zero;
        record.row.windows = windows;
        record.row.scored = like->scored;
        record.row.stride = like->stride;
        memcpy(record.row.protocol, like->protocol, sizeof like->protocol);
        memcpy(record.row.text_digest, like->text_digest, sizeof like->text_digest);
        for (int w = 0; w < windows && like->scored < windows * (TOKENS - 1); w++)
            nll[w * (TOKENS - 1)] = (float)NAN; /* a window's first prediction is not scored */
        results_add(path, &record);
    }
}

static void write_file(const char *path, const char *const *labels, double shift, int windows)
{
    struct bs_row like = make_row("", "", "");
    like.windows = windows;
    like.scored = windows * (TOKENS - 1);
    write_rows(path, labels, shift, &like);
}

static int make_files(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/bitsweep-table-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file_a, sizeof file_a, "%s/a.h5", folder);
    snprintf(file_b, sizeof file_b, "%s/b.h5", folder);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(file_a);
    unlink(file_b);
    return rmdir(folder);
}

static enum bs_status diff(enum bs_table_style style, char **text, struct bs_error *err)
{
    struct bs_results a, b;
    if (bs_results_read(file_a, &a, err) || bs_results_read(file_b, &b, err))
        fail_msg("%s", err->message);
    size_t size = 0;
    FILE *out = open_memstream(text, &size);
    enum bs_status status = bs_diff_print(&a, &b, style, out, err);
    fclose(out);
    bs_results_release(&a);
    bs_results_release(&b);
    return status;
}

static void test_diff(void **state)
{
    (void)state;
    static const char *const in_a[] = {"same", "better", "old", NULL};
    static const char *const in_b[] = {"same", "better", "new", NULL};
    write_file(file_a, in_a, 0.2, WINDOWS);
    write_file(file_b, in_b, 0.1, WINDOWS);
    struct bs_error err;
    char *text;
    for (int style = 0; style < 4; style++) {
        assert_int_equal(diff((enum bs_table_style)style, &text, &err), BS_OK);
        assert_holds(text, "better");
        assert_holds(text, "old");
        assert_holds(text, "new");
        free(text);
    }
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_OK);
    /* Three windows can show no difference: of 8 choices of signs 2 are as far out. */
    assert_holds(text, "2 compared: 0 differ significantly (p corrected below 0.05), 1 has the "
                       "same bits");
    assert_holds(text, "only in A: old on evaluation");
    assert_holds(text, "only in B: new on evaluation");
    assert_holds(text, " identical ");
    free(text);

    assert_int_equal(diff(BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "identical")), 1);
    json_t *trials = json_object_get(json, "trials");
    assert_int_equal(json_array_size(trials), 4);
    double same = json_real_value(json_object_get(json_array_get(trials, 0), "difference"));
    double better = json_real_value(json_object_get(json_array_get(trials, 1), "difference"));
    assert_true(same == 0 && better < 0);
    assert_true(json_is_null(json_object_get(json_array_get(trials, 2), "perplexity_b")));
    assert_true(json_is_null(json_object_get(json_array_get(trials, 3), "perplexity_a")));
    json_decref(json);
    free(text);
}

/* Two files of one model each are compared whatever their models are called; where a file has
 * several, trials of one name belong together. */
static void test_diff_of_models(void **state)
{
    (void)state;
    static const char *const one[] = {"one", NULL};
    struct bs_error err;
    char *text;
    model = "x/a";
    write_file(file_a, one, 0, WINDOWS);
    model = "y/b";
    write_file(file_b, one, 0, WINDOWS);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "1 compared");
    free(text);
    write_file(file_a, one, 0, WINDOWS + 1); /* y/b: other windows than in the second file */
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "4 windows \xc3\x97 5 tokens");
    free(text);
    model = "x/a";
    write_file(file_b, one, 0, WINDOWS);
    unlink(file_a);
    write_file(file_a, one, 0, WINDOWS);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_OK);
    assert_holds(text, "\nx/a, one ");
    assert_holds(text, "1 compared");
    assert_holds(text, "only in B: y/b, one on evaluation");
    free(text);
    assert_int_equal(diff(BS_TABLE_CSV, &text, &err), BS_OK);
    assert_holds(text, "label,model,text,");
    assert_holds(text, "\none,y/b,evaluation,gptq,,5,3,5,,bone,only in B,0,1,");
    free(text);
    model = "datasets/tiny";
}

static void test_diff_refusals(void **state)
{
    (void)state;
    static const char *const one[] = {"one", NULL}, *const other[] = {"other", NULL};
    struct bs_error err;
    char *text;
    write_file(file_a, one, 0, WINDOWS);
    write_file(file_b, one, 0, WINDOWS + 1);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "text 'evaluation' is measured in ");
    assert_holds(err.message, "by protocol gptq, 3 windows \xc3\x97 5 tokens, in ");
    assert_holds(err.message, "by protocol gptq, 4 windows \xc3\x97 5 tokens: their");
    free(text);
    unlink(file_b);
    write_file(file_b, other, 0, WINDOWS);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "nothing to compare");
    free(text);
}

/* The same label, text and windows are not enough: protocol, stride and bytes count. */
static void test_diff_protocols(void **state)
{
    (void)state;
    static const char *const one[] = {"one", "two", NULL};
    struct bs_error err;
    char *text;
    write_file(file_a, one, 0, WINDOWS);
    struct bs_row like = make_row("", "", "");
    like.scored = WINDOWS * (TOKENS - 2);
    strcpy(like.protocol, "sliding");
    like.stride = 2;
    write_rows(file_b, one, 0, &like);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "by protocol gptq, 3 windows");
    assert_holds(err.message, "by protocol sliding with stride 2, 3 windows");
    free(text);
    /* What is not scored is left out of the pairs. */
    unlink(file_a);
    write_rows(file_a, one, 0.1, &like);
    assert_int_equal(diff(BS_TABLE_JSON, &text, &err), BS_OK);
    json_t *json = json_loads(text, 0, NULL);
    json_t *trial = json_array_get(json_object_get(json, "trials"), 1);
    assert_true(json_real_value(json_object_get(trial, "difference")) < 0);
    assert_true(json_real_value(json_object_get(trial, "difference_se")) > 0);
    assert_string_equal(json_string_value(json_object_get(trial, "protocol")), "sliding");
    json_decref(json);
    free(text);
    unlink(file_a);
    strcpy(like.text_digest, "00fe");
    write_rows(file_a, one, 0, &like);
    assert_int_equal(diff(BS_TABLE_TERMINAL, &text, &err), BS_ECONFIG);
    assert_holds(err.message, "differ in their bytes (digests 00fe and 00ff)");
    free(text);
}

#define TABLE(name) cmocka_unit_test_setup(name, make_sample)
#define DIFF(name) cmocka_unit_test_setup_teardown(name, make_files, remove_files)

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
        TABLE(test_memory),
        DIFF(test_diff),
        DIFF(test_diff_of_models),
        DIFF(test_diff_refusals),
        DIFF(test_diff_protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
