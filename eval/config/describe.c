#include "eval/config/describe.h"

#include <assert.h>
#include <string.h>

#include "algorithms/algorithm.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/config/config.h"
#include "eval/config/model_list.h"
#include "eval/config/report.h"
#include "eval/model/wrappers.h"

enum {
    COLUMNS = 4,
    MAX_ROWS = 96,
    NAME_TEXT = 64,
    ALLOWED_TEXT = 320,
    LIST_TEXT = 800,
    LEAST_COLUMN = 16
};

/* A part of the config: its own keys, its options, and those of the entries of a list in it. */
struct section {
    const char *name, *title;
    const struct bs_config_key *keys;
    const struct bs_option *options;
    const char *entry_prefix;
    const struct bs_config_key *entry_keys;
    const struct bs_option *entry_options;
};

static const struct section sections[] = {
    {"config", "the keys of a config file", bs_config_keys, NULL, NULL, NULL, NULL},
    {"model", "an entry of model that is a mapping", bs_model_keys, NULL, NULL, NULL, NULL},
    {"sweep", "the keys of a grid, beside the options of the algorithms it names", bs_sweep_keys,
     NULL, NULL, NULL, NULL},
    {"weights", "the weight format", NULL, bs_format_options, NULL, NULL, NULL},
    {"activations", "the activation format", NULL, bs_activations_options, NULL, NULL, NULL},
    {"calibration", "the windows that algorithms look at", bs_calibration_keys,
     bs_calibration_options, NULL, NULL, NULL},
    {"evaluation", "what is measured", bs_evaluation_keys, NULL, "perplexity[].", bs_text_keys,
     bs_evaluation_options},
    {"layer_error", "the error of each linear", NULL, bs_layer_error_options, NULL, NULL, NULL},
    {"expected", "published figures beside the measured ones: an entry of the list",
     bs_expected_keys, NULL, NULL, NULL, NULL},
    {.name = NULL},
};

struct row {
    char name[NAME_TEXT], initial[NAME_TEXT], allowed[ALLOWED_TEXT];
    const char *help;
};

struct rows {
    int count;
    struct row rows[MAX_ROWS];
};

static struct row *new_row(struct rows *rows, const char *prefix, const char *name,
                           const char *help)
{
    assert(rows->count < MAX_ROWS);
    struct row *row = &rows->rows[rows->count++];
    snprintf(row->name, sizeof row->name, "%s%s", prefix, name);
    row->help = help;
    return row;
}

static void add_keys(struct rows *rows, const char *prefix, const struct bs_config_key *keys)
{
    for (int k = 0; keys && keys[k].name; k++) {
        struct row *row = new_row(rows, prefix, keys[k].name, keys[k].help);
        snprintf(row->initial, sizeof row->initial, "%s", keys[k].required ? "(required)" : "");
        snprintf(row->allowed, sizeof row->allowed, "%s", keys[k].allowed);
    }
}

static void add_options(struct rows *rows, const char *prefix, const struct bs_option *options)
{
    for (const struct bs_option *o = options; o && o->name; o++) {
        struct row *row = new_row(rows, prefix, o->name, o->help);
        bs_option_print_default(o, row->initial, sizeof row->initial);
        bs_option_print_allowed(o, row->allowed, sizeof row->allowed);
    }
}

/* A Markdown cell: a bar would end it. */
static void print_cell(const char *text, FILE *out)
{
    fputs("| ", out);
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc(' ', out);
}

/* The cells of a row, of the head for NULL. */
static void cells_of(const char *const head[COLUMNS], const struct row *row,
                     const char *cells[COLUMNS])
{
    const char *const own[COLUMNS] = {row ? row->name : head[0], row ? row->initial : head[1],
                                      row ? row->allowed : head[2], row ? row->help : head[3]};
    memcpy(cells, own, sizeof own);
}

static void print_markdown_table(const char *const head[COLUMNS], const struct rows *rows,
                                 FILE *out)
{
    const char *cells[COLUMNS];
    for (int i = -1; i < rows->count; i++) {
        cells_of(head, i < 0 ? NULL : &rows->rows[i], cells);
        for (int c = 0; c < COLUMNS; c++)
            print_cell(cells[c], out);
        fputs("|\n", out);
        if (i < 0)
            fputs("|---|---|---|---|\n", out);
    }
}

/* Gives the last two columns what a terminal leaves of its width. */
static void fit(int width[COLUMNS], int limit)
{
    int left = limit - 2 * COLUMNS - width[0] - width[1];
    if (!limit || left >= width[2] + width[3])
        return;
    int third = 2 * left / 5;
    if (width[2] > third)
        width[2] = third > LEAST_COLUMN ? third : LEAST_COLUMN;
    width[3] = left - width[2] > LEAST_COLUMN ? left - width[2] : LEAST_COLUMN;
}

