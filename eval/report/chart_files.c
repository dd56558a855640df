/* The files of a chart: data and a self-contained script are written side by side in a folder
 * aside, then gnuplot runs there, and what is whole goes to its place. */
#define _GNU_SOURCE /* posix_spawn_file_actions_addchdir_np */
#include <errno.h>
#include <fcntl.h>
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
#include "eval/report/chart_internal.h"

extern char **environ;

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
static enum bs_status write_files(struct bs_plot *plot, const struct drawing *drawing,
                                  bs_chart_write *write, const void *context, struct bs_error *err)
{
    enum bs_status status = open_file(drawing, "tsv", &plot->data, err);
    if (status)
        return status;
    status = open_file(drawing, "gp", &plot->script, err);
    if (!status) {
        status = write(plot, drawing->base, context, err);
        status = close_file(plot->script, drawing, "gp", status, err);
    }
    return close_file(plot->data, drawing, "tsv", status, err);
}

/* What a chart consists of, pictures first, in the order of enum bs_picture. */
static const char *const endings[] = {"png", "svg", "pdf", "eps", "tsv", "gp"};
enum { NUM_ENDINGS = sizeof endings / sizeof *endings };

/* How whole pictures end. */
static const struct {
    const char *text;
    size_t size;
} picture_ends[BS_NUM_PICTURES] = {
    {"IEND\xae\x42\x60\x82", 8}, {"</svg>", 6}, {"%%EOF", 5}, {"%%EOF", 5}};

enum bs_status bs_chart_remove(const char *directory, const char *base, bool data_too,
                               struct bs_error *err)
{
    for (int i = 0; i < (data_too ? NUM_ENDINGS : BS_NUM_PICTURES); i++) {
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
    char script[BS_CHART_NAME_BYTES + 8];
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

/* Where a picture says when it was drawn, and what ends that: cairo, which draws them, takes no
 * word of ours for it. */
static const struct {
    const char *begin, *end;
} picture_dates[BS_NUM_PICTURES] = {
    [BS_PDF] = {"/CreationDate (", ")"}, [BS_EPS] = {"%%CreationDate: ", "\n"}};

/* Writes `data` over the beginning of a file that is there. */
static enum bs_status write_over(const char *path, const char *data, size_t size,
                                 struct bs_error *err)
{
    FILE *file = fopen(path, "r+be");
    if (!file)
        return bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno));
    bool failed = fwrite(data, 1, size, file) != size;
    if (fclose(file) || failed)
        return bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno));
    return BS_OK;
}

/* Makes a picture whose date is blank, so that the same results give the same bytes. Nothing moves:
 * a PDF says where each of its parts begins. */
static enum bs_status blank_date(const char *path, int picture, char *data, size_t size,
                                 struct bs_error *err)
{
    const char *begin = picture_dates[picture].begin, *end = picture_dates[picture].end;
    char *date = begin ? memmem(data, size, begin, strlen(begin)) : NULL;
    if (!date)
        return BS_OK;
    char *value = date + strlen(begin),
         *after = memmem(value, size - (size_t)(value - data), end, 1);
    if (!after)
        return BS_OK;
    if (picture == BS_PDF) /* an entry of a dictionary, which need not be there */
        memset(date, ' ', (size_t)(after + 1 - date));
    else
        memset(value, ' ', (size_t)(after - value));
    return write_over(path, data, size, err);
}

/* gnuplot says nothing of a picture that it could not write whole. */
static enum bs_status finish_picture(const struct drawing *drawing, int picture,
                                     struct bs_error *err)
{
    char *path = drawn_path(drawing, true, endings[picture]), *data = NULL;
    size_t size = 0, end = picture_ends[picture].size;
    enum bs_status status = path ? bs_file_read(path, &data, &size, err) : bs_fail_memory(err);
    size_t whole = size;
    while (size > 0 && data[size - 1] == '\n')
        size--;
    if (status == BS_EIO ||
        (!status && (size < end || memcmp(data + size - end, picture_ends[picture].text, end))))
        status =
            bs_fail(err, BS_EIO, "%s/%s.%s: gnuplot has not drawn it whole (is the disk full?)%s",
                    drawing->directory, drawing->base, endings[picture], "; what was there stays");
    if (!status)
        status = blank_date(path, picture, data, whole, err);
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

/* Whether the chart has this file. */
static bool is_asked(const struct bs_plot *plot, int ending)
{
    return ending >= BS_NUM_PICTURES || (plot->how->pictures >> ending & 1u);
}

/* Draws, and puts all files in their places once all are whole. Where gnuplot cannot be run, data
 * and script are what there is to be had. */
static enum bs_status draw_aside(struct bs_plot *plot, const struct drawing *drawing,
                                 bs_chart_write *write, const void *context, struct bs_error *err)
{
    if (write_files(plot, drawing, write, context, err))
        return err->status;
    bool ran = false;
    struct bs_error failed;
    enum bs_status status = run_gnuplot(drawing, &ran, &failed);
    for (int i = 0; i < BS_NUM_PICTURES && !status; i++)
        if (is_asked(plot, i))
            status = finish_picture(drawing, i, &failed);
    if (status && ran) {
        *err = failed;
        return status;
    }
    for (int i = status ? BS_NUM_PICTURES : 0; i < NUM_ENDINGS; i++)
        if (is_asked(plot, i) && put_in_place(drawing, endings[i], err))
            return err->status;
    if (status)
        *err = failed;
    return status;
}

/* Takes away the folder aside, with what a failure left in it. */
static void clear_aside(const struct drawing *drawing)
{
    struct bs_error ignored;
    bs_chart_remove(drawing->aside, drawing->base, true, &ignored);
    rmdir(drawing->aside);
}

enum bs_status bs_chart_make(struct bs_plot *plot, const char *base, bs_chart_write *write,
                             const void *context, struct bs_error *err)
{
    const char *directory = plot->how->directory;
    struct drawing drawing = {directory, base, bs_printf("%s/.drawing-XXXXXX", directory)};
    enum bs_status status = BS_OK;
    if (!drawing.aside)
        return bs_fail_memory(err);
    if (!mkdtemp(drawing.aside)) {
        status = bs_fail(err, BS_EIO, "%s: %s", directory, strerror(errno));
    } else {
        status = draw_aside(plot, &drawing, write, context, err);
        clear_aside(&drawing);
    }
    bs_free(drawing.aside);
    return status;
}
