/* CSV as RFC 4180 has it: records of fields with commas between; a field in quotes may hold commas,
 * newlines and, doubled, quotes. */
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/data/items.h"

enum { MOST_FIELDS = 256 };

/* A file on its way. */
struct csv {
    struct bs_items *items;
    const char *at, *end;
    int line;
    char *room; /* for a field without its quotes; as long as the file */
};

/* The next field as JSON text; *last where its record ends after it. */
static enum bs_status read_field(struct csv *csv, json_t **field, bool *last, struct bs_error *err)
{
    size_t size = 0;
    int line = csv->line;
    bool quoted = csv->at < csv->end && *csv->at == '"';
    csv->at += quoted;
    while (csv->at < csv->end) {
        char c = *csv->at;
        bool twice = csv->at + 1 < csv->end && csv->at[1] == '"';
        if (quoted && c == '"' && !twice)
            break;
        if (!quoted &&
            (c == ',' || c == '\n' || (c == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n')))
            break;
        csv->at += quoted && c == '"'; /* the first of two */
        csv->line += c == '\n';
        csv->room[size++] = *csv->at++;
    }
    if (quoted && csv->at == csv->end)
        return bs_fail(err, BS_EDATA, "%s:%d: a field begins with a quote that nothing closes",
                       csv->items->path, line);
    csv->at += quoted;
    if (csv->at < csv->end && *csv->at == '\r')
        csv->at++;
    if (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n')
        return bs_fail(err, BS_EDATA,
                       "%s:%d: expected a comma or the end of the line after a quote",
                       csv->items->path, csv->line);
    *last = csv->at == csv->end || *csv->at == '\n';
    csv->line += csv->at < csv->end && *csv->at == '\n';
    csv->at += csv->at < csv->end;
    if (bs_utf8_check(csv->room, size, err))
        return bs_fail_within(err, "%s:%d", csv->items->path, line);
    *field = json_stringn(csv->room, size);
    return *field ? BS_OK : bs_fail_memory(err);
}

/* The fields of the next record in a list. */
static enum bs_status read_record(struct csv *csv, json_t *fields, struct bs_error *err)
{
    bool last = false;
    int line = csv->line;
    while (!last) {
        json_t *field;
        if (read_field(csv, &field, &last, err))
            return err->status;
        if (json_array_append_new(fields, field))
            return bs_fail_memory(err);
        if (json_array_size(fields) > MOST_FIELDS)
            return bs_fail(err, BS_EDATA, "%s:%d: more than %d fields", csv->items->path, line,
                           MOST_FIELDS);
    }
    return BS_OK;
}

static bool is_blank(const json_t *fields)
{
    return json_array_size(fields) == 1 && !json_string_length(json_array_get(fields, 0));
}

/* One record under the names of the fields. */
static enum bs_status add_record(struct csv *csv, const json_t *names, const json_t *fields,
                                 int line, struct bs_error *err)
{
    if (json_array_size(fields) != json_array_size(names))
        return bs_fail(err, BS_EDATA, "%s:%d: %zu fields, expected %zu", csv->items->path, line,
                       json_array_size(fields), json_array_size(names));
    json_t *row = json_object();
    int failed = row ? 0 : 1;
    for (size_t i = 0; !failed && i < json_array_size(fields); i++)
        failed = json_object_set(row, json_string_value(json_array_get(names, i)),
                                 json_array_get(fields, i));
    if (!failed)
        return bs_items_add(csv->items, row, line, err);
    json_decref(row);
    return bs_fail_memory(err);
}

static enum bs_status name_columns(json_t *names, const char *const *columns, struct bs_error *err)
{
    for (int i = 0; columns && columns[i]; i++)
        if (json_array_append_new(names, json_string(columns[i])))
            return bs_fail_memory(err);
    return BS_OK;
}

/* `given`: they are the task's `columns`, not the file's first record. */
static enum bs_status check_names(const struct csv *csv, const json_t *names, bool given,
                                  struct bs_error *err)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(names, i), json_array_get(names, k)))
                return bs_fail(err, given ? BS_ECONFIG : BS_EDATA,
                               "%s%s: the field '%s' is named twice%s", csv->items->path,
                               given ? "" : ":1", json_string_value(json_array_get(names, i)),
                               given ? " in the task's 'columns'" : "");
    return BS_OK;
}

enum bs_status bs_csv_read(const char *text, size_t size, const char *const *columns,
                           struct bs_items *items, struct bs_error *err)
{
    struct csv csv = {items, text, text + size, 1, bs_alloc(size + 1, 1)};
    json_t *names = json_array(), *fields = json_array();
    enum bs_status status = csv.room && names && fields ? BS_OK : bs_fail_memory(err);
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        csv.at += 3;
    if (!status)
        status = name_columns(names, columns, err);
    bool given = json_array_size(names) > 0;
    if (!status && !given)
        status = read_record(&csv, names, err);
    if (!status)
        status = check_names(&csv, names, given, err);
    while (!status && csv.at < csv.end) {
        int line = csv.line;
        json_array_clear(fields);
        status = read_record(&csv, fields, err);
        if (!status && !is_blank(fields))
            status = add_record(&csv, names, fields, line, err);
    }
    json_decref(fields);
    json_decref(names);
    bs_free(csv.room);
    return status;
}
