#include "eval/checkpoint/shard.h"

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What git leaves in place of a large file that it did not fetch. */
static bool is_pointer_file(const struct bs_map *map)
{
    static const char start[] = "version https://git-lfs.github.com/spec/";
    return map->size >= sizeof start && !memcmp(map->data, start, sizeof start - 1);
}

/* By how the file begins, or else by its name. */
static const struct bs_reader *reader_of(const struct bs_shard *shard)
{
    const struct bs_reader *reader;
    for (int r = 0; (reader = bs_reader_at(r)); r++)
        if (reader->begins && shard->map.size >= strlen(reader->begins) &&
            !memcmp(shard->map.data, reader->begins, strlen(reader->begins)))
            return reader;
    return bs_reader_of(shard->name);
}

enum bs_status bs_shard_open(struct bs_shard *shard, const char *directory, const char *name,
                             struct bs_entries *entries, struct bs_error *err)
{
    shard->path = bs_path_join(directory, name);
    if (!shard->path)
        return bs_fail_memory(err);
    shard->name = shard->path + strlen(shard->path) - strlen(name);
    if (bs_map_open(shard->path, &shard->map, err))
        return err->status;
    if (is_pointer_file(&shard->map))
        return bs_fail(err, BS_EDATA,
                       "%s: a Git LFS pointer stands where the file should: run `git lfs pull` in "
                       "its folder",
                       shard->path);
    return reader_of(shard)->read(shard, entries, err);
}

void bs_shard_close(struct bs_shard *shard)
{
    json_decref(shard->header);
    bs_free(shard->names);
    bs_map_close(&shard->map);
    bs_free(shard->path);
    *shard = (struct bs_shard){0};
}

struct bs_entry *bs_entries_grow(struct bs_entries *entries, size_t more)
{
    struct bs_entry *grown =
        bs_realloc(entries->items, entries->count, entries->count + more, sizeof *grown);
    if (!grown)
        return NULL;
    entries->items = grown;
    memset(grown + entries->count, 0, more * sizeof *grown);
    return grown + entries->count;
}

void bs_entries_release(struct bs_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        bs_free(entries->items[i].tensor.coded);
        bs_free(entries->items[i].named);
    }
    bs_free(entries->items);
    *entries = (struct bs_entries){.count = 0};
}

static int compare_names(const void *left, const void *right)
{
    const struct bs_entry *a = left, *b = right;
    return strcmp(a->tensor.name, b->tensor.name);
}

enum bs_status bs_entries_sort(struct bs_entries *entries, struct bs_error *err)
{
    struct bs_entry *items = entries->items;
    if (entries->count)
        qsort(items, entries->count, sizeof *items, compare_names);
    for (size_t i = 1; i < entries->count; i++)
        if (!strcmp(items[i - 1].tensor.name, items[i].tensor.name))
            return bs_fail(err, BS_EDATA, "%s: holds tensor '%.200s' twice", items[i].shard->path,
                           items[i].tensor.name);
    return BS_OK;
}

struct bs_entry *bs_entries_find(const struct bs_entries *entries, const char *name)
{
    struct bs_entry key = {.tensor = {.name = name}};
    if (!entries->count)
        return NULL;
    return bsearch(&key, entries->items, entries->count, sizeof key, compare_names);
}

void bs_shape_print(int rank, const int64_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int d = 0; d < rank && used < size; d++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s%lld", d ? ", " : "", (long long)shape[d]);
    if (used < size)
        snprintf(out + used, size - used, "]");
}
