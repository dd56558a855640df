/* Items files: the rows of a task's data, whatever file they are kept in. */
#ifndef BS_EVAL_DATA_ITEMS_H
#define BS_EVAL_DATA_ITEMS_H

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/base/file.h"

/* A file may hold as many. */
enum { BS_MOST_ITEMS = (1 << 24) - 1 };

/* Rows in memory, in the order of their file. */
struct bs_items {
    char *path; /* for messages */
    int count;
    json_t **rows;    /* [count], an object each */
    int *lines;       /* [count], of each row's beginning, from 1; of Parquet the row's number */
    json_t *left_out; /* columns that the rows go without: name, as a template has it, to why;
                       * NULL = none */
    struct bs_digest digest; /* of the file's bytes, unpacked */
};

/* Reads the file at `path`: .jsonl (an object a line) or .json (one list of them or an object a
 * line), .csv (RFC 4180, every field a text), .parquet; .gz or .zst may follow but for Parquet.
 * `columns` (NULL-terminated) are the names of a CSV's fields, whose first record else names them;
 * NULL or empty = it does. BS_EIO where the file cannot be read; BS_EDATA naming file and line
 * where it is damaged, a row is no object, or a record has other fields than named; BS_ECONFIG for
 * a file of another kind, or columns of one name. On failure there is nothing to release. */
enum bs_status bs_items_read(const char *path, const char *const *columns, struct bs_items *items,
                             struct bs_error *err);
void bs_items_release(struct bs_items *items);

/* Adds a row, which becomes the items'. For the readers alone. BS_ENOMEM. */
enum bs_status bs_items_add(struct bs_items *items, json_t *row, int line, struct bs_error *err);

/* The rows of a Parquet file into `items`, whose path is set, and its digest. Columns that
 * hold what is not read (no text, number or truth value; lists within lists; other ways to pack or
 * encode) are left out and noted. BS_EDATA naming file and column. */
enum bs_status bs_parquet_read(const char *path, struct bs_items *items, struct bs_error *err);

/* The rows of a CSV, text[0 .. size), into `items`, whose path is set. */
enum bs_status bs_csv_read(const char *text, size_t size, const char *const *columns,
                           struct bs_items *items, struct bs_error *err);

#endif
