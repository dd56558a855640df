/* A recipe with exceptions as a grid of a config. */
#define _GNU_SOURCE /* realpath */
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/run/allot.h"

static void print_quoted(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
    fputc('"', out);
}

/* The place of a file from anywhere; as it was named where it is no longer there. */
static void print_file(const char *path, FILE *out)
{
    char *whole = realpath(path, NULL);
    print_quoted(whole ? whole : path, out);
    free(whole);
}

/* "key: value" lines, each after a prefix, as a mapping. A setting's identity has what a file
 * holds; a config has where it is. */
static void print_mapping(const struct bs_setting *setting, const char *lines, FILE *out)
{
    static const char importance[] = "importance: ";
    const char *parting = "{";
    for (const char *line = lines; *line; line += strcspn(line, "\n") + 1) {
        const char *key = strchr(line, '.') + 1;
        bool file = setting->importance.word == BS_FROM_FILE &&
                    !strncmp(key, importance, strlen(importance));
        fprintf(out, "%s%.*s", parting, (int)(file ? strlen(importance) : strcspn(key, "\n")), key);
        if (file)
            print_file(setting->importance.path, out);
        parting = ", ";
    }
    fputc('}', out);
}

static void print_setting(const struct bs_setting *setting, FILE *out)
{
    char *lines = NULL;
    size_t size;
    FILE *text = open_memstream(&lines, &size);
    if (!text)
        return;
    bs_setting_print(setting, "w", BS_FOR_WEIGHTS, text);
    fclose(text);
    if (lines)
        print_mapping(setting, lines, out);
    free(lines);
}

/* Whether a step before this one has told an option of the name: a grid says it once for all. */
static bool is_told(const struct bs_recipe *recipe, int step, const char *name)
{
    bool told = false;
    for (int s = 0; s < step; s++) {
        const struct bs_choice *before = &recipe->steps[s];
        const struct bs_option *option = bs_option_find(before->plugin->options, name);
        told |= option && !bs_option_is_default(option, before->options);
    }
    return told;
}

/* Options that are not at their default, a line each. */
static void print_options(const struct bs_recipe *recipe, int index, FILE *out)
{
    const struct bs_choice *step = &recipe->steps[index];
    const struct bs_option *options = step->plugin->options;
    for (const struct bs_option *o = options; o && o->name; o++) {
        char text[BS_OPTION_TEXT];
        if (bs_option_is_default(o, step->options) || is_told(recipe, index, o->name))
            continue;
        bs_option_print(o, step->options, text, sizeof text);
        fprintf(out, "    %s: %s\n", o->name, text);
    }
}

static void print_where(const char *where, FILE *out)
{
    const char *parting = "[";
    for (where += strspn(where, " "); *where; where += strspn(where, " ")) {
        int length = (int)strcspn(where, " ");
        fprintf(out, "%s\"%.*s\"", parting, length, where);
        parting = ", ";
        where += length;
    }
    fputc(']', out);
}

static void print_grid(const struct bs_recipe *recipe, const char *model, FILE *out)
{
    fputs("  - algorithm: [[", out);
    for (int s = 0; s < recipe->num_steps; s++)
        fprintf(out, "%s%s", s ? ", " : "", recipe->steps[s].plugin->name);
    fputs("]]\n", out);
    if (model) {
        fputs("    model: ", out);
        print_quoted(model, out);
        fputc('\n', out);
    }
    fputs("    weights: ", out);
    print_setting(&recipe->weights, out);
    fputc('\n', out);
    for (int s = 0; s < recipe->num_steps; s++)
        print_options(recipe, s, out);
    if (recipe->calibrate_on != BS_ON_AUTO)
        fprintf(out, "    calibrate_on: %s\n", bs_calibrate_on_names[recipe->calibrate_on]);
    if (recipe->compute != BS_FLOAT32)
        fprintf(out, "    compute: %s\n", bs_compute_names[recipe->compute]);
    if (recipe->num_rules)
        fputs("    except:\n", out);
    for (int r = 0; r < recipe->num_rules; r++) {
        fputs("      - where: ", out);
        print_where(recipe->rules[r].where, out);
        fputs("\n        weights: ", out);
        print_setting(&recipe->rules[r].setting, out);
        fputc('\n', out);
    }
}

/* Bytes up to the last comma of a flow collection that `room` places have before them, or else to
 * the first one; all of the line where there is none. */
static size_t flow_bytes(const char *line, int room)
{
    size_t length = strcspn(line, "\n"), best = 0;
    bool is_quoted = false;
    if (bs_text_width(line, length) <= room)
        return length;
    for (size_t i = 0; i + 1 < length; i++) {
        bool is_escaped = is_quoted && line[i] == '\\';
        is_quoted = is_quoted != (line[i] == '"');
        i += is_escaped;
        if (is_quoted || line[i] != ',' || line[i + 1] != ' ')
            continue;
        if (best && bs_text_width(line, i + 1) > room)
            break;
        best = i + 1;
    }
    return best ? best : length;
}

/* Lines as wide as a terminal: YAML lets a flow collection go on in the next line, further in. */
static void print_folded(const char *text, int limit, FILE *out)
{
    enum { DEEPER = 4 };
    for (const char *line = text; *line; line += *line == '\n') {
        int indent = (int)strspn(line, " ");
        size_t bytes = flow_bytes(line, limit);
        fprintf(out, "%.*s\n", (int)bytes, line);
        for (line += bytes; *line && *line != '\n'; line += bytes) {
            line += strspn(line, " ");
            bytes = flow_bytes(line, limit - indent - DEEPER);
            fprintf(out, "%*s%.*s\n", indent + DEEPER, "", (int)bytes, line);
        }
    }
}

void bs_allot_print_grid(const struct bs_recipe *recipe, const char *model, FILE *out)
{
    struct bs_print printing;
    FILE *whole = bs_print_begin(&printing);
    int limit = bs_terminal_limit(out);
    if (!whole)
        return;
    print_grid(recipe, model, whole);
    char *text = bs_print_end(&printing);
    if (text && limit)
        print_folded(text, limit, out);
    else if (text)
        fputs(text, out);
    bs_free(text);
}
