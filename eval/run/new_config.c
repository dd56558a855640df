#define _GNU_SOURCE /* realpath */
#include "eval/run/new_config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/hub/hub.h"
#include "eval/model/model.h"

enum { MOST_TOKENS = 512, USUAL_GROUP = 128, LEAST_GROUP = 16 };

static const char known_text[] = "wikitext2";

/* How a file is called in a config that stands in `folder`: relative where it stands below that,
 * else absolute. In new memory; NULL where it is not there. */
static char *name_from(const char *folder, const char *file)
{
    char whole[PATH_MAX], from[PATH_MAX];
    if (!realpath(file, whole) || !realpath(*folder ? folder : ".", from))
        return NULL;
    size_t length = strlen(from);
    bool below = !strncmp(whole, from, length) && whole[length] == '/' && length > 1;
    const char *rest = below ? whole + length + 1 : whole;
    return bs_strdup(rest);
}

/* A scalar of YAML: plain where that is safe, else in quotes. */
static void print_scalar(FILE *out, const char *text)
{
    bool plain = isalnum((unsigned char)*text) || strchr("./_", *text);
    for (const char *c = text; *c && plain; c++)
        plain = isalnum((unsigned char)*c) || strchr("./_@-+", *c);
    if (plain) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            fprintf(out, "\\x%02x", (unsigned char)*text);
        else
            fprintf(out, strchr("\"\\", *text) ? "\\%c" : "%c", *text);
    fputc('"', out);
}

/* What stands in the place of a line's value. */
struct filling {
    const char *key, *old; /* "model", "../datasets/tiny" */
    const char *value;
};

/* The line's filling, or NULL; *length is what stands before the value. */
static const struct filling *find_filling(const char *line, size_t bytes,
                                          const struct filling *fillings, size_t *length)
{
    for (const struct filling *f = fillings; f->key; f++) {
        size_t blanks = strspn(line, " -"), key = strlen(f->key), old = strlen(f->old);
        const char *at = line + blanks;
        if (bytes == blanks + key + 2 + old && !strncmp(at, f->key, key) && at[key] == ':' &&
            !strncmp(at + key + 2, f->old, old)) {
            *length = blanks + key + 2;
            return f;
        }
    }
    return NULL;
}

/* The longest row that is no whole number of groups; 0 where there is none. */
static int odd_row(const struct bs_architecture *a, int group)
{
    int odd = 0;
    for (int k = 0; k < a->num_kinds; k++)
        for (int s = 0; s < a->programs[k].num_slots; s++) {
            int in = a->programs[k].slots[s].in;
            odd = in % group && in > odd ? in : odd;
        }
    return odd;
}

/* The groups of the template, or the largest smaller ones that leave no odd row, where there are
 * such: what runtimes load has no others. */
static int group_for(const struct bs_architecture *a)
{
    for (int group = USUAL_GROUP; group >= LEAST_GROUP; group /= 2)
        if (!odd_row(a, group))
            return group;
    return USUAL_GROUP;
}

/* A line of the template, with groups of that size. */
static void print_grouped(const char *line, size_t bytes, int group, FILE *out)
{
    static const char usual[] = "group_size: 128";
    const char *at = strstr(line, usual), *end = line + bytes;
    if (!at || at >= end) {
        fprintf(out, "%.*s", (int)bytes, line);
        return;
    }
    const char *rest = at + sizeof usual - 1;
    fprintf(out, "%.*sgroup_size: %d%.*s", (int)(at - line), line, group, (int)(end - rest), rest);
}

/* The template without its head, which is the config's own. */
static void fill(const char *text, const struct filling *fillings, int group, FILE *out)
{
    while (*text == '#')
        text += strcspn(text, "\n") + 1;
    while (*text) {
        size_t bytes = strcspn(text, "\n"), before = 0;
        const struct filling *f = find_filling(text, bytes, fillings, &before);
        print_grouped(text, f ? before : bytes, group, out);
        if (f)
            print_scalar(out, f->value);
        fputc('\n', out);
        text += bytes + (text[bytes] == '\n');
    }
}

