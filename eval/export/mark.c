#include "eval/export/mark.h"

#include <string.h>
#include <sys/stat.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"

/* By these names, of the metadata after "bitsweep.". */
static const char id_key[] = "export", recipe_key[] = "recipe", verified_key[] = "verified";

#define METADATA "bitsweep."

enum bs_status bs_export_mark_folder(const struct bs_export *export, struct bs_error *err)
{
    char *path = bs_path_join(export->path, BS_EXPORT_MARK);
    json_t *mark = json_pack("{s:s,s:s,s:b}", id_key, export->id, recipe_key, export->label,
                             verified_key, export->verified);
    enum bs_status status = path && mark ? bs_json_write(path, mark, err) : bs_fail_memory(err);
    json_decref(mark);
    bs_free(path);
    return status;
}

enum bs_status bs_export_mark_gguf(const struct bs_export *export, struct bs_gguf_writer *writer,
                                   struct bs_error *err)
{
    return bs_gguf_put_text(writer, METADATA "recipe", export->label, err) ||
                   bs_gguf_put_text(writer, METADATA "export", export->id, err) ||
                   bs_gguf_put_switch(writer, METADATA "verified", export->verified, err)
               ? err->status
               : BS_OK;
}

static enum bs_status take(const json_t *object, const char *prefix, struct bs_export_mark *mark,
                           struct bs_error *err)
{
    char id[32], recipe[32], verified[32];
    snprintf(id, sizeof id, "%s%s", prefix, id_key);
    snprintf(recipe, sizeof recipe, "%s%s", prefix, recipe_key);
    snprintf(verified, sizeof verified, "%s%s", prefix, verified_key);
    const char *own = json_string_value(json_object_get(object, id));
    const char *label = json_string_value(json_object_get(object, recipe));
    if (!own || !label)
        return BS_OK;
    mark->id = bs_strdup(own);
    mark->recipe = bs_strdup(label);
    mark->verified = json_is_true(json_object_get(object, verified));
    return mark->id && mark->recipe ? BS_OK : bs_fail_memory(err);
}

/* Of a GGUF file. What is none says nothing. */
static enum bs_status read_gguf(const char *path, struct bs_export_mark *mark, struct bs_error *err)
{
    static const char *const keys[] = {METADATA "export", METADATA "recipe", METADATA "verified"};
    struct bs_gguf_model model;
    struct bs_error wrong;
    json_t *found = json_object();
    if (!found)
        return bs_fail_memory(err);
    bool is_one = !bs_gguf_open(path, &model, &wrong);
    for (size_t k = 0; is_one && k < sizeof keys / sizeof *keys; k++) {
        const struct bs_gguf_value *value = bs_gguf_find(&model.parts->gguf, keys[k]);
        json_t *json;
        if (value && !bs_gguf_json(&model.parts->gguf, value, &json, &wrong))
            json_object_set_new(found, keys[k], json);
    }
    bs_gguf_close(&model);
    enum bs_status status = take(found, METADATA, mark, err);
    json_decref(found);
    return status;
}

enum bs_status bs_export_mark_read(const char *path, struct bs_export_mark *mark,
                                   struct bs_error *err)
{
    struct stat info;
    struct bs_error wrong;
    json_t *object = NULL;
    *mark = (struct bs_export_mark){.id = NULL};
    if (stat(path, &info))
        return BS_OK;
    if (S_ISREG(info.st_mode))
        return read_gguf(path, mark, err);
    char *file = S_ISDIR(info.st_mode) ? bs_path_join(path, BS_EXPORT_MARK) : NULL;
    enum bs_status status = BS_OK;
    if (file && !stat(file, &info) && !bs_json_read(file, &object, &wrong))
        status = take(object, "", mark, err);
    json_decref(object);
    bs_free(file);
    return status;
}

void bs_export_mark_release(struct bs_export_mark *mark)
{
    bs_free(mark->id);
    bs_free(mark->recipe);
    *mark = (struct bs_export_mark){.id = NULL};
}
