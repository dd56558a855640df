/* One table per options struct: it drives config checks, sweep axes, help, canonical text and the
 * conformance tests, so that none of them can drift from the struct. */
#ifndef BS_EVAL_BASE_OPTION_H
#define BS_EVAL_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/error.h"
#include "eval/base/file.h"

/* What an option's value is, and so the type of its field. */
enum bs_option_type {
    BS_BOOL,    /* true or false */
    BS_INT,     /* a whole number in [min, max] */
    BS_DOUBLE,  /* a number in [min, max] */
    BS_CHOICE,  /* one of `words`; the field is an int that holds its index */
    BS_NUMBERS, /* a list of at least `fewest` numbers in [min, max]; a struct bs_numbers */
    BS_FILE,    /* one of `words`, or a file; a struct bs_file_choice */
};

/* A list of numbers, within its struct so that options are copied as bytes. */
enum { BS_MOST_NUMBERS = 256 };
struct bs_numbers {
    int count;
    double values[BS_MOST_NUMBERS]; /* zeros from `count` on */
};

/* A word of an option's, or a file, known by its contents: where it is does not matter to what a
 * trial is. */
enum { BS_MOST_PATH = 512 };
struct bs_file_choice {
    int word;                /* index; BS_IS_FILE: what follows */
    char path[BS_MOST_PATH]; /* as the process opens it */
    struct bs_digest
        digest; /* of its bytes when the option was read; of its path where it could not
                                be: who needs the file opens it and says so */
};
enum { BS_IS_FILE = -1 };

/* Room for the text of any option's value. */
enum { BS_OPTION_TEXT = 8192 };

/* One option; a table ends with a row whose name is NULL. A BS_INT may have `words` too: word k
 * stands for the value -k, which lies outside [min, max] (group_size: channel = 0, tensor = -1). */
struct bs_option {
    const char *name, *help;
    size_t offset;
    enum bs_option_type type;
    double initial, min, max;
    const char *const *words; /* NULL-terminated, or NULL */
    double also;              /* of a number: one value outside [min, max] that is good; 0 = none */
    int fewest;               /* of a list */
    const struct bs_numbers *numbers; /* of a list: its default */
};

/* Rows: key and type are read off the field. */
#define BS_OPT(T, field, value, low, high, text)                                                   \
    {                                                                                              \
        .name = #field, .help = text, .offset = offsetof(T, field),                                \
        .type = _Generic(((T *)0)->field, bool                                                     \
                         : BS_BOOL, int                                                            \
                         : BS_INT, double                                                          \
                         : BS_DOUBLE),                                                             \
        .initial = value, .min = low, .max = high                                                  \
    }
#define BS_OPT_WORDS(T, field, kind, value, low, high, list, text)                                 \
    {                                                                                              \
        .name = #field, .help = text,                                                              \
        .offset = offsetof(T, field) + 0 * sizeof(((T *)0)->field == (int)0), .type = kind,        \
        .initial = value, .min = low, .max = high, .words = list                                   \
    }

/* Writes every option's default into the struct at `values`. */
void bs_options_default(const struct bs_option *options, void *values);

/* The row called `name`, or NULL. */
const struct bs_option *bs_option_find(const struct bs_option *options, const char *name);

/* Reads `text` (a YAML scalar; of a list "[-1, 0.5]"; of a file its path) into the option's field.
 * BS_ECONFIG with a message such as "percdamp is '2', expected a number from 0 to 1" when type or
 * range is wrong; the field is then unchanged. */
enum bs_status bs_option_parse(const struct bs_option *option, const char *text, void *values,
                               struct bs_error *err);

/* Prints the field's value as bs_option_parse reads it back, shortest form that round-trips. */
void bs_option_print(const struct bs_option *option, const void *values, char *out, size_t size);

/* The same, but of a file its digest: what tells values apart. */
void bs_option_print_identity(const struct bs_option *option, const void *values, char *out,
                              size_t size);

/* Whether the text is one of the option's words. */
bool bs_option_has_word(const struct bs_option *option, const char *text);

/* Prints the default, and what is allowed ("a number from 0 to 1"), for help texts. */
void bs_option_print_default(const struct bs_option *option, char *out, size_t size);
void bs_option_print_allowed(const struct bs_option *option, char *out, size_t size);

/* True when the field holds the option's default; the same in both. */
bool bs_option_is_default(const struct bs_option *option, const void *values);
bool bs_option_equal(const struct bs_option *option, const void *a, const void *b);

/* The candidate nearest to `word` by edit distance when it is near enough to be a slip, or when
 * `word` abbreviates it ("sym"), else NULL. Upper and lower case count as the same letter.
 * `candidates` is NULL-terminated. */
const char *bs_nearest_word(const char *word, const char *const *candidates);

#endif