static void print_head(const struct bs_new_config *request, const struct bs_architecture *a,
                       int group, FILE *out)
{
    bs_print_line(out, "# What quantization costs %s (%s, %d blocks, positions for %d tokens).",
                  request->model, a->family->model_type, a->num_layers, a->max_positions);
    bs_print_line(out, "#   bitsweep plan %s     the trials, the memory and about how long",
                  request->path);
    bs_print_line(out, "#   bitsweep run %s      run, or go on; the table and charts, in results/",
                  request->path);
    fputs("# `bitsweep describe config` tells every key.\n", out);
    if (group != USUAL_GROUP)
        bs_print_line(
            out,
            "# Groups of %d weights: rows of %d are no whole number of groups of %d, which "
            "runtimes ask for.",
            group, odd_row(a, USUAL_GROUP), USUAL_GROUP);
}

/* Writes the text to a file that must not be there. */
static enum bs_status write_new(const char *path, const char *text, struct bs_error *err)
{
    if (bs_make_parent(path, err))
        return err->status;
    FILE *out = fopen(path, "wxe");
    if (!out && errno == EEXIST)
        return bs_fail(err, BS_EIO,
                       "%s: is there already, expected a new file: --output names another", path);
    if (!out)
        return bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno));
    bool failed = fputs(text, out) == EOF;
    failed |= fclose(out) != 0;
    if (!failed)
        return BS_OK;
    enum bs_status status = bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno));
    unlink(path);
    return status;
}

/* Names of model and texts as the config calls them, in new memory; NULL where that ran out. */
struct names {
    char *model, *calibration, *evaluation;
};

static enum bs_status name_all(const struct bs_new_config *request, struct names *names,
                               struct bs_error *err)
{
    char *folder = bs_path_folder(request->path);
    static const char *const files[] = {"calibration.txt", "evaluation.txt"};
    char **texts[] = {&names->calibration, &names->evaluation};
    *names = (struct names){.model = NULL};
    if (!folder || bs_make_parent(request->path, err)) {
        bs_free(folder);
        return folder ? err->status : bs_fail_memory(err);
    }
    names->model = access(request->model, F_OK) ? bs_strdup(request->model)
                                                : name_from(folder, request->model);
    for (int t = 0; t < 2; t++) {
        char *file = request->texts ? bs_printf("%s/%s", request->texts, files[t]) : NULL;
        *texts[t] = file ? name_from(folder, file) : bs_strdup(known_text);
        bs_free(file);
    }
    bs_free(folder);
    return BS_OK;
}

/* The config as a text, in new memory. */
static enum bs_status make_text(const struct bs_new_config *request, const struct names *names,
                                const struct bs_architecture *a, char **text, struct bs_error *err)
{
    char tokens[16], *template = NULL;
    size_t size;
    snprintf(tokens, sizeof tokens, "%d",
             a->max_positions < MOST_TOKENS ? a->max_positions : MOST_TOKENS);
    const struct filling fillings[] = {
        {"model", "../datasets/tiny", names->model},
        {"text", "../datasets/commons/calibration.txt", names->calibration},
        {"text", "../datasets/commons/evaluation.txt", names->evaluation},
        {"tokens", "256", tokens},
        {.key = NULL},
    };
    struct bs_print printing;
    if (!names->model || !names->calibration || !names->evaluation)
        return bs_fail_memory(err);
    if (bs_file_read(request->template, &template, &size, err))
        return err->status;
    FILE *out = bs_print_begin(&printing);
    if (out) {
        int group = group_for(a);
        print_head(request, a, group, out);
        fill(template, fillings, group, out);
    }
    *text = out ? bs_print_end(&printing) : NULL;
    bs_free(template);
    return *text ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_new_config_write(const struct bs_new_config *request, const char **fetch,
                                   struct bs_error *err)
{
    struct bs_architecture architecture;
    struct names names = {.model = NULL};
    char *directory, *text = NULL;
    *fetch = request->texts ? NULL : known_text;
    if (bs_hub_model(request->model, "", &directory, err))
        return err->status;
    enum bs_status status = bs_architecture_read(directory, NULL, &architecture, NULL, err);
    if (!status)
        status = name_all(request, &names, err);
    if (!status)
        status = make_text(request, &names, &architecture, &text, err);
    if (!status)
        status = write_new(request->path, text, err);
    bs_free(text);
    bs_free(names.model);
    bs_free(names.calibration);
    bs_free(names.evaluation);
    bs_free(directory);
    return status;
}
