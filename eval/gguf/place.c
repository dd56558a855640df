/* Which file a model's place means, and models in parts. */
#include "eval/gguf/gguf.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "eval/base/mem.h"

/* --- parts --- */

/* What follows the name of a file in parts: "-00001-of-00003.gguf". */
enum { ENDING = 20 };

/* The number of the part that a name is of, and of all of them; 0 for another name. */
static int part_of(const char *name, int *parts)
{
    size_t length = strlen(name);
    const char *ending = length > ENDING ? name + length - ENDING : "";
    char made[64];
    *parts = 0;
    if (!*ending)
        return 0;
    int number = (int)strtol(ending + 1, NULL, 10);
    *parts = (int)strtol(ending + 10, NULL, 10);
    snprintf(made, sizeof made, "-%05d-of-%05d.gguf", number, *parts);
    if (!strcmp(made, ending) && number >= 1 && number <= *parts)
        return number;
    *parts = 0;
    return 0;
}

bool bs_gguf_part_name(const char *name, int i, char out[BS_NAME_BYTES])
{
    int parts, number = part_of(name, &parts);
    if (!number || i < 1 || i > parts)
        return false;
    snprintf(out, BS_NAME_BYTES, "%.*s-%05d-of-%05d.gguf", (int)(strlen(name) - ENDING), name, i,
             parts);
    return true;
}

/* A whole number of the metadata; -1 where there is none. */
static int64_t whole(const struct bs_gguf *gguf, const char *key)
{
    struct bs_error unwanted;
    json_t *json;
    const struct bs_gguf_value *value = bs_gguf_find(gguf, key);
    if (!value || value->array || bs_gguf_json(gguf, value, &json, &unwanted))
        return -1;
    int64_t number = json_is_integer(json) ? json_integer_value(json) : -1;
    json_decref(json);
    return number;
}

static enum bs_status open_part(const char *path, struct bs_gguf_part *part, struct bs_error *err)
{
    part->path = bs_strdup(path);
    if (!part->path)
        return bs_fail_memory(err);
    if (bs_map_open(part->path, &part->map, err))
        return err->status;
    return bs_gguf_read(part->path, &part->map, &part->gguf, err);
}

/* Part i, counted from 1, of those of the model's first file. */
static enum bs_status open_further(const char *path, int i, struct bs_gguf_part *part,
                                   struct bs_error *err)
{
    char name[BS_NAME_BYTES];
    bs_gguf_part_name(bs_path_name(path), i, name);
    int folder = (int)(bs_path_name(path) - path);
    char *other = bs_printf("%.*s%s", folder, path, name);
    if (!other)
        return bs_fail_memory(err);
    enum bs_status status = open_part(other, part, err);
    bs_free(other);
    if (!status && whole(&part->gguf, "split.no") != i - 1)
        status = bs_fail(err, BS_EDATA, "%s: split.no is %lld, expected %d by its name", part->path,
                         (long long)whole(&part->gguf, "split.no"), i - 1);
    return status;
}

enum bs_status bs_gguf_open(const char *path, struct bs_gguf_model *model, struct bs_error *err)
{
    int named;
    part_of(bs_path_name(path), &named);
    *model =
        (struct bs_gguf_model){.parts = bs_calloc(named ? (size_t)named : 1, sizeof *model->parts)};
    if (!model->parts)
        return bs_fail_memory(err);
    model->num_parts = 1;
    if (open_part(path, model->parts, err))
        return err->status;
    int64_t parts = whole(&model->parts->gguf, "split.count");
    if ((parts > 1 || named > 1) && parts != named)
        return bs_fail(err, BS_EDATA,
                       "%s: split.count is %lld, expected %d by its name (NAME-00001-of-00003.gguf "
                       "is the first of 3)",
                       path, (long long)parts, named ? named : 1);
    for (; model->num_parts < named; model->num_parts++)
        if (open_further(path, model->num_parts + 1, &model->parts[model->num_parts], err)) {
            model->num_parts++; /* to be closed, too */
            return err->status;
        }
    return BS_OK;
}

void bs_gguf_close(struct bs_gguf_model *model)
{
    for (int i = 0; i < model->num_parts; i++) {
        bs_gguf_release(&model->parts[i].gguf);
        bs_map_close(&model->parts[i].map);
        bs_free(model->parts[i].path);
    }
    bs_free(model->parts);
    *model = (struct bs_gguf_model){.parts = NULL};
}

const struct bs_gguf_tensor *bs_gguf_tensor(const struct bs_gguf_model *model, const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; i < model->num_parts; i++)
        for (size_t t = 0; t < model->parts[i].gguf.num_tensors; t++) {
            const struct bs_gguf_tensor *tensor = &model->parts[i].gguf.tensors[t];
            if (tensor->name.length == length && !memcmp(tensor->name.bytes, name, length))
                return tensor;
        }
    return NULL;
}

/* --- places --- */

static bool begins_so(const char *path)
{
    char magic[4];
    struct bs_error refused;
    FILE *file = bs_file_check(path, &refused) ? NULL : fopen(path, "rb");
    bool is = file && fread(magic, 1, sizeof magic, file) == sizeof magic &&
              !memcmp(magic, "GGUF", sizeof magic);
    if (file)
        fclose(file);
    return is;
}

/* How many models a folder holds as GGUF files, one in parts counted once, the first of them in
 * `name`, and all in `list`, cut to its size. */
static int list_models(const char *folder, char name[BS_NAME_BYTES], char *list, size_t size)
{
    DIR *stream = opendir(folder);
    int count = 0, parts;
    size_t used = 0;
    *list = 0;
    for (const struct dirent *e; stream && (e = readdir(stream));) {
        if (!bs_ends_in(e->d_name, ".gguf") || part_of(e->d_name, &parts) > 1)
            continue;
        if (!count++ || strcmp(e->d_name, name) < 0)
            snprintf(name, BS_NAME_BYTES, "%s", e->d_name);
        if (used < size)
            used += (size_t)snprintf(list + used, size - used, "%s%s", used ? ", " : "", e->d_name);
    }
    if (stream)
        closedir(stream);
    return count;
}

static enum bs_status choose(const char *folder, char **file, struct bs_error *err)
{
    struct stat info;
    char name[BS_NAME_BYTES], list[1024];
    char *config = bs_printf("%s/config.json", folder);
    if (!config)
        return bs_fail_memory(err);
    bool has_config = !stat(config, &info);
    bs_free(config);
    int count = has_config ? 0 : list_models(folder, name, list, sizeof list);
    if (count > 1)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: holds %d GGUF files; name one of them: %s",
                       folder, count, list);
    if (!count)
        return BS_OK;
    *file = bs_printf("%s/%s", folder, name);
    return *file ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_gguf_place(const char *place, char **file, struct bs_error *err)
{
    struct stat info;
    char first[BS_NAME_BYTES];
    const char *name = bs_path_name(place);
    int parts;
    *file = NULL;
    if (stat(place, &info))
        return BS_OK;
    if (S_ISDIR(info.st_mode))
        return choose(place, file, err);
    if (!bs_ends_in(place, ".gguf") && !begins_so(place))
        return BS_OK;
    if (part_of(name, &parts) > 1 && bs_gguf_part_name(name, 1, first))
        return bs_fail(err, BS_EUNSUPPORTED, "%s: one part of a model; name the first, %s", place,
                       first);
    *file = bs_strdup(place);
    return *file ? BS_OK : bs_fail_memory(err);
}
