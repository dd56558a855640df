#include "eval/report/page.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/report/choose.h"
#include "eval/report/html.h"
#include "eval/report/page_internal.h"

void bs_page_section(FILE *out, const char *id, const char *heading)
{
    fprintf(out, "<section id=\"%s\">\n<h2>%s</h2>\n", id, heading);
}

int bs_page_files(const struct bs_page *page)
{
    int parts = page->shown->all->num_parts;
    return parts ? parts : 1;
}

const struct bs_results *bs_page_file(const struct bs_page *page, int file)
{
    const struct bs_results *all = page->shown->all;
    return all->num_parts ? &all->parts[file] : all;
}

/* A file of the templates' folder, in new memory. */
static enum bs_status read_part(const struct bs_page *page, const char *name, char **text,
                                struct bs_error *err)
{
    char *path = bs_printf("%s/%s", page->plots, name);
    size_t size;
    enum bs_status status = path ? bs_file_read(path, text, &size, err) : bs_fail_memory(err);
    bs_free(path);
    return status;
}

/* The script's digest: by it a browser knows the only script that may run. */
static enum bs_status print_policy(FILE *out, const char *script, struct bs_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE], text[2 * EVP_MAX_MD_SIZE];
    unsigned int length;
    if (!EVP_Digest(script, strlen(script), digest, &length, EVP_sha256(), NULL))
        return bs_fail_memory(err);
    EVP_EncodeBlock(text, digest, (int)length);
    fprintf(out,
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "style-src 'unsafe-inline'; img-src data:; script-src 'sha256-%s'\">\n",
            (const char *)text);
    return BS_OK;
}

static int count_models(const struct bs_results *results)
{
    int count = 0;
    for (int i = 0; i < results->num_rows; i++) {
        bool told = false;
        for (int k = 0; k < i && !told; k++)
            told = !strcmp(results->rows[k].model, results->rows[i].model);
        count += !told;
    }
    return count;
}

/* "What quantization costs facebook/opt-125m", in new memory. */
static char *title_of(const struct bs_results *results)
{
    int models = count_models(results);
    return models == 1 ? bs_printf("What quantization costs %s", results->rows[0].model)
                       : bs_printf("What quantization costs %d models", models);
}

static enum bs_status print_head(const struct bs_page *page, const char *title, const char *script,
                                 FILE *out, struct bs_error *err)
{
    char *style;
    if (read_part(page, "report.css", &style, err))
        return err->status;
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n", out);
    enum bs_status status = print_policy(out, script, err);
    fputs("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<link rel=\"icon\" href=\"data:,\">\n",
          out);
    bs_html_element(out, "title", "%s", title);
    fprintf(out, "<style>\n%s</style>\n</head>\n<body>\n", style);
    bs_free(style);
    return status;
}

static enum bs_status print_tables(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    bs_page_section(out, "trials", "Trials");
    fputs("<p class=\"filter\" hidden><label>Show rows with <input type=\"search\" "
          "placeholder=\"g128 bits&lt;4.5\" autocomplete=\"off\" spellcheck=\"false\"></label> "
          "<output></output></p>\n",
          out);
    enum bs_status status =
        bs_table_print(page->shown, page->published, page->columns, false, BS_TABLE_HTML, out, err);
    fputs("</section>\n", out);
    return status;
}

/* Whether there is anything to choose, which bs_choose_print holds for an error. */
static bool has_choice(const struct bs_trials *shown)
{
    const struct bs_results *all = shown->all, *results = &shown->results;
    for (int i = 0; i < all->num_rows; i++)
        for (int k = 0; k < results->num_rows; k++)
            if (!strcmp(all->rows[i].algorithm, "unquantized") && bs_row_is_done(&all->rows[i]) &&
                strcmp(results->rows[k].algorithm, "unquantized") &&
                bs_rows_same_subject(&all->rows[i], &results->rows[k]))
                return true;
    return false;
}

static enum bs_status print_choice(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    const struct bs_choice_limits anything = {.bits = 0};
    bool held;
    if (!has_choice(page->shown))
        return BS_OK;
    bs_page_section(out, "front", "Which to take");
    fputs("<p>A trial holds where no other is as small and better beyond their uncertainty.</p>\n",
          out);
    enum bs_status status = bs_choose_print(page->shown, &anything, BS_TABLE_HTML, out, &held, err);
    if (status == BS_EDATA) { /* nothing has anything to lose, which is told above */
        bs_html_element(out, "p", "%s", err->message);
        status = BS_OK;
    }
    fputs("</section>\n", out);
    return status;
}

