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
#include "eval/report/page_picture.h"

/* ---- one picture ---- */

/* The charts' drawing: each is drawn light and dark, side by side, and printed as one. */
struct drawing {
    const struct bs_page *page;
    FILE *out;
    char *folders[2]; /* of light and of dark pictures */
    int count;        /* pictures so far */
    struct bs_page_colours colours;
};

/* "pareto.svg", and "pareto_dark.svg" in the other folder. */
static char *picture_path(const struct drawing *drawing, const char *name, bool is_dark)
{
    size_t length = strlen(name) - strlen(".svg");
    return bs_printf("%s/%.*s%s.svg", drawing->folders[is_dark], (int)length, name,
                     is_dark ? "_dark" : "");
}

static enum bs_status read_picture(const struct drawing *drawing, const char *name, bool is_dark,
                                   char **text, struct bs_error *err)
{
    char *path = picture_path(drawing, name, is_dark);
    size_t size;
    enum bs_status status = path ? bs_file_read(path, text, &size, err) : bs_fail_memory(err);
    bs_free(path);
    return status;
}

static enum bs_status add_picture(struct drawing *drawing, const char *name, struct bs_error *err)
{
    char *light = NULL, *dark = NULL;
    enum bs_status status = read_picture(drawing, name, false, &light, err);
    if (!status)
        status = read_picture(drawing, name, true, &dark, err);
    if (!status) {
        fputs("<figure class=\"chart\" role=\"img\" aria-label=\"", drawing->out);
        bs_html_text(drawing->out, name);
        fputs("\">\n", drawing->out);
        status =
            bs_page_picture(light, dark, ++drawing->count, &drawing->colours, drawing->out, err);
        fputs("</figure>\n", drawing->out);
    }
    bs_free(dark);
    bs_free(light);
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

/* Removes what is in the folder. */
static void empty_folder(const char *folder)
{
    struct bs_lines names = {0};
    struct bs_error ignored;
    list_names(folder, &names, &ignored);
    for (int i = 0; i < names.count; i++) {
        char *path = bs_printf("%s/%s", folder, names.lines[i]);
        if (path)
            unlink(path);
        bs_free(path);
    }
    bs_lines_release(&names);
}

/* Adds the pictures that were drawn, and empties their folders. */
static enum bs_status take_pictures(struct drawing *drawing, struct bs_error *err)
{
    struct bs_lines names = {0};
    enum bs_status status = list_names(drawing->folders[0], &names, err);
    for (int i = 0; i < names.count && !status; i++)
        if (bs_ends_in(names.lines[i], ".svg"))
            status = add_picture(drawing, names.lines[i], err);
    bs_lines_release(&names);
    for (int dark = 0; dark < 2; dark++)
        empty_folder(drawing->folders[dark]);
    return status;
}

/* A chart of the page, and what a config says of it; NULL = none does. */
struct listed {
    const char *name;
    const struct bs_chart_config *config;
};

/* Draws one chart and prints it. Of one that fails in the middle what was drawn is shown. */
static enum bs_status add_chart(struct drawing *drawing, const struct listed *chart,
                                struct bs_error *err)
{
    static const struct bs_chart_config nothing;
    const struct bs_page *page = drawing->page;
    const char *name = chart->name;
    const struct bs_chart_config *said = chart->config ? chart->config : &nothing;
    struct bs_chart_how how = {.plots = page->plots,
                               .pictures = 1u << BS_SVG,
                               .x = said->x,
                               .y = said->y,
                               .lines = said->lines,
                               .panels = said->panels,
                               .published = *page->published};
    struct bs_error failed;
    enum bs_status status = BS_OK;
    for (int dark = 0; dark < 2 && (!status || status == BS_EDATA); dark++) {
        struct bs_lines drawn = {0};
        how.directory = drawing->folders[dark];
        how.is_dark = dark;
        status = bs_chart_draw(&page->drawn->results, name, &how, &drawn, &failed);
        bs_lines_release(&drawn);
    }
    if (status && status != BS_EDATA) {
        *err = failed;
        return status;
    }
    if (status) /* the selection has left out what it needs */
        bs_html_element(drawing->out, "p", "%s is not drawn: %s", name, failed.message);
    return take_pictures(drawing, err);
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
    struct drawing drawing = {.page = page, .out = out};
    int count = 0;
    if (!any_quantized(&page->shown->results))
        return BS_OK;
    struct listed *charts = list_charts(page, &count);
    enum bs_status status = charts ? BS_OK : bs_fail_memory(err);
    for (int dark = 0; dark < 2 && !status && count; dark++)
        status = make_folder(&drawing.folders[dark], err);
    if (!status && count)
        bs_page_section(out, "charts", "Charts");
    for (int i = 0; i < count && !status; i++)
        status = add_chart(&drawing, &charts[i], err);
    if (!status && count)
        fputs("</section>\n", out);
    for (int dark = 0; dark < 2; dark++) {
        if (drawing.folders[dark]) {
            empty_folder(drawing.folders[dark]);
            rmdir(drawing.folders[dark]);
        }
        bs_free(drawing.folders[dark]);
    }
    bs_page_colours_release(&drawing.colours);
    bs_free(charts);
    return status;
}