/* A row, its cells folded to their columns. */
static void print_row(const char *cells[COLUMNS], const int width[COLUMNS], FILE *out)
{
    bool more = true;
    while (more) {
        more = false;
        int behind = 0; /* blanks not printed, as nothing may follow them */
        for (int c = 0; c < COLUMNS; c++) {
            size_t bytes = bs_line_bytes(cells[c], width[c]);
            if (bytes)
                fprintf(out, "%*s  %.*s", behind, "", (int)bytes, cells[c]);
            behind = bytes ? 0 : behind + 2;
            behind += width[c] - bs_text_width(cells[c], bytes);
            cells[c] += bytes;
            cells[c] += strspn(cells[c], " ");
            more |= *cells[c] != '\0';
        }
        fputc('\n', out);
    }
}

/* Rows of cells with a head; in plain text the columns are aligned, and folded on a terminal. */
static void print_table(const char *const head[COLUMNS], const struct rows *rows, bool markdown,
                        FILE *out)
{
    if (markdown) {
        print_markdown_table(head, rows, out);
        return;
    }
    const char *cells[COLUMNS];
    int width[COLUMNS] = {0};
    for (int i = -1; i < rows->count; i++) {
        cells_of(head, i < 0 ? NULL : &rows->rows[i], cells);
        for (int c = 0; c < COLUMNS; c++) {
            int own = bs_text_width(cells[c], strlen(cells[c]));
            width[c] = own > width[c] ? own : width[c];
        }
    }
    fit(width, bs_terminal_limit(out));
    for (int i = -1; i < rows->count; i++) {
        cells_of(head, i < 0 ? NULL : &rows->rows[i], cells);
        print_row(cells, width, out);
    }
}

static const char *const option_head[COLUMNS] = {"name", "default", "allowed", "meaning"};

static void print_head(const char *name, const char *title, bool markdown, FILE *out)
{
    if (markdown)
        fprintf(out, "### %s\n\n%s\n\n", name, title);
    else
        bs_print_folded(out, bs_terminal_limit(out), "%s: %s", name, title);
}

static void describe_section(const struct section *section, bool markdown, FILE *out)
{
    struct rows rows = {0};
    add_keys(&rows, "", section->keys);
    add_options(&rows, "", section->options);
    if (section->entry_prefix) {
        add_keys(&rows, section->entry_prefix, section->entry_keys);
        add_options(&rows, section->entry_prefix, section->entry_options);
    }
    print_head(section->name, section->title, markdown, out);
    print_table(option_head, &rows, markdown, out);
}

static const char *grid_text(const struct bs_algorithm *algorithm)
{
    return algorithm->grid == BS_GRID_AUTO ? "that of the chain, else gptq"
                                           : bs_grid_name(algorithm->grid);
}

static const char *calibrates_on_text(const struct bs_algorithm *algorithm)
{
    if (!algorithm->needs)
        return "nothing";
    return algorithm->calibrate_on == BS_ON_QUANTIZED ? "quantized" : "unquantized";
}

static void describe_algorithm(const struct bs_algorithm *algorithm, bool markdown, FILE *out)
{
    struct rows rows = {0};
    add_options(&rows, "", algorithm->plugin.options);
    const char *item = markdown ? "- " : "  ", *gap = markdown ? "\n" : "";
    print_head(algorithm->plugin.name, algorithm->plugin.summary, markdown, out);
    bs_print_folded(out, markdown ? 0 : bs_terminal_limit(out), "%sreference: %s", item,
                    algorithm->plugin.reference);
    fprintf(out, "%sgrid: %s\n", item, grid_text(algorithm));
    fprintf(out, "%scalibrates on: %s\n%s", item, calibrates_on_text(algorithm), gap);
    if (rows.count == 0) {
        fputs(markdown ? "It has no options.\n" : "  no options\n", out);
        return;
    }
    if (!markdown)
        fputc('\n', out);
    print_table(option_head, &rows, markdown, out);
}

static void list_algorithms(bool markdown, FILE *out)
{
    static const char *const head[COLUMNS] = {"name", "grid", "calibrates on", "summary"};
    struct rows rows = {0};
    for (int a = 0; bs_algorithm_at(a); a++) {
        const struct bs_algorithm *algorithm = bs_algorithm_at(a);
        struct row *row = new_row(&rows, "", algorithm->plugin.name, algorithm->plugin.summary);
        snprintf(row->initial, sizeof row->initial, "%s", grid_text(algorithm));
        snprintf(row->allowed, sizeof row->allowed, "%s", calibrates_on_text(algorithm));
    }
    fputs(markdown ? "### algorithms\n\n" : "algorithms\n", out);
    print_table(head, &rows, markdown, out);
}

