#include "eval/run/exports.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/config/model_list.h"
#include "eval/config/report.h"

void bs_exports_release(struct bs_planned_exports *exports)
{
    for (int i = 0; i < exports->count; i++) {
        bs_free(exports->items[i].label);
        bs_free(exports->items[i].path);
    }
    bs_free(exports->items);
    *exports = (struct bs_planned_exports){.count = 0};
}

static enum bs_status fail_at(const struct bs_config *config, const struct bs_export_config *entry,
                              struct bs_error *err)
{
    char at[BS_PLACE_TEXT];
    bs_config_place(config, entry->line, entry->column, at);
    return bs_fail_within(err, "%s: error: export", at);
}

static struct bs_export_request request_of(const struct bs_planned_export *item)
{
    return (struct bs_export_request){.how = &item->entry->how,
                                      .label = item->label,
                                      .path = item->path,
                                      .verify = item->entry->verify};
}

/* ---- names ---- */

/* A name as a part of a file's: of what shells and folders take for something else nothing. */
static void print_name(const char *name, FILE *out)
{
    for (const char *c = name; *c; c++)
        fputc(isalnum((unsigned char)*c) || strchr("._+=,-", *c) ? *c : '_', out);
}

/* Where an export goes, from where the program runs. */
static char *path_of(const struct bs_config *config, const struct bs_export_config *entry,
                     const char *label, const char *model)
{
    static const char recipe_name[] = "{recipe}", model_name[] = "{model}";
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return NULL;
    for (const char *at = entry->out; *at;) {
        bool recipe = !strncmp(at, recipe_name, strlen(recipe_name));
        bool whose = !strncmp(at, model_name, strlen(model_name));
        if (recipe || whose)
            print_name(recipe ? label : model, out);
        else
            fputc(*at, out);
        at += recipe ? strlen(recipe_name) : whose ? strlen(model_name) : 1;
    }
    char *name = bs_print_end(&printing), *path = name ? bs_path_join(config->folder, name) : NULL;
    bs_free(name);
    return path;
}

/* ---- the list ---- */

static bool matches(const struct bs_export_config *entry, const struct bs_trial *trial)
{
    const char *pattern = entry->recipe;
    return trial->recipe &&
           (!strcmp(pattern, trial->label) || !strcmp(pattern, trial->recipe_label) ||
            !fnmatch(pattern, trial->label, 0) || !fnmatch(pattern, trial->recipe_label, 0));
}

/* Two under one name would be one. */
static enum bs_status check_name(const struct bs_planned_exports *exports, struct bs_error *err)
{
    const struct bs_planned_export *last = &exports->items[exports->count - 1];
    for (int i = 0; i < exports->count - 1; i++)
        if (!strcmp(exports->items[i].path, last->path))
            return bs_fail(err, BS_ECONFIG,
                           "'%.100s' and '%.100s' would both be '%.200s', expected {recipe} or "
                           "{model} in out, or other names",
                           exports->items[i].label, last->label, last->path);
    return BS_OK;
}

