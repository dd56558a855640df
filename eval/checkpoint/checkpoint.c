/* The files of a checkpoint as one table of tensors. */
#include "eval/checkpoint/checkpoint.h"

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/foreign.h"
#include "eval/checkpoint/layout.h"
#include "eval/checkpoint/reader.h"
#include "eval/checkpoint/shard.h"
#include "eval/gguf/gguf.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct bs_checkpoint {
    char *directory;
    const char *index_name; /* NULL for a single file */
    json_t *index;
    struct bs_shard *shards;
    size_t num_shards;
    struct bs_entries entries; /* by name */
    size_t unnamed;            /* that the index does not name */
    int choice; /* which of the usual names it has; as many as there are for another, -1 for a
                  GGUF file */
    struct bs_lines notices; /* what there is to say of quantized weights */
    struct bs_shard adapter; /* what was merged; path NULL = nothing */
};

static struct bs_entry *find_entry(const struct bs_checkpoint *checkpoint, const char *name)
{
    return bs_entries_find(&checkpoint->entries, name);
}

/* Keeps the tensors that the index places in the shard they were found in. One that it does not
 * name is no part of the model; one that it places elsewhere is there twice. */
static enum bs_status check_placed(struct bs_checkpoint *checkpoint, const json_t *weight_map,
                                   struct bs_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < checkpoint->entries.count; i++) {
        struct bs_entry *e = &checkpoint->entries.items[i];
        const char *file = json_string_value(json_object_get(weight_map, e->tensor.name));
        if (!file)
            continue;
        if (strcmp(file, e->shard->name))
            return bs_fail(err, BS_EDATA, "%s: holds tensor '%.200s', which %s places in '%.200s'",
                           e->shard->path, e->tensor.name, checkpoint->index_name, file);
        checkpoint->entries.items[kept++] = *e;
    }
    checkpoint->unnamed = checkpoint->entries.count - kept;
    checkpoint->entries.count = kept;
    return BS_OK;
}

static enum bs_status check_found(const struct bs_checkpoint *checkpoint, json_t *weight_map,
                                  struct bs_error *err)
{
    const char *name;
    json_t *file;
    json_object_foreach(weight_map, name, file) if (!find_entry(checkpoint, name)) return bs_fail(
        err, BS_EDATA, "%s/%s: holds no tensor '%.200s', which %s places in it",
        checkpoint->directory, json_string_value(file), name, checkpoint->index_name);
    return BS_OK;
}

/* Opens each shard that weight_map names, once. */
static enum bs_status open_shards(struct bs_checkpoint *checkpoint, json_t *weight_map,
                                  struct bs_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value)
    {
        const char *file = json_string_value(value);
        if (!file || !*file || strchr(file, '/'))
            return bs_fail(err, BS_EDATA, "%s/%s: tensor '%.200s': its shard is no plain file name",
                           checkpoint->directory, checkpoint->index_name, name);
        size_t s = 0;
        while (s < checkpoint->num_shards && strcmp(checkpoint->shards[s].name, file))
            s++;
        if (s < checkpoint->num_shards)
            continue;
        if (bs_shard_open(&checkpoint->shards[checkpoint->num_shards++], checkpoint->directory,
                          file, &checkpoint->entries, err)) {
            if (err->status == BS_EIO) /* most often: not there */
                bs_fail_within(err, "%s/%s names '%.200s' for tensor '%.200s'",
                               checkpoint->directory, checkpoint->index_name, file, name);
            return err->status;
        }
    }
    return BS_OK;
}

static enum bs_status open_sharded(struct bs_checkpoint *checkpoint, const char *name,
                                   struct bs_error *err)
{
    checkpoint->index_name = name;
    char *path = bs_printf("%s/%s", checkpoint->directory, name);
    if (!path)
        return bs_fail_memory(err);
    enum bs_status status = bs_json_read(path, &checkpoint->index, err);
    bs_free(path);
    if (status)
        return status;
    json_t *weight_map = json_object_get(checkpoint->index, "weight_map");
    if (!json_is_object(weight_map) || !json_object_size(weight_map))
        return bs_fail(err, BS_EDATA, "%s/%s: weight_map is missing or empty",
                       checkpoint->directory, name);
    /* as many as there are tensors, at most; the entries point to them, so they must not move */
    checkpoint->shards = bs_calloc(json_object_size(weight_map), sizeof *checkpoint->shards);
    if (!checkpoint->shards)
        return bs_fail_memory(err);
    if (open_shards(checkpoint, weight_map, err) || check_placed(checkpoint, weight_map, err) ||
        bs_entries_sort(&checkpoint->entries, err))
        return err->status;
    return check_found(checkpoint, weight_map, err);
}

