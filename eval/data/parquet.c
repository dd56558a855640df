/* Parquet as the hub serves it: the values of columns put together as rows. Of what a row may hold
 * texts, numbers, truth values, structs and lists (not within lists) are read; other columns are
 * left out and noted. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/data/items.h"
#include "eval/data/parquet_column.h"

enum { MOST_STEPS = 16 };

/* The way to a column's values in a row: names down to the value, or to the list, and from there on
 * within an element. */
struct path {
    struct bs_parquet_leaf leaf;
    bool listed;
    int list_definition; /* from here on the list is there, beyond it an element */
    int num_outer, num_inner;
    const char *outer[MOST_STEPS], *inner[MOST_STEPS];
};

static enum bs_status find_path(const struct bs_parquet_footer *footer, int leaf, struct path *path,
                                struct bs_error *err)
{
    int chain[MOST_STEPS], length = 0;
    *path = (struct path){.leaf = {.type = footer->nodes[leaf].type}};
    for (int n = leaf; n > 0; n = footer->nodes[n].parent) {
        if (length == MOST_STEPS)
            return bs_fail(err, BS_EUNSUPPORTED, "its columns lie too deep");
        chain[length++] = n;
    }
    for (int i = length - 1; i >= 0; i--) {
        const struct bs_parquet_node *node = &footer->nodes[chain[i]];
        bool is_element = false; /* of a list: its name says nothing */
        if (node->repetition == BS_PARQUET_REPEATED) {
            const struct bs_parquet_node *parent = &footer->nodes[node->parent];
            if (!parent->is_list)
                path->outer[path->num_outer++] = node->name;
            path->listed = true;
            path->list_definition = path->leaf.most_definitions;
            path->leaf.most_repetitions++;
            path->leaf.most_definitions++;
            continue;
        }
        if (path->listed && node->parent == chain[i + 1]) {
            const struct bs_parquet_node *list = &footer->nodes[node->parent];
            is_element = list->repetition == BS_PARQUET_REPEATED && list->num_children == 1 &&
                         footer->nodes[list->parent].is_list;
        }
        path->leaf.most_definitions += node->repetition == BS_PARQUET_OPTIONAL;
        if (path->listed && !is_element)
            path->inner[path->num_inner++] = node->name;
        else if (!path->listed)
            path->outer[path->num_outer++] = node->name;
    }
    return BS_OK;
}

/* The object below `row` that holds what the last of the names stands for. */
static json_t *object_for(json_t *row, const char *const *names, int count)
{
    for (int i = 0; i + 1 < count && row; i++) {
        json_t *next = json_object_get(row, names[i]);
        if (!json_is_object(next) && !json_object_set_new(row, names[i], json_object()))
            next = json_object_get(row, names[i]);
        row = json_is_object(next) ? next : NULL;
    }
    return row;
}

/* Sets what the names lead to; the value becomes the row's. False where memory has run out. */
static bool put(json_t *row, const char *const *names, int count, json_t *value)
{
    json_t *object = value ? object_for(row, names, count) : NULL;
    if (object)
        return !json_object_set_new(object, names[count - 1], value);
    json_decref(value);
    return false;
}

/* The list that the names lead to, made where it is not there; borrowed. */
static json_t *list_for(json_t *row, const char *const *names, int count)
{
    json_t *object = object_for(row, names, count);
    json_t *list = json_object_get(object, names[count - 1]);
    if (object && !json_is_array(list) &&
        !json_object_set_new(object, names[count - 1], json_array()))
        list = json_object_get(object, names[count - 1]);
    return json_is_array(list) ? list : NULL;
}

/* Puts a value into element k of the list: as it is, or within the element. */
static bool put_element(const struct path *path, json_t *list, size_t k, json_t *value)
{
    if (!path->num_inner)
        return !json_array_append_new(list, value);
    if (json_array_size(list) <= k && json_array_append_new(list, json_object())) {
        json_decref(value);
        return false;
    }
    return put(json_array_get(list, k), path->inner, path->num_inner, value);
}

/* Puts value i of a column into its row; *k counts the elements of the row's list. */
static bool put_value(const struct path *path, const struct bs_parquet_column *c, size_t i,
                      json_t *row, size_t *k)
{
    json_t *value = c->values[i] ? json_incref(c->values[i]) : json_null();
    if (!path->listed)
        return put(row, path->outer, path->num_outer, value);
    *k = c->repetitions[i] ? *k + 1 : 0;
    if (c->definitions[i] < path->list_definition)
        return put(row, path->outer, path->num_outer, value);
    json_t *list = list_for(row, path->outer, path->num_outer);
    if (list && c->definitions[i] > path->list_definition)
        return put_element(path, list, *k, value);
    json_decref(value);
    return list != NULL;
}

