/* Charts: the data and a self-contained script are written side by side, then gnuplot runs there.
 */
#define _GNU_SOURCE /* posix_spawn_file_actions_addchdir_np */
#include "eval/report/chart.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/model_name.h"
#include "eval/base/printable.h"
#include "eval/linalg/numerics.h"
#include "eval/report/chart_internal.h"
#include "eval/report/columns.h"
#include "eval/tasks/evaluation.h"

extern char **environ;

/* More than the names of a chart, a model and a text and a number take. */
enum { NAME_BYTES = 256 };

/* A kind of chart: its own name, which is its template's too, and how it is called with a value
 * that is drawn in the place of its own. */
static const struct kind {
    const char *name, *before, *after;
    enum bs_status (*plot)(struct bs_plot *plot, struct bs_error *err);
    const char
        *lines_of; /* its own value where it has a line for each trial; NULL = it draws values
                           * of trials, groups of calibrations by their means */
} kinds[] = {
    {"perplexity_vs_bits", "", "_vs_bits", bs_plot_perplexity, NULL},
    {"pareto", "pareto_", "", bs_plot_pareto, NULL},
    {"layer_error", "layer_", "", bs_plot_layers, "relative_output_error"},
    {"perplexity_by_position", "", "_by_position", bs_plot_positions, "perplexity"},
};
enum { NUM_KINDS = sizeof kinds / sizeof *kinds };

const char *const bs_chart_names[] = {"perplexity_vs_bits", "pareto", "layer_error",
                                      "perplexity_by_position", NULL};
const char *const bs_chart_patterns[] = {"perplexity_vs_bits",
                                         "pareto",
                                         "layer_error",
                                         "perplexity_by_position",
                                         "*_vs_bits",
                                         "pareto_*",
                                         "layer_*",
                                         "*_by_position",
                                         NULL};

/* A chart that is asked for. */
struct chart {
    const struct kind *kind;
    const char *name; /* as it is asked for, and as its files are called */
    char value[64];   /* "" = the kind's own */
};

/* False for a name that no chart has. */
static bool parse_name(const char *name, struct chart *chart)
{
    for (int k = 0; k < NUM_KINDS; k++) {
        *chart = (struct chart){&kinds[k], name, ""};
        if (!strcmp(kinds[k].name, name))
            return true;
    }
    for (int k = 0; k < NUM_KINDS; k++) {
        size_t before = strlen(kinds[k].before), after = strlen(kinds[k].after);
        size_t length = strlen(name);
        if (length <= before + after || strncmp(name, kinds[k].before, before) ||
            strcmp(name + length - after, kinds[k].after))
            continue;
        *chart = (struct chart){&kinds[k], name, ""};
        snprintf(chart->value, sizeof chart->value, "%.*s", (int)(length - before - after),
                 name + before);
        return true;
    }
    return false;
}

