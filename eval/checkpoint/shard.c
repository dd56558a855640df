#include "eval/checkpoint/shard.h"

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/reader.h"

#include <string.h>

/* What git leaves in place of a large file that it did not fetch. */
static bool is_pointer_file(const struct bs_map *map)
{
    static const char start[] = "version https://git-lfs.github.com/spec/";
    return map->size >= sizeof start && !memcmp(map->data, start, sizeof start - 1);
}

enum bs_status bs_shard_open(struct bs_shard *shard, const char *directory, const char *name,
                             struct bs_entries *entries, struct bs_error *err)
{
    shard->path = bs_printf("%s/%s", directory, name);
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
    return bs_reader_of(name)->read(shard, entries, err);
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