/* The values of all groups into one column, whose rows are those of the footer. */
static enum bs_status read_column(const struct bs_map *map, const struct bs_parquet_footer *footer,
                                  int leaf, const struct path *path,
                                  struct bs_parquet_column *column, struct bs_error *err)
{
    for (int g = 0; g < footer->num_groups; g++) {
        const struct bs_parquet_chunk *chunk = &footer->chunks[g * footer->num_leaves + leaf];
        int64_t rows = 0, wanted = footer->group_rows[g];
        size_t begin = column->count;
        /* what the footer says is held against itself before memory is taken for it */
        if (chunk->num_values < wanted || (!path->listed && chunk->num_values != wanted))
            return bs_fail(err, BS_EDATA, "a column has other rows than its group");
        if (chunk->num_values > BS_PARQUET_VALUES)
            return bs_fail(err, BS_EUNSUPPORTED, "more than %d values in a group of rows",
                           BS_PARQUET_VALUES);
        if (bs_parquet_read_chunk(map->data, map->size, &path->leaf, chunk, column, err))
            return err->status;
        for (size_t i = begin; i < column->count; i++)
            rows += !column->repetitions[i];
        if (rows != wanted || (rows && column->repetitions[begin]))
            return bs_fail(err, BS_EDATA, "a column has other rows than its group");
    }
    return BS_OK;
}

static enum bs_status put_column(const struct path *path, const struct bs_parquet_column *column,
                                 struct bs_items *items, struct bs_error *err)
{
    int row = -1;
    size_t k = 0;
    for (size_t i = 0; i < column->count; i++) {
        row += !column->repetitions[i];
        if (!put_value(path, column, i, items->rows[row], &k))
            return bs_fail(err, BS_EDATA, "columns that do not fit into one row");
    }
    return BS_OK;
}

/* Notes a column that the rows go without, by the names that a template calls it. */
static enum bs_status leave_out(const struct path *path, struct bs_items *items,
                                struct bs_error *err)
{
    char name[MOST_STEPS * (BS_PARQUET_NAME + 1)] = "";
    for (int i = 0, used = 0; i < path->num_outer + path->num_inner; i++)
        used += snprintf(name + used, sizeof name - (size_t)used, "%s%s", i ? "." : "",
                         i < path->num_outer ? path->outer[i] : path->inner[i - path->num_outer]);
    if (!items->left_out && !(items->left_out = json_object()))
        return bs_fail_memory(err);
    return json_object_set_new(items->left_out, name, json_string(err->message))
               ? bs_fail_memory(err)
               : BS_OK;
}

/* Column `leaf` into the rows; one of what is not read is left out whole. */
static enum bs_status add_column(const struct bs_map *map, const struct bs_parquet_footer *footer,
                                 int leaf, struct bs_items *items, struct bs_error *err)
{
    struct path path;
    struct bs_parquet_column column = {0};
    if (find_path(footer, footer->leaves[leaf], &path, err))
        return err->status;
    enum bs_status status = read_column(map, footer, leaf, &path, &column, err);
    if (!status)
        status = put_column(&path, &column, items, err);
    else if (status == BS_EUNSUPPORTED)
        status = leave_out(&path, items, err);
    bs_parquet_release_column(&column);
    return status;
}

static enum bs_status add_rows(int64_t count, struct bs_items *items, struct bs_error *err)
{
    for (int64_t i = 0; i < count; i++) {
        json_t *row = json_object();
        if (!row)
            return bs_fail_memory(err);
        if (bs_items_add(items, row, items->count + 1, err))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status read_rows(const struct bs_map *map, const struct bs_parquet_footer *footer,
                                struct bs_items *items, struct bs_error *err)
{
    int64_t rows = 0;
    for (int g = 0; g < footer->num_groups; g++)
        rows += footer->group_rows[g];
    if (rows != footer->num_rows)
        return bs_fail(err, BS_EDATA, "%lld rows in its groups, expected %lld", (long long)rows,
                       (long long)footer->num_rows);
    if (rows > BS_MOST_ITEMS)
        return bs_fail(err, BS_EDATA, "more than %d items", BS_MOST_ITEMS);
    if (add_rows(rows, items, err))
        return err->status;
    for (int c = 0; c < footer->num_leaves; c++)
        if (add_column(map, footer, c, items, err))
            return bs_fail_within(err, "column '%s'", footer->nodes[footer->leaves[c]].name);
    return BS_OK;
}

enum bs_status bs_parquet_read(const char *path, struct bs_items *items, struct bs_error *err)
{
    struct bs_map map;
    struct bs_parquet_footer footer;
    if (bs_file_check(path, err) || bs_map_open(path, &map, err))
        return err->status;
    items->digest = bs_digest_of(map.data ? (const void *)map.data : "", map.size);
    enum bs_status status = bs_parquet_read_footer(map.data, map.size, &footer, err);
    if (!status)
        status = read_rows(&map, &footer, items, err);
    bs_parquet_release_footer(&footer);
    bs_map_close(&map);
    return status && status != BS_ENOMEM ? bs_fail_within(err, "%s", path) : status;
}