/* Reads what gnuplot says until it ends; the end of a long speech is dropped. */
static void collect(int from, char *words, size_t size)
{
    size_t used = 0;
    char dropped[256];
    for (;;) {
        bool full = used + 1 >= size;
        ssize_t got =
            full ? read(from, dropped, sizeof dropped) : read(from, words + used, size - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += full ? 0 : (size_t)got;
    }
    while (used > 0 && (words[used - 1] == '\n' || words[used - 1] == ' '))
        used--;
    words[used] = '\0';
    for (char *c = words; *c; c++) /* a message is one line */
        if (*c == '\n')
            *c = ' ';
}

/* posix_spawnp of a program that no signal is blocked for: those that ask us to stop (stop.h) are
 * blocked here. */
static int spawn_unblocked(pid_t *child, const char *program,
                           const posix_spawn_file_actions_t *actions, char *const *arguments)
{
    sigset_t none;
    posix_spawnattr_t attributes;
    int failed = posix_spawnattr_init(&attributes);
    if (failed)
        return failed;
    sigemptyset(&none);
    failed = posix_spawnattr_setsigmask(&attributes, &none);
    if (!failed)
        failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (!failed)
        failed = posix_spawnp(child, program, actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

/* Starts gnuplot in `directory` with its stderr to `to`. Returns 0 or the reason why not. */
static int spawn_gnuplot(const char *directory, const char *script, int to, pid_t *child)
{
    /* -d: the user's own settings do not change a chart. */
    char program[] = "gnuplot", defaults[] = "-d";
    char *name = bs_strdup(script);
    char *arguments[] = {program, defaults, name, NULL};
    posix_spawn_file_actions_t actions;
    int failed = name ? posix_spawn_file_actions_init(&actions) : ENOMEM;
    if (failed) {
        bs_free(name);
        return failed;
    }
    failed = posix_spawn_file_actions_addchdir_np(&actions, directory);
    if (!failed)
        failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(&actions, to, STDERR_FILENO);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(&actions, to, STDOUT_FILENO);
    if (!failed)
        failed = spawn_unblocked(child, program, &actions, arguments);
    posix_spawn_file_actions_destroy(&actions);
    bs_free(name);
    return failed;
}

/* Appends the text of a template to the script. */
static enum bs_status append_template(FILE *script, const char *plots, const char *name,
                                      struct bs_error *err)
{
    char *path = bs_printf("%s/%s.gp", plots, name), *text = NULL;
    size_t size = 0;
    enum bs_status status = path ? bs_file_read(path, &text, &size, err) : bs_fail_memory(err);
    if (!status) {
        fputc('\n', script);
        fwrite(text, 1, size, script); /* the stream remembers a failure until it is closed */
    }
    bs_free(text);
    bs_free(path);
    return status;
}

/* As much of a model's name as a title has room for: of a path its end. */
static enum bs_status title_name(const char *model, char *out, size_t size, struct bs_error *err)
{
    enum { COLUMNS = 44 };
    char *name = bs_model_short_name(model), shown[256];
    if (!name)
        return bs_fail_memory(err);
    const char *rest = name, *slash;
    while (bs_chart_columns(rest, COLUMNS) == COLUMNS && (slash = strchr(rest, '/')) && slash[1])
        rest = slash + 1;
    bs_shorten(rest, COLUMNS, shown, sizeof shown);
    snprintf(out, size, "%s%s", rest > name + 1 ? "\xe2\x80\xa6/" : "", shown);
    bs_free(name);
    return BS_OK;
}

/* What the value is called, in one line, and which way is worse. */
static void print_value(const struct bs_plot *plot)
{
    const struct bs_value_type *type = plot->value;
    char name[96] = "";
    if (type)
        snprintf(name, sizeof name, "%s", type->heading ? type->heading : type->name);
    for (char *c = name; *c; c++)
        *c = *c == '\n' || *c == '_' ? ' ' : *c;
    bs_script_text(plot->script, "VALUE", name);
    fprintf(plot->script, "PAIRED = %d\nCHANGE = '%s'\n", type && bs_plot_is_paired(plot),
            type && type->direction > 0 ? "decrease" : "increase");
}

static enum bs_status script_head(struct bs_plot *plot, const char *base,
                                  const struct bs_row *first, struct bs_error *err)
{
    char subject[400], how[BS_MEASURED_TEXT + 2], model[300], measured[BS_MEASURED_TEXT];
    if (title_name(first->model, model, sizeof model, err))
        return err->status;
    fprintf(plot->script, "# Draws %s.png and %s.svg from %s.tsv: gnuplot %s.gp\n", base, base,
            base, base);
    /* How C prints what gnuplot calls NaN. */
    fputs("nan = NaN\ninf = NaN\n", plot->script);
    bs_script_text(plot->script, "BASE", base);
    fputs("DATA = BASE . '.tsv'\n", plot->script);
    bs_row_measured(first, measured);
    snprintf(subject, sizeof subject, "%s on %s", model, first->text);
    snprintf(how, sizeof how, "(%s)", measured);
    plot->title_lines = bs_script_title(plot->script, "SECTION", subject, how);
    fprintf(plot->script, "TITLE_MORE = %d\n", 34 * (plot->title_lines - 1));
    print_value(plot);
    fprintf(plot->script, "UNQUANTIZED = %.10g\n",
            plot->unquantized && plot->value ? bs_plot_value(plot, plot->unquantized)
                                             : (double)NAN);
    return BS_OK;
}

/* Where a chart is made: aside, in a folder of its own within the one it belongs to, so that what
 * was there stays until what takes its place is whole. */
struct drawing {
    const char *directory, *base;
    char *aside;
};

/* The file of this ending, aside or in its place; in new memory. */
static char *drawn_path(const struct drawing *drawing, bool aside, const char *ending)
{
    return bs_printf("%s/%s.%s", aside ? drawing->aside : drawing->directory, drawing->base,
                     ending);
}

static enum bs_status open_file(const struct drawing *drawing, const char *ending, FILE **file,
                                struct bs_error *err)
{
    char *path = drawn_path(drawing, true, ending);
    if (!path)
        return bs_fail_memory(err);
    *file = fopen(path, "we");
    enum bs_status status = *file ? BS_OK : bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno));
    bs_free(path);
    return status;
}

/* Keeps the error that was there before. */
static enum bs_status close_file(FILE *file, const struct drawing *drawing, const char *ending,
                                 enum bs_status before, struct bs_error *err)
{
    int reason = ferror(file) ? EIO : 0;
    if (fclose(file))
        reason = errno;
    if (before || !reason)
        return before;
    return bs_fail(err, BS_EIO, "%s/%s.%s: %s", drawing->directory, drawing->base, ending,
                   strerror(reason));
}

/* Data and script of a chart, whole and closed. */
static enum bs_status write_files(struct bs_plot *plot, const struct chart *chart,
                                  const char *plots, const struct drawing *drawing,
                                  const struct bs_row *first, struct bs_error *err)
{
    enum bs_status status = open_file(drawing, "tsv", &plot->data, err);
    if (status)
        return status;
    status = open_file(drawing, "gp", &plot->script, err);
    if (!status) {
        status = script_head(plot, drawing->base, first, err);
        if (!status)
            status = chart->kind->plot(plot, err);
        if (!status)
            status = append_template(plot->script, plots, "style", err);
        if (!status)
            status = append_template(plot->script, plots, chart->kind->name, err);
        status = close_file(plot->script, drawing, "gp", status, err);
    }
    return close_file(plot->data, drawing, "tsv", status, err);
}

/* What a chart consists of, pictures first, and how whole ones end. */
static const char *const endings[] = {"png", "svg", "tsv", "gp"};
enum { NUM_PICTURES = 2, NUM_ENDINGS = sizeof endings / sizeof *endings };
static const struct {
    const char *text;
    size_t size;
} picture_ends[NUM_PICTURES] = {{"IEND\xae\x42\x60\x82", 8}, {"</svg>", 6}};

/* Removes the first `count` files of an earlier time, so that what is there afterwards is new. */
static enum bs_status remove_files(const char *directory, const char *base, int count,
                                   struct bs_error *err)
{
    for (int i = 0; i < count; i++) {
        char *path = bs_printf("%s/%s.%s", directory, base, endings[i]);
        if (!path)
            return bs_fail_memory(err);
        enum bs_status status = BS_OK;
        if (unlink(path) != 0 && errno != ENOENT)
            status = bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno));
        bs_free(path);
        if (status)
            return status;
    }
    return BS_OK;
}

