/* One header for everything that a config can name: algorithm, format, range, statistic,
 * evaluation, reader ... `describe`, the config's checks and axes, the generated documents, a
 * recipe's canonical text, its label and the conformance tests read this and know nothing else of a
 * plug-in. */
#ifndef BS_EVAL_BASE_PLUGIN_H
#define BS_EVAL_BASE_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "eval/base/error.h"
#include "eval/base/option.h"

/* The most bytes that the options of any plug-in have. */
enum { BS_MOST_OPTIONS_BYTES = 16384 };

/* The first member of every plug-in's struct, so that a pointer to it is one to the plug-in. */
struct bs_plugin {
    const char *name;      /* "gptq" */
    const char *summary;   /* a line for `describe` */
    const char *reference; /* paper, and the code that is followed; "" where there is none */
    size_t options_size;   /* of the options' struct; 0 = no options */
    const struct bs_option *options; /* ends with a NULL name; NULL = no options */
    const void *variant; /* [options_size] what the struct holds beside the options of the table:
                           what tells apart plug-ins that share their functions. NULL = zeros */
    /* Lets pointers in the struct to other parts of it point to its own, after its bytes were
     * copied from another one. NULL = there are none. */
    void (*copied)(void *options);
};

/* All plug-ins of a kind. Adding one is its file and one line where the rows stand. */
struct bs_registry {
    const char *kind;    /* "algorithm": a chapter of describe, a word in messages */
    const char *summary; /* what plug-ins of the kind are */
    const struct bs_plugin *const *rows; /* NULL-terminated */
    /* What `describe` says of a plug-in of this kind beside its options, a line each: "grid:
     * gptq\n". NULL = nothing. */
    void (*print_facts)(const struct bs_plugin *plugin, FILE *out);
};

/* The plug-in called `name`, or NULL. */
const struct bs_plugin *bs_registry_find(const struct bs_registry *registry, const char *name);

/* A plug-in that somebody chose, with its options. */
struct bs_choice {
    const struct bs_plugin *plugin; /* NULL = none */
    void *options;                  /* plugin->options_size bytes, owned; NULL where that is 0 */
};

/* The plug-in with default options; NULL gives a choice of none. BS_ENOMEM. */
enum bs_status bs_choice_init(struct bs_choice *choice, const struct bs_plugin *plugin,
                              struct bs_error *err);

/* A copy with its own options; `to` owns nothing before. BS_ENOMEM, and then `to` is none. */
enum bs_status bs_choice_copy(struct bs_choice *to, const struct bs_choice *from,
                              struct bs_error *err);

/* Gives the options back; afterwards the choice is none. */
void bs_choice_release(struct bs_choice *choice);

/* Whether both are the same plug-in with the same options. */
bool bs_choice_equal(const struct bs_choice *a, const struct bs_choice *b);

/* The value of an option as bs_option_parse reads it back, of whatever length. */
void bs_choice_print_value(const struct bs_option *option, const void *options, FILE *out);

/* Every option, one "prefix.name: value" a line: canonical text. */
void bs_choice_print_all(const struct bs_choice *choice, const char *prefix, FILE *out);

/* The options that are not at their default, as short as they can be said, each after a space:
 * " act_order", " no_clip", " alpha=0.7". The name that stands for an option is what `name` makes
 * of it (in `room`, `size` bytes), or its own where that is NULL. */
void bs_choice_print_short(const struct bs_choice *choice,
                           const char *(*name)(const void *context, const struct bs_option *option,
                                               char *room, size_t size),
                           const void *context, FILE *out);

#endif
