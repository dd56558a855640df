#include "eval/config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/config/other_tools.h"

enum {
    LONGEST_HINT = 128,
    MESSAGE_TEXT = 1200,
    LAST_LINE = 48,
    LIST_TEXT = 800,
    LONGEST_QUOTE = 60,
    LONGEST_SETTING = 100,
    PATH_TEXT = 1024,
    HINT_TEXT = 128
};

void bs_report_init(struct bs_report *report, const char *path, const char *const *settings)
{
    memset(report, 0, sizeof *report);
    report->path = path;
    report->settings = settings;
}

void bs_place_print(const char *path, const char *const *settings, int line, int column,
                    char out[BS_PLACE_TEXT])
{
    char shown[PATH_TEXT];
    bs_escape(line < 0 ? settings[-line - 1] : path, shown, sizeof shown);
    if (line < 0)
        snprintf(out, BS_PLACE_TEXT, "--set '%.*s'", LONGEST_SETTING, shown);
    else
        snprintf(out, BS_PLACE_TEXT, "%s:%d:%d", shown, line, column);
}

void bs_report_release(struct bs_report *report)
{
    for (int i = 0; i < report->num_kept; i++)
        bs_free(report->kept[i].message);
    memset(report, 0, sizeof *report);
}

bool bs_report_has(const struct bs_report *report, int line, int column, const char *beginning)
{
    size_t length = strlen(beginning);
    for (int i = 0; i < report->num_kept; i++) {
        const struct bs_report_line *kept = &report->kept[i];
        if (kept->line == line && kept->column == column &&
            !strncmp(kept->message, beginning, length))
            return true;
    }
    return false;
}

void bs_report_add(struct bs_report *report, int line, int column, const char *format, ...)
{
    char raw[MESSAGE_TEXT], message[MESSAGE_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    bs_escape(raw, message, sizeof message); /* it stays one line of text */
    if (bs_report_has(report, line, column, message))
        return;
    if (report->num_kept == BS_REPORT_KEPT) {
        report->num_more++;
        return;
    }
    char *copy = bs_strdup(message);
    if (!copy) {
        report->out_of_memory = true;
        return;
    }
    report->kept[report->num_kept++] =
        (struct bs_report_line){.line = line, .column = column, .message = copy};
}

/* By place, errors of one place in the order they were found. */
static void sort_lines(struct bs_report *report)
{
    for (int i = 1; i < report->num_kept; i++) {
        struct bs_report_line moved = report->kept[i];
        int j = i;
        for (; j > 0; j--) {
            const struct bs_report_line *before = &report->kept[j - 1];
            if (before->line < moved.line ||
                (before->line == moved.line && before->column <= moved.column))
                break;
            report->kept[j] = *before;
        }
        report->kept[j] = moved;
    }
}

enum bs_status bs_report_finish(struct bs_report *report, struct bs_error *err)
{
    if (report->out_of_memory)
        return bs_fail_memory(err);
    if (report->num_kept == 0)
        return BS_OK;
    sort_lines(report);
    char *out = err->message;
    size_t used = 0, room = sizeof err->message - LAST_LINE;
    int shown = 0;
    for (; shown < report->num_kept; shown++) {
        const struct bs_report_line *line = &report->kept[shown];
        char place[BS_PLACE_TEXT];
        bs_place_print(report->path, report->settings, line->line, line->column, place);
        int length = snprintf(out + used, room - used, "%s%s: error: %s", shown ? "\n" : "", place,
                              line->message);
        bool fits = length >= 0 && (size_t)length < room - used;
        if (!fits && shown > 0)
            break;
        used = fits ? used + (size_t)length : strlen(out); /* the first is shown, cut if need be */
    }
    out[used] = '\0';
    int more = report->num_kept - shown + report->num_more;
    if (more > 0)
        snprintf(out + used, sizeof err->message - used, "\nand %d more error%s", more,
                 more > 1 ? "s" : "");
    err->status = BS_ECONFIG;
    return BS_ECONFIG;
}

void bs_names_add(struct bs_names *names, const char *name)
{
    int room = (int)(sizeof names->names / sizeof *names->names) - 1;
    for (int i = 0; i < names->count; i++)
        if (!strcmp(names->names[i], name))
            return;
    if (names->count < room)
        names->names[names->count++] = name;
    names->names[names->count] = NULL;
}

void bs_names_add_options(struct bs_names *names, const struct bs_option *options)
{
    for (const struct bs_option *option = options; option && option->name; option++)
        bs_names_add(names, option->name);
}

void bs_names_add_rows(struct bs_names *names, const struct bs_registry *registry)
{
    for (int i = 0; registry->rows[i]; i++)
        bs_names_add(names, registry->rows[i]->name);
}

void bs_names_print(const struct bs_names *names, const char *word, char *out, int size)
{
    const char *meant = bs_other_tools_name(word, names);
    const char *nearest = meant ? meant : bs_nearest_word(word, names->names);
    char hint[LONGEST_HINT] = "";
    if (nearest)
        snprintf(hint, sizeof hint, " (did you mean '%s'?)", nearest);
    size_t used = 0, room = (size_t)size - strlen(hint) - sizeof ", ...";
    const char *rest = names->count ? "" : "nothing";
    for (int i = 0; i < names->count && !*rest; i++) {
        const char *before = i == 0 ? "" : i + 1 == names->count ? " or " : ", ";
        if (used + strlen(before) + strlen(names->names[i]) > room)
            rest = used ? ", ..." : "...";
        else
            used +=
                (size_t)snprintf(out + used, (size_t)size - used, "%s%s", before, names->names[i]);
    }
    snprintf(out + used, (size_t)size - used, "%s%s", rest, hint);
}

void bs_report_unknown_key(struct bs_report *report, int line, int column, const char *key,
                           const struct bs_names *names, const char *hint)
{
    char list[LIST_TEXT], elsewhere[HINT_TEXT] = "";
    bs_names_print(names, key, list, sizeof list);
    if (!*hint && !bs_other_tools_name(key, names))
        bs_other_tools_hint(key, elsewhere, sizeof elsewhere);
    bs_report_add(report, line, column, "unknown key '%.*s', expected %s%s",
                  bs_cut(key, LONGEST_QUOTE), key, list, *hint ? hint : elsewhere);
}

bool bs_report_parse(struct bs_report *report, int line, int column, const struct bs_option *option,
                     const char *text, void *values)
{
    struct bs_error wrong;
    if (!bs_option_parse(option, text, values, &wrong))
        return true;
    const char *meant = bs_other_tools_value(option->name, text);
    if (!meant)
        meant = bs_nearest_word(text, option->words);
    bs_report_add(report, line, column, "%s%s%s%s", wrong.message, meant ? " (did you mean '" : "",
                  meant ? meant : "", meant ? "'?)" : "");
    return false;
}
