/* What a run tells as it goes: on stderr, and in a log where one is wanted. */
#ifndef BS_EVAL_RUN_TELLING_H
#define BS_EVAL_RUN_TELLING_H

#include <stdbool.h>
#include <stdio.h>

/* How progress stands on stderr: as suits what that is, a line that is written over on a terminal
 * and lines elsewhere; lines; an object of JSON a line, for programs. */
enum bs_telling_style { BS_TELL_AS_SUITS, BS_TELL_LINES, BS_TELL_JSONL };

/* "auto", "lines", "jsonl", NULL. */
extern const char *const bs_telling_styles[];

/* Starts as {0}: what suits, no log. */
struct bs_telling {
    bool quiet;   /* nothing on stderr */
    bool verbose; /* every block and trial too */
    enum bs_telling_style style;
    FILE *log; /* borrowed; NULL = none. Has everything, each line with its time (UTC) */
};

/* Tells that something has happened: what `event` calls it ("trial", "notice"), in words. A detail
 * is for the log and for who wants everything. On a terminal a line of progress goes before it. */
void bs_tell(const struct bs_telling *telling, const char *event, bool detail, const char *format,
             ...) __attribute__((format(printf, 4, 5)));

/* Every line of a text. */
void bs_tell_lines(const struct bs_telling *telling, const char *event, const char *text);

/* For the log alone. */
void bs_tell_log(const struct bs_telling *telling, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