static enum bs_status open_single(struct bs_checkpoint *checkpoint, const char *name,
                                  struct bs_error *err)
{
    checkpoint->shards = bs_calloc(1, sizeof *checkpoint->shards);
    if (!checkpoint->shards)
        return bs_fail_memory(err);
    checkpoint->num_shards = 1;
    if (bs_shard_open(checkpoint->shards, checkpoint->directory, name, &checkpoint->entries, err))
        return err->status;
    return bs_entries_sort(&checkpoint->entries, err);
}

/* For a directory without any of the usual names. */
static enum bs_status open_loose(struct bs_checkpoint *checkpoint, struct bs_error *err)
{
    static const char none[] = "there is neither model.safetensors nor pytorch_model.bin nor an "
                               "index of either";
    const struct bs_reader *reader;
    char why[sizeof none + 64];
    snprintf(why, sizeof why, "%s", none);
    for (int r = 0; (reader = bs_reader_at(r)); r++) {
        char name[BS_NAME_BYTES];
        int found = reader->loose ? bs_folder_find(checkpoint->directory, reader->loose, name) : 0;
        if (found == 1)
            return open_single(checkpoint, name, err);
        if (found)
            snprintf(why, sizeof why, "%s, and more than one file ends in %.16s", none,
                     reader->loose);
    }
    return bs_foreign_weights(checkpoint->directory, why, err);
}

/* The i-th of the names that weights usually have, in the order in which they are looked for; NULL
 * where a reader has no such name. False beyond the last. */
static bool usual_name(int i, const char **name, bool *index)
{
    const struct bs_reader *reader = bs_reader_at(i / 2);
    *index = i % 2;
    *name = !reader ? NULL : *index ? reader->index : reader->file;
    return reader;
}

/* Whether the directory has a file of that name; none has one of NULL. */
static enum bs_status look_for(const struct bs_checkpoint *checkpoint, const char *name,
                               bool *there, struct bs_error *err)
{
    struct stat info;
    *there = false;
    if (!name)
        return BS_OK;
    char *path = bs_printf("%s/%s", checkpoint->directory, name);
    *there = path && !stat(path, &info);
    bs_free(path);
    return path ? BS_OK : bs_fail_memory(err);
}

/* A GGUF file, which the checkpoint is, and its further parts. */
static enum bs_status open_gguf(struct bs_checkpoint *checkpoint, const char *file,
                                struct bs_error *err)
{
    char name[BS_NAME_BYTES];
    size_t parts = 1;
    while (bs_gguf_part_name(bs_path_name(file), (int)parts + 1, name))
        parts++;
    char *folder = bs_path_folder(file);
    checkpoint->shards = bs_calloc(parts, sizeof *checkpoint->shards);
    enum bs_status status = folder && checkpoint->shards ? BS_OK : bs_fail_memory(err);
    for (size_t i = 0; i < parts && !status; i++) {
        if (!bs_gguf_part_name(bs_path_name(file), (int)i + 1, name))
            snprintf(name, sizeof name, "%s", bs_path_name(file));
        status = bs_shard_open(&checkpoint->shards[checkpoint->num_shards++], folder, name,
                               &checkpoint->entries, err);
    }
    bs_free(folder);
    return status ? status : bs_entries_sort(&checkpoint->entries, err);
}

static enum bs_status open_files(struct bs_checkpoint *checkpoint, struct bs_error *err)
{
    const char *name;
    char *file;
    bool index, there;
    if (bs_gguf_place(checkpoint->directory, &file, err))
        return err->status;
    if (file) {
        checkpoint->choice = -1;
        enum bs_status status = open_gguf(checkpoint, file, err);
        bs_free(file);
        return status;
    }
    for (int *i = &checkpoint->choice; usual_name(*i, &name, &index); ++*i) {
        if (look_for(checkpoint, name, &there, err))
            return err->status;
        if (there)
            return index ? open_sharded(checkpoint, name, err) : open_single(checkpoint, name, err);
    }
    return open_loose(checkpoint, err);
}

