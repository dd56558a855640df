/* The machine's values and what it leaves behind, for pickle.c and pickle_state.c only. */
#ifndef BS_EVAL_CHECKPOINT_PICKLE_INTERNAL_H
#define BS_EVAL_CHECKPOINT_PICKLE_INTERNAL_H

#include "eval/checkpoint/pickle.h"

enum bs_kind {
    BS_OPAQUE,
    BS_MARK,
    BS_INTEGER,      /* number */
    BS_TEXT,         /* text, count bytes */
    BS_TUPLE,        /* count values in items, from index */
    BS_DICT,         /* index into dicts */
    BS_FUNCTION,     /* index: which, for pickle.c */
    BS_STORAGE_TYPE, /* index into bs_dtypes; the last row's stands for bytes of no type */
    BS_DTYPE,        /* index into bs_dtypes */
    BS_STORAGE,      /* the persistent id: as BS_TUPLE */
    BS_TENSOR,       /* the arguments of the rebuilding: as BS_TUPLE */
};

struct bs_value {
    unsigned char kind;
    uint32_t count;
    union {
        int64_t number;
        size_t index;
        const unsigned char *text;
    };
};

struct bs_values {
    struct bs_value *items;
    size_t count, capacity;
};

/* What is kept of a dict are its tensors and dicts under a text. Three values in pairs for each: the
 * dict it is in, the key, the value. */
enum { BS_PAIR = 3 };

struct bs_pickle {
    const char *place;
    const unsigned char *data;
    size_t size, at; /* the next byte */
    struct bs_values stack, memo, items, pairs;
    struct bs_values dicts; /* for each its count: how many tensors it holds */
    size_t state_dict;      /* index into dicts */
    size_t tensors, bytes;  /* what it holds, and their names' length */
};

/* Runs the pickle to its end and gives the object on top. Everything it points to is checked as far
 * as it can be without knowing the storages' sizes: a BS_TENSOR's arguments are of the right kinds. */
enum bs_status bs_pickle_run(struct bs_pickle *p, struct bs_value *result, struct bs_error *err);

/* The text of a BS_TEXT. */
struct bs_text bs_value_text(const struct bs_value *value);

/* What can be printed of a text that comes from a file of any origin, cut to `out`. */
const char *bs_text_printable(struct bs_text text, char out[64]);

#endif
