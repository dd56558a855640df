/* The machine's values and what it leaves, for the files pickle*.c only. */
#ifndef BS_EVAL_CHECKPOINT_PICKLE_INTERNAL_H
#define BS_EVAL_CHECKPOINT_PICKLE_INTERNAL_H

#include "eval/checkpoint/pickle.h"

/* What a value on the machine's stack is, and what of it is set. */
enum bs_kind {
    BS_OPAQUE,
    BS_MARK,
    BS_INTEGER,      /* number */
    BS_TEXT,         /* text, count bytes */
    BS_TUPLE,        /* count values in items, from index */
    BS_DICT,         /* index into dicts */
    BS_FUNCTION,     /* index: enum bs_function */
    BS_STORAGE_TYPE, /* index into bs_dtypes; the last row's stands for bytes of no type */
    BS_DTYPE,        /* index into bs_dtypes */
    BS_STORAGE,      /* the persistent id: as BS_TUPLE */
    BS_TENSOR,       /* the arguments of the rebuilding: as BS_TUPLE */
};

/* The functions that a state dict's pickle may call. */
enum bs_function {
    BS_ORDERED_DICT,
    BS_REBUILD_TENSOR_V2,
    BS_REBUILD_TENSOR_V3,
    BS_REBUILD_PARAMETER
};

/* One value; what is nested is kept apart, in a pickle's items and pairs. */
struct bs_value {
    unsigned char kind;
    uint32_t count;
    union {
        int64_t number;
        size_t index;
        const unsigned char *text;
    };
};

/* Values that grow in number. */
struct bs_values {
    struct bs_value *items;
    size_t count, capacity;
};

/* What is kept of a dict are its tensors and dicts under a text. Three values in pairs for each:
 * the dict it is in, the key, the value. */
enum { BS_PAIR = 3 };

/* The machine. */
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
 * as it can be without knowing the storages' sizes: a BS_TENSOR's arguments are of the right
 * kinds. */
enum bs_status bs_pickle_run(struct bs_pickle *p, struct bs_value *result, struct bs_error *err);

/* What a global's name stands for, a function or a type. BS_EUNSUPPORTED where a state dict does
 * not need it. */
enum bs_status bs_pickle_global(struct bs_text module, struct bs_text name, struct bs_value *value,
                                struct bs_error *err);

/* The storage of a persistent id, which is a BS_TUPLE. BS_EDATA. */
enum bs_status bs_pickle_storage(const struct bs_pickle *p, const struct bs_value *id,
                                 struct bs_value *storage, struct bs_error *err);

/* What a BS_REBUILD_ function gives for its arguments, a BS_TUPLE. BS_EDATA. */
enum bs_status bs_pickle_rebuild(const struct bs_pickle *p, enum bs_function function,
                                 const struct bs_value *arguments, struct bs_value *value,
                                 struct bs_error *err);

/* The text of a BS_TEXT. */
struct bs_text bs_value_text(const struct bs_value *value);

/* What can be printed of a text that comes from a file of any origin, cut to `out`. */
const char *bs_text_printable(struct bs_text text, char out[64]);

#endif