enum bs_status bs_checkpoint_note(const struct bs_checkpoint *checkpoint, struct bs_lines *notices,
                                  struct bs_error *err)
{
    for (int i = 0; i < checkpoint->notices.count; i++)
        if (bs_lines_add(notices, err, "%s", checkpoint->notices.lines[i]))
            return err->status;
    const char *own, *other;
    bool there, index;
    if (checkpoint->choice < 0)
        return BS_OK;
    usual_name(checkpoint->choice, &own, &index);
    for (int i = checkpoint->choice + 1; usual_name(i, &other, &index); i++)
        if (look_for(checkpoint, other, &there, err) ||
            (there && bs_lines_add(notices, err,
                                   "weights are those of %s; %s, which is there too, "
                                   "is not read",
                                   own, other)))
            return err->status;
    if (look_for(checkpoint, "adapter_config.json", &there, err))
        return err->status;
    return there ? bs_lines_add(notices, err,
                                "the adapter of PEFT that lies beside the weights "
                                "(adapter_config.json) is not applied")
                 : BS_OK;
}

/* Makes the tensors of linears that are quantized one matrix each, by the layout that config.json
 * names; nothing where there is no config.json, or it names none. */
static enum bs_status assemble(struct bs_checkpoint *checkpoint, struct bs_error *err)
{
    struct bs_assembly assembly = {.entries = &checkpoint->entries,
                                   .notices = &checkpoint->notices};
    if (bs_assembly_open(&assembly, checkpoint->directory, err))
        return err->status;
    enum bs_status status = bs_assembly_run(&assembly, err);
    bs_assembly_close(&assembly);
    return status;
}

enum bs_status bs_checkpoint_open(const char *directory, struct bs_checkpoint **checkpoint,
                                  struct bs_error *err)
{
    *checkpoint = NULL;
    struct bs_checkpoint *opened = bs_calloc(1, sizeof *opened);
    if (!opened)
        return bs_fail_memory(err);
    opened->directory = bs_strdup(directory);
    enum bs_status status = opened->directory ? open_files(opened, err) : bs_fail_memory(err);
    if (!status)
        status = assemble(opened, err);
    if (status)
        bs_checkpoint_free(opened);
    else
        *checkpoint = opened;
    return status;
}

void bs_checkpoint_free(struct bs_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    for (size_t s = 0; s < checkpoint->num_shards; s++)
        bs_shard_close(&checkpoint->shards[s]);
    json_decref(checkpoint->index);
    bs_free(checkpoint->shards);
    bs_entries_release(&checkpoint->entries);
    bs_lines_release(&checkpoint->notices);
    bs_shard_close(&checkpoint->adapter);
    bs_free(checkpoint->directory);
    bs_free(checkpoint);
}

/* How many quantized matrices an adapter is merged into. */
static int count_merged(const struct bs_entries *entries)
{
    int count = 0;
    for (size_t i = 0; i < entries->count; i++)
        count += entries->items[i].aside && entries->items[i].tensor.coded;
    return count;
}

enum bs_status bs_checkpoint_adapt(struct bs_checkpoint *checkpoint, const char *directory,
                                   struct bs_error *err)
{
    struct bs_entries entries = {.count = 0};
    enum bs_status status =
        bs_shard_open(&checkpoint->adapter, directory, "adapter_model.safetensors", &entries, err);
    if (!status)
        status = bs_entries_sort(&entries, err);
    if (!status)
        status = bs_entries_adapt(&checkpoint->entries, &entries, directory, err);
    bs_entries_release(&entries);
    if (status)
        return status;
    int quantized = count_merged(&checkpoint->entries);
    return quantized ? bs_lines_add(&checkpoint->notices, err,
                                    "the adapter in %s is merged into the weights, %d of which are "
                                    "quantized: into what these decode to",
                                    directory, quantized)
                     : bs_lines_add(&checkpoint->notices, err,
                                    "the adapter in %s is merged into the weights", directory);
}

const struct bs_tensor *bs_checkpoint_find(const struct bs_checkpoint *checkpoint, const char *name)
{
    const struct bs_entry *entry = find_entry(checkpoint, name);
    return entry && !entry->defect ? &entry->tensor : NULL;
}

