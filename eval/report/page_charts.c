/* Charts within a page: gnuplot draws them as for `plot`; their SVG becomes part of the page. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/report/chart.h"
#include "eval/report/html.h"
#include "eval/report/page_internal.h"

/* ---- one picture ---- */

/* The element that begins here where it is the one, whole, with its end; else NULL. */
static const char *end_of_element(const char *at, const char *begin, const char *end)
{
    const char *found = strncmp(at, begin, strlen(begin)) ? NULL : strstr(at, end);
    return found ? found + strlen(end) : NULL;
}

/* What a name of the picture stands after. */
static bool is_before_name(const char *tag, const char *at)
{
    static const char *const marks[] = {" id='", " id=\"", "href='#", "href=\"#", "url(#"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t length = strlen(marks[i]);
        if ((size_t)(at - tag) >= length && !strncmp(at - length, marks[i], length))
            return true;
    }
    return false;
}

/* Bytes of what begins here and shows nothing: groups with nothing in them, of which gnuplot writes
 * many, and what holds in any SVG unless it is told otherwise. */
static size_t idle_bytes(const char *at)
{
    static const char *const idle[] = {" stroke-linecap=\"butt\" stroke-linejoin=\"miter\"",
                                       " class=\"gridline\""};
    static const char empty[] = ">\n</g>\n";
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (!strncmp(at, idle[i], strlen(idle[i])))
            return strlen(idle[i]);
    const char *end = strncmp(at, "<g ", 3) ? NULL : strchr(at, '>');
    bool is_empty = end && !strncmp(end, empty, strlen(empty));
    return is_empty ? (size_t)(end - at) + strlen(empty) : 0;
}

/* Prints the picture with names of its own: pictures of one page have the same ones. Its title and
 * description are gnuplot's own, "Gnuplot". */
static void print_picture(const char *svg, int number, FILE *out)
{
    const char *tag = NULL;
    for (const char *at = svg; *at; at++) {
        const char *after = end_of_element(at, "<title>", "</title>");
        after = after ? after : end_of_element(at, "<desc>", "</desc>");
        if (after)
            at = after;
        for (size_t idle = idle_bytes(at); idle; idle = idle_bytes(at))
            at += idle;
        if (!*at)
            break;
        tag = *at == '<' ? at : tag;
        if (tag && is_before_name(tag, at))
            fprintf(out, "c%d-", number);
        tag = *at == '>' ? NULL : tag;
        if (*at != '\t' && !(*at == '\n' && (at[1] == '\n' || at[1] == '\t')))
            fputc(*at, out);
    }
}

static enum bs_status add_picture(const char *folder, const char *name, const char *shade,
                                  int number, FILE *out, struct bs_error *err)
{
    char *path = bs_printf("%s/%s", folder, name), *text = NULL;
    size_t size;
    enum bs_status status = path ? bs_file_read(path, &text, &size, err) : bs_fail_memory(err);
    const char *svg = status ? NULL : strstr(text, "<svg");
    if (!status && !svg)
        status = bs_fail(err, BS_EDATA, "%s: gnuplot's SVG has no <svg>", path);
    if (!status) {
        fprintf(out, "<figure class=\"chart %s\" role=\"img\" aria-label=\"", shade);
        bs_html_text(out, name);
        fputs("\">\n", out);
        print_picture(svg, number, out);
        fputs("</figure>\n", out);
    }
    bs_free(text);
    bs_free(path);
    return status;
}

/* ---- all pictures ---- */

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The names in the folder, in the order of their bytes; nothing where it is not there. */
static enum bs_status list_names(const char *folder, struct bs_lines *names, struct bs_error *err)
{
    DIR *open = opendir(folder);
    enum bs_status status = BS_OK;
    for (struct dirent *entry; open && !status && (entry = readdir(open));)
        if (*entry->d_name != '.')
            status = bs_lines_add(names, err, "%s", entry->d_name);
    if (open)
        closedir(open);
    if (names->count)
        qsort(names->lines, (size_t)names->count, sizeof *names->lines, by_name);
    return status;
}

/* Adds the pictures in the folder, and empties it. */
static enum bs_status take_pictures(const char *folder, const char *shade, int *number, FILE *out,
                                    struct bs_error *err)
{
    struct bs_lines names = {0};
    enum bs_status status = list_names(folder, &names, err);
    for (int i = 0; i < names.count; i++) {
        char *path = bs_printf("%s/%s", folder, names.lines[i]);
        if (!status && bs_ends_in(names.lines[i], ".svg"))
            status = add_picture(folder, names.lines[i], shade, ++*number, out, err);
        if (path)
            unlink(path);
        bs_free(path);
    }
    bs_lines_release(&names);
    return status;
}

