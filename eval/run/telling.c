#include "eval/run/telling.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"

const char *const bs_telling_styles[] = {
    [BS_TELL_AS_SUITS] = "auto", [BS_TELL_LINES] = "lines", [BS_TELL_JSONL] = "jsonl", NULL};

/* Every line with its time. */
static void write_log(FILE *log, const char *text)
{
    char moment[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(moment, sizeof moment, "%Y-%m-%dT%H:%M:%SZ", &utc);
    do {
        int length = (int)strcspn(text, "\n");
        bs_print_line(log, "%s %.*s", moment, length, text);
        text += length + (text[length] == '\n');
    } while (*text);
    fflush(log);
}

static void write_json(const char *event, const char *text)
{
    json_t *object = json_pack("{s:s, s:s}", "event", event, "text", text);
    if (object && !json_dumpf(object, stderr, JSON_COMPACT | JSON_ENSURE_ASCII))
        fputc('\n', stderr);
    json_decref(object);
}

static void tell(const struct bs_telling *telling, const char *event, bool detail, const char *text)
{
    if (telling->log)
        write_log(telling->log, text);
    if (telling->quiet || (detail && !telling->verbose))
        return;
    if (telling->style == BS_TELL_JSONL) {
        write_json(event, text);
        return;
    }
    if (telling->style == BS_TELL_AS_SUITS && bs_terminal_takes_codes(stderr))
        fputs("\r\033[K", stderr);
    bs_print_line(stderr, "%s", text);
}

void bs_tell(const struct bs_telling *telling, const char *event, bool detail, const char *format,
             ...)
{
    va_list args;
    va_start(args, format);
    char *text = bs_vprintf(format, args);
    va_end(args);
    tell(telling, event, detail, text ? text : "(out of memory)");
    bs_free(text);
}

void bs_tell_lines(const struct bs_telling *telling, const char *event, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        bs_tell(telling, event, false, "%.*s", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

void bs_tell_log(const struct bs_telling *telling, const char *format, ...)
{
    va_list args;
    if (!telling->log)
        return;
    va_start(args, format);
    char *text = bs_vprintf(format, args);
    va_end(args);
    write_log(telling->log, text ? text : "(out of memory)");
    bs_free(text);
}