void bs_checkpoint_forget(const struct bs_checkpoint *checkpoint, const struct bs_tensor *tensor)
{
    const struct bs_entry *entry = find_entry(checkpoint, tensor->name);
    if (tensor->coded) {
        for (int p = 0; p < BS_MOST_PARTS && tensor->coded->parts[p].data; p++)
            bs_map_forget(tensor->coded->parts[p].map, tensor->coded->parts[p].data,
                          tensor->coded->parts[p].bytes);
        return;
    }
    size_t bytes = tensor->count * bs_dtypes[tensor->dtype].bytes;
    if (entry && !tensor->strided) /* else its bytes are not in one place */
        bs_map_forget(&entry->shard->map, tensor->data, bytes);
}

static enum bs_status fail_defect(const struct bs_entry *entry, const char *expected,
                                  struct bs_error *err)
{
    const struct bs_tensor *t = &entry->tensor;
    char names[128];
    size_t used = 0;
    switch (entry->defect) {
    case BS_HIGH_RANK:
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has %d dimensions, expected shape %s",
                       t->file, t->name, t->rank, expected);
    case BS_FEW_ELEMENTS:
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: tensor '%.200s' repeats the elements of a smaller storage; save it "
                       "with .contiguous()",
                       t->file, t->name);
    case BS_OTHER_DTYPE:
    case BS_NO_DEFECT:
        break;
    }
    for (const struct bs_dtype_info *i = bs_dtypes; i->dtype >= 0 && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                 !used            ? ""
                                 : i[1].dtype < 0 ? " or "
                                                  : ", ",
                                 i->name);
    return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has dtype %.40s, expected %s", t->file,
                   t->name, entry->dtype, names);
}

enum bs_status bs_checkpoint_require(struct bs_checkpoint *checkpoint, const char *name, int rank,
                                     const int64_t *shape, const struct bs_tensor **tensor,
                                     struct bs_error *err)
{
    assert(rank >= 0 && rank <= BS_MAX_RANK);
    *tensor = NULL;
    struct bs_entry *entry = find_entry(checkpoint, name);
    char expected[128], found[128];
    bs_shape_print(rank, shape, expected, sizeof expected);
    if (!entry)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' is missing, expected with shape %s",
                       checkpoint->num_shards == 1 ? checkpoint->shards[0].path
                                                   : checkpoint->directory,
                       name, expected);
    const struct bs_tensor *t = &entry->tensor;
    if (entry->defect)
        return fail_defect(entry, expected, err);
    bool same = t->rank == rank;
    for (int d = 0; same && d < rank; d++)
        same = t->shape[d] == shape[d];
    if (!same) {
        bs_shape_print(t->rank, t->shape, found, sizeof found);
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has shape %s, expected %s", t->file,
                       name, found, expected);
    }
    entry->used = true;
    *tensor = t;
    return BS_OK;
}

const char *bs_checkpoint_unused(const struct bs_checkpoint *checkpoint, size_t *cursor,
                                 const char **dtype)
{
    while (*cursor < checkpoint->entries.count) {
        const struct bs_entry *entry = &checkpoint->entries.items[(*cursor)++];
        if (dtype)
            *dtype = entry->dtype;
        if (!entry->used)
            return entry->tensor.name;
    }
    return NULL;
}

const struct bs_tensor *bs_checkpoint_coded(const struct bs_checkpoint *checkpoint, size_t *cursor)
{
    while (*cursor < checkpoint->entries.count) {
        const struct bs_entry *entry = &checkpoint->entries.items[(*cursor)++];
        if (entry->used && !entry->aside && entry->tensor.coded)
            return &entry->tensor;
    }
    return NULL;
}

size_t bs_checkpoint_unnamed(const struct bs_checkpoint *checkpoint) { return checkpoint->unnamed; }

enum bs_status bs_checkpoint_digest(const struct bs_checkpoint *checkpoint,
                                    struct bs_digest_state *digest, struct bs_error *err)
{
    return bs_entries_digest(&checkpoint->entries, checkpoint->directory, digest, err);
}

enum bs_status bs_checkpoint_check(const struct bs_checkpoint *checkpoint, struct bs_error *err)
{
    for (size_t s = 0; s < checkpoint->num_shards; s++)
        if (bs_map_check(&checkpoint->shards[s].map, checkpoint->shards[s].path, err))
            return err->status;
    if (checkpoint->adapter.path)
        return bs_map_check(&checkpoint->adapter.map, checkpoint->adapter.path, err);
    return BS_OK;
}
