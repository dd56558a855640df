#include "eval/hub/adapter.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/hub/hub.h"

/* directory/name where it is there, in new memory, else NULL. */
static enum bs_status find(const char *directory, const char *name, char **path,
                           struct bs_error *err)
{
    struct stat info;
    *path = bs_printf("%s/%s", directory, name);
    if (!*path)
        return bs_fail_memory(err);
    if (stat(*path, &info)) {
        bs_free(*path);
        *path = NULL;
    }
    return BS_OK;
}

/* The name of the base as bs_hub_model has it, in new memory: one of the hub with the revision that
 * the adapter was made of. */
static char *full_name(const json_t *config, const char *name)
{
    struct stat info;
    const char *revision = json_string_value(json_object_get(config, "revision"));
    bool is_place = strchr("./", *name) || !stat(name, &info);
    return is_place || !revision || !*revision || strchr(name, '@')
               ? bs_strdup(name)
               : bs_printf("%s@%s", name, revision);
}

static enum bs_status read_base(const char *path, char **base, struct bs_error *err)
{
    json_t *config;
    if (bs_json_read(path, &config, err))
        return err->status;
    const char *name = json_string_value(json_object_get(config, "base_model_name_or_path"));
    enum bs_status status = BS_OK;
    if (!name || !*name)
        status = bs_fail(err, BS_EDATA,
                         "%s: base_model_name_or_path is missing, expected the model that the "
                         "adapter is of",
                         path);
    char *full = status ? NULL : full_name(config, name);
    if (!status && !full)
        status = bs_fail_memory(err);
    if (!status && bs_hub_model(full, "", base, err))
        status = bs_fail_within(err, "%s: base_model_name_or_path", path);
    bs_free(full);
    json_decref(config);
    return status;
}

enum bs_status bs_adapter_base(const char *directory, char **base, struct bs_error *err)
{
    char *own, *path = NULL;
    *base = NULL;
    enum bs_status status = find(directory, "config.json", &own, err);
    if (!status && !own)
        status = find(directory, "adapter_config.json", &path, err);
    if (!status && path)
        status = read_base(path, base, err);
    bs_free(own);
    bs_free(path);
    return status;
}