static enum bs_status add(struct bs_models *models, int k, const struct bs_export_config *entry,
                          const struct bs_trial *trial, struct bs_planned_exports *exports,
                          struct bs_error *err)
{
    const struct bs_config *config = models->config;
    struct bs_planned_export *grown = bs_realloc(exports->items, (size_t)exports->count,
                                                 (size_t)exports->count + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(err);
    exports->items = grown;
    struct bs_planned_export *item = &grown[exports->count++];
    *item = (struct bs_planned_export){.model = k, .entry = entry};
    item->label = bs_strdup(trial->label);
    item->path = path_of(config, entry, trial->label, config->models[models->sweep.model_index]);
    if (!item->label || !item->path)
        return bs_fail_memory(err);
    struct bs_export_request request = request_of(item);
    return check_name(exports, err) || bs_export_check(&models->sweep, &request, &item->there, err)
               ? err->status
               : BS_OK;
}

/* Of a trial's texts the first stands for the recipe, as it was calibrated. */
static bool is_first(const struct bs_sweep *sweep, int i)
{
    for (int j = 0; j < i; j++)
        if (sweep->all[j].recipe == sweep->all[i].recipe &&
            sweep->all[j].calibration == sweep->all[i].calibration)
            return false;
    return true;
}

static enum bs_status add_entry(struct bs_models *models, int k,
                                const struct bs_export_config *entry,
                                struct bs_planned_exports *exports, struct bs_error *err)
{
    const struct bs_sweep *sweep = &models->sweep;
    enum bs_status status = BS_OK;
    if (sweep->reference ||
        (entry->model && bs_config_find_model(models->config, entry->model) != sweep->model_index))
        return BS_OK;
    for (int i = 0; i < sweep->num_all && !status; i++)
        if (matches(entry, &sweep->all[i]) && is_first(sweep, i))
            status = add(models, k, entry, &sweep->all[i], exports, err);
    return status ? fail_at(models->config, entry, err) : BS_OK;
}

/* Whether the entry is of a model that is not wanted this time. */
static bool is_elsewhere(const struct bs_models *models, const struct bs_export_config *entry)
{
    bool wanted = models->num_models == models->config->num_models;
    int model = entry->model ? bs_config_find_model(models->config, entry->model) : -1;
    for (int k = 0; k < models->num_models; k++)
        wanted |= models->models[k].model == model;
    return !wanted;
}

/* An entry of no recipe is a slip of the pen. */
static enum bs_status check_found(struct bs_models *models,
                                  const struct bs_planned_exports *exports, struct bs_error *err)
{
    const struct bs_config *config = models->config;
    for (int e = 0; e < config->num_exports; e++) {
        const struct bs_export_config *entry = &config->exports[e];
        bool found = is_elsewhere(models, entry);
        for (int i = 0; i < exports->count; i++)
            found |= exports->items[i].entry == entry;
        if (found)
            continue;
        char list[512];
        struct bs_names names = {0};
        for (int i = 0; i < models->sweep.num_all; i++)
            if (models->sweep.all[i].recipe)
                bs_names_add(&names, models->sweep.all[i].label);
        bs_names_print(&names, entry->recipe, list, sizeof list);
        bs_fail(err, BS_ECONFIG, "no recipe is called '%.200s', expected %s", entry->recipe, list);
        return fail_at(config, entry, err);
    }
    return BS_OK;
}

enum bs_status bs_exports_list(struct bs_models *models, bool waiting,
                               struct bs_planned_exports *exports, struct bs_error *err)
{
    const struct bs_config *config = models->config;
    enum bs_status status = BS_OK;
    *exports = (struct bs_planned_exports){.count = 0};
    for (int k = 0; k < models->num_models && config->num_exports && !status; k++) {
        status = bs_models_switch(models, k, err);
        for (int e = 0; e < config->num_exports && !status; e++)
            status = add_entry(models, k, &config->exports[e], exports, err);
    }
    if (!status && !waiting)
        status = check_found(models, exports, err);
    if (status)
        bs_exports_release(exports);
    return status;
}

/* ---- what is done ---- */

void bs_exports_print(const struct bs_models *models, const struct bs_planned_exports *exports,
                      FILE *out)
{
    for (int i = 0; i < exports->count; i++) {
        const struct bs_planned_export *item = &exports->items[i];
        bool several = models->num_models > 1;
        bs_print_line(out, "export: %s%s%s as %s to %s%s",
                      several ? models->config->models[models->models[item->model].model] : "",
                      several ? ", " : "", item->label, item->entry->how.plugin->name, item->path,
                      item->there           ? " (there already)"
                      : item->entry->verify ? ", read back and measured"
                                            : "");
    }
}

enum bs_status bs_exports_run(struct bs_models *models, const struct bs_planned_exports *exports,
                              const struct bs_limits *limits, const struct bs_telling *telling,
                              FILE *out, int *failed, struct bs_error *err)
{
    *failed = 0;
    for (int i = 0; i < exports->count; i++) {
        const struct bs_planned_export *item = &exports->items[i];
        struct bs_export_request request = request_of(item);
        request.quiet = telling->quiet;
        if (bs_models_switch(models, item->model, err))
            return err->status;
        bs_tell_log(telling, "export of '%s' to %s", item->label, item->path);
        enum bs_status status = bs_export_run(&models->sweep, &request, limits, out, err);
        if (status == BS_ESTOPPED)
            return status;
        if (!status) {
            bs_print_line(out, "%s", item->path);
            continue;
        }
        fail_at(models->config, item->entry, err);
        fprintf(stderr, "%s\n", err->message);
        bs_tell_log(telling, "%s", err->message);
        (*failed)++;
    }
    return BS_OK;
}