/* *ran is false where it could not be started. */
static enum bs_status run_gnuplot(const struct drawing *drawing, bool *ran, struct bs_error *err)
{
    char script[NAME_BYTES + 8];
    snprintf(script, sizeof script, "%s.gp", drawing->base);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return bs_fail(err, BS_EIO, "gnuplot cannot be run: %s", strerror(errno));
    pid_t child = -1;
    int failed = spawn_gnuplot(drawing->aside, script, ends[1], &child);
    close(ends[1]);
    char words[2048] = "";
    if (!failed)
        collect(ends[0], words, sizeof words);
    close(ends[0]);
    if (failed)
        return bs_fail(err, BS_EIO, "gnuplot cannot be run: %s%s", strerror(failed),
                       failed == ENOENT ? " (is it installed?)" : "");
    *ran = true;
    int ended = 0;
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0)
        return bs_fail(err, BS_EIO, "%s/%s: gnuplot failed%s%s", drawing->directory, script,
                       *words ? ": " : "", words);
    return BS_OK;
}

/* gnuplot says nothing of a picture that it could not write whole. */
static enum bs_status check_picture(const struct drawing *drawing, int picture,
                                    struct bs_error *err)
{
    char *path = drawn_path(drawing, true, endings[picture]), *data = NULL;
    size_t size = 0, end = picture_ends[picture].size;
    enum bs_status status = path ? bs_file_read(path, &data, &size, err) : bs_fail_memory(err);
    while (size > 0 && data[size - 1] == '\n')
        size--;
    if (status == BS_EIO ||
        (!status && (size < end || memcmp(data + size - end, picture_ends[picture].text, end))))
        status =
            bs_fail(err, BS_EIO, "%s/%s.%s: gnuplot has not drawn it whole (is the disk full?)%s",
                    drawing->directory, drawing->base, endings[picture], "; what was there stays");
    bs_free(data);
    bs_free(path);
    return status;
}

/* Puts a file that is whole in its place. */
static enum bs_status put_in_place(const struct drawing *drawing, const char *ending,
                                   struct bs_error *err)
{
    char *from = drawn_path(drawing, true, ending), *to = drawn_path(drawing, false, ending);
    enum bs_status status = from && to ? bs_file_commit(from, to, err) : bs_fail_memory(err);
    bs_free(from);
    bs_free(to);
    return status;
}

