#include "eval/data/items.h"

#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/data/input.h"
#include "eval/data/text.h"

enum bs_status bs_items_add(struct bs_items *items, json_t *row, int line, struct bs_error *err)
{
    enum { FIRST = 256 };
    size_t count = (size_t)items->count, room = count ? 2 * count : FIRST;
    if (!count || (count >= FIRST && !(count & (count - 1)))) {
        json_t **rows = bs_realloc(items->rows, count, room, sizeof(json_t *));
        items->rows = rows ? rows : items->rows;
        int *lines = bs_realloc(items->lines, count, room, sizeof *lines);
        items->lines = lines ? lines : items->lines;
        if (!rows || !lines) {
            json_decref(row);
            return bs_fail_memory(err);
        }
    }
    items->rows[items->count] = row;
    items->lines[items->count++] = line;
    if (items->count > BS_MOST_ITEMS)
        return bs_fail(err, BS_EDATA, "%s: more than %d items", items->path, BS_MOST_ITEMS);
    return BS_OK;
}

/* ---- JSON ---- */

static enum bs_status add_object(struct bs_items *items, json_t *row, int line,
                                 struct bs_error *err)
{
    char found[64];
    if (json_is_object(row))
        return bs_items_add(items, row, line, err);
    bs_json_excerpt(row, found, sizeof found);
    json_decref(row);
    return bs_fail(err, BS_EDATA, "%s:%d: %s is no item, expected an object", items->path, line,
                   found);
}

static enum bs_status read_lines(const char *text, size_t size, struct bs_items *items,
                                 struct bs_error *err)
{
    int line = 1;
    for (const char *at = text, *end = text + size, *next; at < end; at = next, line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline ? newline : end) - at), left = length;
        next = newline ? newline + 1 : end;
        bs_strip(at, &left);
        if (!left)
            continue;
        json_t *row;
        struct bs_json_rules rules = {.any = true, .line = (size_t)line};
        if (bs_json_parse(items->path, &rules, at, length, &row, err) ||
            add_object(items, row, line, err))
            return err->status;
    }
    return BS_OK;
}

/* One list of objects; a row's line is not known any more, its number in the list is told. */
static enum bs_status read_list(const char *text, size_t size, struct bs_items *items,
                                struct bs_error *err)
{
    json_t *list;
    struct bs_json_rules rules = {.any = true};
    if (bs_json_parse(items->path, &rules, text, size, &list, err))
        return err->status;
    enum bs_status status = BS_OK;
    for (size_t i = 0; i < json_array_size(list) && !status; i++)
        status = add_object(items, json_incref(json_array_get(list, i)), (int)i + 1, err);
    json_decref(list);
    return status;
}

static enum bs_status read_json(const char *text, size_t size, struct bs_items *items,
                                struct bs_error *err)
{
    size_t left = size;
    const char *first = bs_strip(text, &left);
    return left && *first == '[' ? read_list(text, size, items, err)
                                 : read_lines(text, size, items, err);
}

/* ---- files ---- */

static enum bs_status read_bytes(const char *path, char **bytes, size_t *size, struct bs_error *err)
{
    struct bs_input *input;
    size_t room = 1 << 16, got = 1;
    *bytes = NULL;
    *size = 0;
    if (bs_file_check(path, err) || bs_input_open(path, NULL, &input, err))
        return err->status;
    enum bs_status status = (*bytes = bs_alloc(room, 1)) ? BS_OK : bs_fail_memory(err);
    while (!status && got) {
        if (*size == room) {
            bool long_ = room > BS_TEXT_MOST_BYTES;
            char *more = long_ ? NULL : bs_realloc(*bytes, room, 2 * room, 1);
            if (!more) {
                status = long_ ? bs_fail(err, BS_EDATA, "%s: longer than 4 GiB", path)
                               : bs_fail_memory(err);
                break;
            }
            *bytes = more;
            room *= 2;
        }
        status = bs_input_read(input, *bytes + *size, room - *size, &got, err);
        *size += got;
    }
    bs_input_close(input);
    if (status) {
        bs_free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* A name without what it is packed in. */
static bool is_kind(const char *path, const char *ending)
{
    size_t length = strlen(path), end = strlen(ending);
    if (bs_ends_in(path, ".gz"))
        length -= strlen(".gz");
    else if (bs_ends_in(path, ".zst"))
        length -= strlen(".zst");
    return length > end && !strncmp(path + length - end, ending, end);
}

enum bs_status bs_items_read(const char *path, const char *const *columns, struct bs_items *items,
                             struct bs_error *err)
{
    *items = (struct bs_items){.path = bs_strdup(path)};
    bool csv = is_kind(path, ".csv"), json = is_kind(path, ".jsonl") || is_kind(path, ".json");
    bool parquet = bs_ends_in(path, ".parquet");
    char *bytes = NULL;
    size_t size = 0;
    enum bs_status status = items->path ? BS_OK : bs_fail_memory(err);
    if (!status && !csv && !json && !parquet)
        status =
            bs_fail(err, BS_ECONFIG,
                    "%s: items are read from .parquet, .jsonl, .json and .csv (.gz or .zst may "
                    "follow)",
                    path);
    if (!status)
        status = parquet ? bs_parquet_read(path, items, err) : read_bytes(path, &bytes, &size, err);
    if (!status && !parquet) {
        items->digest = bs_digest_of(bytes, size);
        status = csv ? bs_csv_read(bytes, size, columns, items, err)
                     : read_json(bytes, size, items, err);
    }
    if (!status && !items->count)
        status = bs_fail(err, BS_EDATA, "%s: no items in it", path);
    bs_free(bytes);
    if (status)
        bs_items_release(items);
    return status;
}

void bs_items_release(struct bs_items *items)
{
    for (int i = 0; i < items->count; i++)
        json_decref(items->rows[i]);
    json_decref(items->left_out);
    bs_free(items->rows);
    bs_free(items->lines);
    bs_free(items->path);
    *items = (struct bs_items){0};
}
