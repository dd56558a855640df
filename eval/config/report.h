/* The errors of one config file, collected so that all are shown at once. */
#ifndef BS_EVAL_CONFIG_REPORT_H
#define BS_EVAL_CONFIG_REPORT_H

#include <stdbool.h>

#include "eval/base/error.h"
#include "eval/base/option.h"
#include "eval/base/plugin.h"

enum { BS_REPORT_KEPT = 64 };

/* A message with its place in the file. */
struct bs_report_line {
    int line, column; /* from 1; of line -k what the k-th --set has put there */
    char *message;
};

/* Errors beyond BS_REPORT_KEPT are counted, not kept. */
struct bs_report {
    const char *path;            /* borrowed */
    const char *const *settings; /* of the command line, by number; borrowed, NULL = none */
    int num_kept, num_more;
    bool out_of_memory;
    struct bs_report_line kept[BS_REPORT_KEPT];
};

/* An empty report of the file at `path`, with such settings in it. */
void bs_report_init(struct bs_report *report, const char *path, const char *const *settings);
void bs_report_release(struct bs_report *report);

/* What messages call a place: "my.yaml:14:17", or of line -k "--set 'weights.bits=0'". */
enum { BS_PLACE_TEXT = 1088 };
void bs_place_print(const char *path, const char *const *settings, int line, int column,
                    char out[BS_PLACE_TEXT]);

/* Adds "found, allowed" at a place. The same words at the same place count once. */
void bs_report_add(struct bs_report *report, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* True where an error kept for this place begins with `beginning`. */
bool bs_report_has(const struct bs_report *report, int line, int column, const char *beginning);

/* BS_OK where nothing was added; else BS_ECONFIG with the errors in the order of the file, as many
 * as the message holds. BS_ENOMEM where an error could not be kept. */
enum bs_status bs_report_finish(struct bs_report *report, struct bs_error *err);

/* A list of names for messages and for finding the nearest; names are borrowed. */
struct bs_names {
    int count;
    const char *names[256]; /* NULL-terminated */
};

/* Adds a name, or those of an option table, that are not there yet. Names beyond the room are
 * dropped. */
void bs_names_add(struct bs_names *names, const char *name);
void bs_names_add_options(struct bs_names *names, const struct bs_option *options);
void bs_names_add_rows(struct bs_names *names, const struct bs_registry *registry);

/* Adds "unknown key 'bit', expected bits or grid (did you mean 'bits'?)" and a further hint, or
 * where a config has what another tool calls so. */
void bs_report_unknown_key(struct bs_report *report, int line, int column, const char *key,
                           const struct bs_names *names, const char *hint);

/* Reads `text` into the option's field below `values`. Where it is wrong, adds what is allowed and
 * what was perhaps meant, and returns false. */
bool bs_report_parse(struct bs_report *report, int line, int column, const struct bs_option *option,
                     const char *text, void *values);

/* Prints "a, b or c" (as many as there is room for), and " (did you mean 'b'?)" where `word` is
 * near one of them. `size` is at least 256. */
void bs_names_print(const struct bs_names *names, const char *word, char *out, int size);

#endif