static enum bs_status print_leaders(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    struct bs_print printing;
    bool any = false;
    FILE *section = bs_print_begin(&printing);
    if (!section)
        return bs_fail_memory(err);
    enum bs_status status = bs_diff_print_leaders(page->shown, BS_TABLE_HTML, section, &any, err);
    char *text = bs_print_end(&printing);
    if (!status && !text)
        status = bs_fail_memory(err);
    if (!status && any) {
        bs_page_section(out, "leaders", "Is the best better?");
        fprintf(out,
                "<p>A is the best of equally many bits, B what comes next. Where the corrected p "
                "is not below 0.05, A is not known to be better.</p>\n%s</section>\n",
                text);
    }
    bs_free(text);
    return status;
}

static void print_configs(const struct bs_page *page, FILE *out)
{
    bs_page_section(out, "config", "Config");
    for (int f = 0; f < bs_page_files(page); f++) {
        if (bs_page_files(page) > 1)
            bs_html_element(out, "h3", "%s", bs_page_file(page, f)->path);
        fputs("<pre><code>", out);
        bs_html_text(out, bs_page_file(page, f)->config);
        fputs("</code></pre>\n", out);
    }
    fputs("</section>\n", out);
}

/* The sections that there are, for the links to them. */
static void print_links(const char *sections, FILE *out)
{
    static const char *const links[][2] = {
        {"run", "What was run"},       {"warnings", "To know"},
        {"trials", "Trials"},          {"charts", "Charts"},
        {"front", "Which to take"},    {"leaders", "Is the best better?"},
        {"layers", "Errors by layer"}, {"config", "Config"}};
    fputs("<nav>", out);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char mark[48];
        snprintf(mark, sizeof mark, "<section id=\"%s\">", links[i][0]);
        if (strstr(sections, mark))
            fprintf(out, "<a href=\"#%s\">%s</a>\n", links[i][0], links[i][1]);
    }
    fputs("</nav>\n", out);
}

/* All sections, in new memory. */
static enum bs_status make_sections(const struct bs_page *page, char **text, struct bs_error *err)
{
    static enum bs_status (*const parts[])(const struct bs_page *, FILE *, struct bs_error *) = {
        bs_page_facts, bs_page_warnings, print_tables,   bs_page_charts,
        print_choice,  print_leaders,    bs_page_layers,
    };
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !status; i++)
        status = parts[i](page, out, err);
    if (!status)
        print_configs(page, out);
    *text = bs_print_end(&printing);
    if (!status && !*text)
        status = bs_fail_memory(err);
    return status;
}

static enum bs_status print_page(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    char *sections = NULL, *script = NULL;
    char *title = title_of(&page->shown->results);
    enum bs_status status = title ? make_sections(page, &sections, err) : bs_fail_memory(err);
    if (!status)
        status = read_part(page, "report.js", &script, err);
    if (!status)
        status = print_head(page, title, script, out, err);
    if (!status) {
        fputs("<header>\n", out);
        bs_html_element(out, "h1", "%s", title);
        print_links(sections, out);
        fprintf(out, "</header>\n<main>\n%s</main>\n<footer>", sections);
        bs_html_text(out, "made by bitsweep " BS_VERSION);
        fprintf(out, "</footer>\n<script>%s</script>\n</body>\n</html>\n", script);
    }
    bs_free(script);
    bs_free(sections);
    bs_free(title);
    return status;
}

enum bs_status bs_page_write(const struct bs_page *page, const char *path, struct bs_error *err)
{
    if (!page->shown->results.num_rows)
        return bs_fail(err, BS_EDATA, "%s: none of %d trials fits", page->shown->all->path,
                       page->shown->all->num_rows);
    char *aside = bs_printf("%s.partial", path);
    if (!aside)
        return bs_fail_memory(err);
    enum bs_status status = bs_make_parent(path, err);
    FILE *out = status ? NULL : fopen(aside, "we");
    if (!status && !out)
        status = bs_fail(err, BS_EIO, "%s: %s", aside, strerror(errno));
    if (out) {
        status = print_page(page, out, err);
        bool failed = ferror(out);
        if ((fclose(out) || failed) && !status)
            status = bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno ? errno : EIO));
        if (!status)
            status = bs_file_commit(aside, path, err);
        if (status)
            remove(aside);
    }
    bs_free(aside);
    return status;
}