/* A chart of the page, and what a config says of it; NULL = none does. */
struct listed {
    const char *name;
    const struct bs_chart_config *config;
};

/* Draws one chart, light and dark: the style shows the one that the reader's screen asks for. */
static enum bs_status add_chart(const struct bs_page *page, const struct listed *chart,
                                const char *folder, int *number, FILE *out, struct bs_error *err)
{
    static const struct bs_chart_config nothing;
    const char *name = chart->name;
    const struct bs_chart_config *said = chart->config ? chart->config : &nothing;
    struct bs_chart_how how = {.plots = page->plots,
                               .directory = folder,
                               .pictures = 1u << BS_SVG,
                               .x = said->x,
                               .y = said->y,
                               .lines = said->lines,
                               .panels = said->panels,
                               .published = *page->published};
    enum bs_status status = BS_OK;
    for (int dark = 0; dark < 2 && !status; dark++) {
        struct bs_error failed, ignored;
        struct bs_lines drawn = {0};
        how.is_dark = dark;
        status = bs_chart_draw(&page->drawn->results, name, &how, &drawn, &failed);
        bs_lines_release(&drawn);
        if (status == BS_EDATA) { /* the selection has left out what it needs */
            bs_html_element(out, "p", "%s is not drawn: %s", name, failed.message);
            return take_pictures(folder, "light", number, out, err);
        }
        if (status)
            *err = failed;
        enum bs_status taken =
            take_pictures(folder, dark ? "dark" : "light", number, out, status ? &ignored : err);
        status = status ? status : taken;
    }
    return status;
}

/* A new folder for what is drawn, in new memory. */
static enum bs_status make_folder(char **folder, struct bs_error *err)
{
    const char *temporary = getenv("TMPDIR");
    *folder = bs_printf("%s/bitsweep-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!*folder)
        return bs_fail_memory(err);
    if (mkdtemp(*folder))
        return BS_OK;
    enum bs_status status = bs_fail(err, BS_EIO, "%s: %s", *folder, strerror(errno));
    bs_free(*folder);
    *folder = NULL;
    return status;
}

/* Whether a chart of this name is there about which nothing is said. */
static bool is_listed(const struct listed *charts, int count, const char *name)
{
    bool has = false;
    for (int i = 0; i < count; i++)
        has = has || (!strcmp(charts[i].name, name) && !charts[i].config);
    return has;
}

/* What `plot` draws unless told otherwise, and what configs name; NULL without memory. */
static struct listed *list_charts(const struct bs_page *page, int *count)
{
    const char *names[BS_MOST_CHARTS];
    const struct bs_results *results = &page->drawn->results;
    int own = bs_charts_that_apply(results, names);
    struct listed *charts = bs_calloc((size_t)(own + page->num_charts) + 1, sizeof *charts);
    for (*count = 0; charts && *count < own; ++*count)
        charts[*count].name = names[*count];
    for (int i = 0; i < page->num_charts && charts; i++) {
        const struct bs_chart_config *chart = page->charts[i];
        bool is_plain = !chart->x && !chart->y && !chart->lines && !chart->panels;
        if ((!is_plain || !is_listed(charts, *count, chart->name)) &&
            bs_chart_applies(results, chart->name))
            charts[(*count)++] = (struct listed){chart->name, is_plain ? NULL : chart};
    }
    return charts;
}

static bool any_quantized(const struct bs_results *results)
{
    for (int i = 0; i < results->num_rows; i++)
        if (bs_row_is_done(&results->rows[i]) && strcmp(results->rows[i].algorithm, "unquantized"))
            return true;
    return false;
}

enum bs_status bs_page_charts(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    char *folder = NULL;
    int number = 0, count = 0;
    if (!any_quantized(&page->shown->results))
        return BS_OK;
    struct listed *charts = list_charts(page, &count);
    enum bs_status status = charts ? BS_OK : bs_fail_memory(err);
    if (!status && count)
        status = make_folder(&folder, err);
    if (folder)
        bs_page_section(out, "charts", "Charts");
    for (int i = 0; i < count && !status; i++)
        status = add_chart(page, &charts[i], folder, &number, out, err);
    if (folder) {
        fputs("</section>\n", out);
        rmdir(folder);
    }
    bs_free(folder);
    bs_free(charts);
    return status;
}