/* Draws, and puts all files in their places once all are whole. Where gnuplot cannot be run, data
 * and script are what there is to be had. */
static enum bs_status draw_aside(struct bs_plot *plot, const struct chart *chart, const char *plots,
                                 const struct drawing *drawing, const struct bs_row *first,
                                 struct bs_error *err)
{
    if (write_files(plot, chart, plots, drawing, first, err))
        return err->status;
    bool ran = false;
    struct bs_error failed;
    enum bs_status status = run_gnuplot(drawing, &ran, &failed);
    for (int i = 0; i < NUM_PICTURES && !status; i++)
        status = check_picture(drawing, i, &failed);
    if (status && ran) {
        *err = failed;
        return status;
    }
    for (int i = status ? NUM_PICTURES : 0; i < NUM_ENDINGS; i++)
        if (put_in_place(drawing, endings[i], err))
            return err->status;
    if (status)
        *err = failed;
    return status;
}

/* Takes away the folder aside, with what a failure left in it. */
static void clear_aside(const struct drawing *drawing)
{
    struct bs_error ignored;
    remove_files(drawing->aside, drawing->base, NUM_ENDINGS, &ignored);
    rmdir(drawing->aside);
}

static enum bs_status draw_one(struct bs_plot *plot, const struct chart *chart, const char *plots,
                               const char *directory, const char *base, const struct bs_row *first,
                               struct bs_error *err)
{
    struct drawing drawing = {directory, base, bs_printf("%s/.drawing-XXXXXX", directory)};
    enum bs_status status = BS_OK;
    if (!drawing.aside)
        return bs_fail_memory(err);
    if (!mkdtemp(drawing.aside)) {
        status = bs_fail(err, BS_EIO, "%s: %s", directory, strerror(errno));
    } else {
        status = draw_aside(plot, chart, plots, &drawing, first, err);
        clear_aside(&drawing);
    }
    bs_free(drawing.aside);
    return status;
}

/* What is drawn of an evaluation's trials: the value that is asked for, else their perplexity, else
 * the first of its values, but of a task where the chart is perplexity's by its name; NULL where
 * there is none that this program knows. */
static const struct bs_value_type *value_of(const struct bs_results *results,
                                            const struct chart *chart, const char *evaluation)
{
    const struct bs_value_type *type;
    const char *own;
    if (*chart->value)
        return bs_columns_type(results, chart->value);
    type = bs_value_type_find(evaluation, "perplexity");
    bool named = chart->kind->plot == bs_plot_perplexity && bs_evaluation_has_answers(evaluation);
    for (int i = 0; !type && !named && bs_value_type_at(i, &own); i++)
        if (!strcmp(own, evaluation))
            type = bs_value_type_at(i, &own);
    return type;
}

bool bs_chart_applies(const struct bs_results *results, const char *name)
{
    struct chart chart;
    bool applies = false;
    for (int i = 0; parse_name(name, &chart) && i < results->num_rows && !applies; i++) {
        const struct bs_row *row = &results->rows[i];
        const struct bs_value_type *value = value_of(results, &chart, row->evaluation);
        const char *drawn = chart.kind->lines_of ? chart.kind->lines_of : value ? value->name : "";
        applies = bs_row_is_done(row) && bs_row_value(row, NULL, drawn);
    }
    return applies;
}

/* Counts in *drawn; a section without a finished trial, as where a run has just begun, is none:
 * what an earlier file had of it goes. */
static enum bs_status draw_section(const struct bs_results *results, const struct chart *chart,
                                   const char *plots, const char *directory, const char *base,
                                   const struct bs_row *first, int *drawn, struct bs_error *err)
{
    const char *lines_of = chart->kind->lines_of;
    struct bs_plot plot = {.results = results,
                           .value = lines_of ? NULL : value_of(results, chart, first->evaluation),
                           .asked = *chart->value ? chart->value : lines_of,
                           .of_predictions = chart->kind->plot == bs_plot_positions};
    plot.rows = bs_alloc((size_t)results->num_rows, sizeof *plot.rows);
    struct bs_row *copies = bs_calloc((size_t)results->num_rows, sizeof *copies);
    enum bs_status status = plot.rows && copies ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_plot_choose_rows(&plot, first, copies, !lines_of, err);
    *drawn += plot.num_rows > 0;
    if (!status && plot.num_rows)
        status = draw_one(&plot, chart, plots, directory, base, first, err);
    else if (!status)
        status = remove_files(directory, base, NUM_PICTURES, err);
    for (int i = 0; copies && i < results->num_rows; i++)
        if (copies[i].values != results->rows[i].values) /* a mean; of what was left out, NULL */
            bs_rows_mean_release(&copies[i]);
    bs_free(copies);
    bs_free(plot.rows);
    return status;
}