static void list_models(bool markdown, FILE *out)
{
    static const char *const head[COLUMNS] = {"model_type", "positions", "wiring", "models"};
    static const char *const positions[] = {
        [BS_ROTARY] = "rotary", [BS_LEARNED] = "learned", [BS_ALIBI] = "ALiBi"};
    static const char *const wiring[] = {
        [BS_PRE_NORM] = "one after the other", [BS_PARALLEL] = "attention and MLP in parallel"};
    struct rows rows = {0};
    const struct bs_family *family;
    for (int f = 0; (family = bs_family_at(f)); f++) {
        struct row *row = new_row(&rows, "", family->model_type, family->models);
        snprintf(row->initial, sizeof row->initial, "%s", positions[family->positions_kind]);
        snprintf(row->allowed, sizeof row->allowed, "%s", wiring[family->wiring]);
    }
    const struct bs_wrapper *wrapper;
    for (int w = 0; (wrapper = bs_wrapper_at(w)); w++) {
        struct row *row =
            new_row(&rows, "", wrapper->model_type, "the text part of it (text_config), alone");
        snprintf(row->initial, sizeof row->initial, "-");
        snprintf(row->allowed, sizeof row->allowed, "-");
    }
    print_head("models", "the model families, as config.json names them", markdown, out);
    print_table(head, &rows, markdown, out);
}

static void list_protocols(bool markdown, FILE *out)
{
    static const char *const head[COLUMNS] = {"name", "fewest windows", "stride", "scored"};
    struct rows rows = {0};
    for (int p = 0; p < BS_NUM_PROTOCOLS; p++) {
        const struct bs_protocol_rules *rules = &bs_protocols[p];
        struct row *row = new_row(&rows, "", bs_protocol_names[p], rules->summary);
        snprintf(row->initial, sizeof row->initial, "%d", rules->least_windows);
        snprintf(row->allowed, sizeof row->allowed, "%s", rules->slides ? "stride" : "tokens");
    }
    print_head("protocols", "how a text is cut into windows, and what of them is scored", markdown,
               out);
    print_table(head, &rows, markdown, out);
}

static void print_part(const struct bs_corpus_part *part, char *out, size_t size)
{
    snprintf(out, size, "%s: %s", part->file ? part->source : "none",
             part->file ? part->preparation : "for calibration only");
}

/* Both uses of a text take a line each, as neither fits beside the other. */
static void list_texts(bool markdown, FILE *out)
{
    static const char *const head[COLUMNS] = {"name", "use", "part", "meaning"};
    struct rows rows = {0};
    for (const struct bs_corpus *corpus = bs_corpora; corpus->name; corpus++) {
        const struct bs_corpus_part *parts[] = {&corpus->calibration, &corpus->evaluation};
        for (int p = 0; p < 2; p++) {
            struct row *row = new_row(&rows, "", corpus->name, corpus->summary);
            snprintf(row->initial, sizeof row->initial, "%s", p ? "evaluation" : "calibration");
            print_part(parts[p], row->allowed, sizeof row->allowed);
        }
    }
    print_head("texts", "the known texts; any other name is a file", markdown, out);
    print_table(head, &rows, markdown, out);
}

/* What is described beside algorithms and sections: tables of their own. */
static const struct {
    const char *name;
    void (*list)(bool markdown, FILE *out);
} lists[] = {{"models", list_models}, {"protocols", list_protocols}, {"texts", list_texts}};
enum { NUM_LISTS = sizeof lists / sizeof *lists };

void bs_describe_all(FILE *out, bool markdown)
{
    list_algorithms(markdown, out);
    for (int a = 0; markdown && bs_algorithm_at(a); a++) {
        fputc('\n', out);
        describe_algorithm(bs_algorithm_at(a), markdown, out);
    }
    for (const struct section *section = sections; section->name; section++) {
        fputc('\n', out);
        describe_section(section, markdown, out);
    }
    for (int l = 0; l < NUM_LISTS; l++) {
        fputc('\n', out);
        lists[l].list(markdown, out);
    }
}

enum bs_status bs_describe_one(const char *name, FILE *out, bool markdown, struct bs_error *err)
{
    const struct bs_algorithm *algorithm = bs_algorithm_find(name);
    if (algorithm) {
        describe_algorithm(algorithm, markdown, out);
        return BS_OK;
    }
    struct bs_names names = {0};
    for (int a = 0; bs_algorithm_at(a); a++)
        bs_names_add(&names, bs_algorithm_at(a)->plugin.name);
    for (const struct section *section = sections; section->name; section++) {
        if (!strcmp(section->name, name)) {
            describe_section(section, markdown, out);
            return BS_OK;
        }
        bs_names_add(&names, section->name);
    }
    for (int l = 0; l < NUM_LISTS; l++) {
        if (!strcmp(lists[l].name, name)) {
            lists[l].list(markdown, out);
            return BS_OK;
        }
        bs_names_add(&names, lists[l].name);
    }
    char list[LIST_TEXT];
    bs_names_print(&names, name, list, sizeof list);
    return bs_fail(err, BS_ECONFIG, "'%.60s' is nothing to describe, expected %s", name, list);
}