static bool has_other_numerics(const struct bs_results *results, const struct bs_row *row)
{
    for (int i = 0; i < results->num_rows; i++)
        if (strcmp(results->rows[i].numerics, row->numerics))
            return true;
    return false;
}

/* The chart's name; after it the model's (without folders or owner) where the file has several,
 * the beginning of its digest where another one has this name, the text's unless it is the file's
 * first, and that of its numerics where others are in the file, unless they are the default. */
static void plain_name(const struct bs_results *results, const struct chart *chart, int row,
                       char *out, size_t size)
{
    const struct bs_row *own = &results->rows[row];
    size_t used = (size_t)snprintf(out, size, "%s", chart->name);
    if (bs_results_several_models(results)) {
        const char *end = own->model + strlen(own->model);
        while (end > own->model + 1 && end[-1] == '/')
            end--;
        const char *begin = end;
        while (begin > own->model && begin[-1] != '/')
            begin--;
        used += (size_t)snprintf(out + used, size - used, "_%.*s", (int)(end - begin), begin);
    }
    if (bs_rows_share_name(results->rows, results->num_rows, own))
        used += (size_t)snprintf(out + used, size - used, "_%.8s", own->model_digest);
    if (strcmp(own->text, results->rows[0].text))
        used += (size_t)snprintf(out + used, size - used, "_%s", own->text);
    if (has_other_numerics(results, own) &&
        strcmp(own->numerics, bs_numerics_registry.rows[0]->name))
        snprintf(out + used, size - used, "_%s", own->numerics);
    for (char *c = out; *c; c++)
        if (strchr("/'\"\\`", *c) || (unsigned char)*c <= ' ' || *c == 0x7f)
            *c = '_';
}

/* The plain name, with the section's number where an earlier section has that name. */
static void base_name(const struct bs_results *results, const struct chart *chart, int section,
                      int row, char *out, size_t size)
{
    plain_name(results, chart, row, out, size);
    for (int k = 0; k < row; k++) {
        char earlier[NAME_BYTES];
        plain_name(results, chart, k, earlier, sizeof earlier);
        if (!strcmp(earlier, out) &&
            !bs_rows_same_subject(&results->rows[k], &results->rows[row])) {
            size_t used = strlen(out);
            snprintf(out + used, size - used, "_%d", section + 1);
            return;
        }
    }
}

/* A chart that asks for no value is of texts where there are any: what tasks could add to it is the
 * same linears once more, and accuracies, which are asked for by their names. */
static bool is_of_texts(const struct bs_results *results, const struct chart *chart,
                        const struct bs_row *row)
{
    if (*chart->value || !bs_evaluation_has_answers(row->evaluation))
        return false;
    for (int i = 0; i < results->num_rows; i++)
        if (!bs_evaluation_has_answers(results->rows[i].evaluation))
            return true;
    return false;
}

enum bs_status bs_chart_draw(const struct bs_results *results, const char *name, const char *plots,
                             const char *directory, struct bs_error *err)
{
    struct chart chart;
    if (!parse_name(name, &chart))
        return bs_fail(err, BS_ECONFIG,
                       "no chart is called '%s': there are %s, %s, %s and %s, and of any value "
                       "NAME_vs_bits, pareto_NAME, layer_NAME and NAME_by_position",
                       name, bs_chart_names[0], bs_chart_names[1], bs_chart_names[2],
                       bs_chart_names[3]);
    if (results->num_rows == 0)
        return bs_fail(err, BS_EDATA, "%s: no trial to draw", results->path);
    enum bs_status status = bs_make_directory(directory, err);
    int drawn = 0;
    for (int i = 0, section = 0; !status && i < results->num_rows; i++) {
        bool begun = is_of_texts(results, &chart, &results->rows[i]);
        for (int k = 0; k < i && !begun; k++)
            begun = bs_rows_same_subject(&results->rows[i], &results->rows[k]);
        if (begun)
            continue;
        char base[NAME_BYTES];
        base_name(results, &chart, section++, i, base, sizeof base);
        status =
            draw_section(results, &chart, plots, directory, base, &results->rows[i], &drawn, err);
    }
    /* The name without a model is from a time when the file had one model. */
    struct bs_error ignored;
    if ((!status || status == BS_EDATA) && bs_results_several_models(results))
        remove_files(directory, name, NUM_ENDINGS, &ignored);
    if (!status && drawn == 0)
        status = bs_fail(err, BS_EDATA, "%s: no finished trial to draw", results->path);
    return status;
}
