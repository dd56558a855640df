#include "eval/run/merge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/config/config.h"
#include "eval/store/results.h"

/* Where a trial stands in the sweep; what the config does not have comes last. */
struct place {
    const char *id;
    int recipe, calibration, text, read; /* read: as it came */
};

/* All trials of the files. */
struct gathering {
    int count;
    struct place *places;
    struct bs_results *results; /* [files], which own the ids */
    int files;
};

static int recipe_place(const struct bs_config *config, char *const *labels,
                        const struct bs_row *row)
{
    int r = 0;
    while (r < config->num_recipes && strcmp(labels[r], row->recipe))
        r++;
    return r;
}

static int calibration_place(const struct bs_config *config, const struct bs_row *row)
{
    int c = 0;
    for (; c < config->num_calibrations; c++) {
        const struct bs_calibration_config *own = &config->calibrations[c];
        if (!strcmp(own->text, row->calibration_text ? row->calibration_text : "") &&
            own->tokens == row->calibration_tokens && own->windows == row->calibration_windows &&
            bs_calibration_seed(own) == row->calibration_seed)
            break;
    }
    return row->calibration_windows ? c : 0;
}

static int text_place(const struct bs_config *config, const struct bs_row *row)
{
    int t = 0;
    while (t < config->num_evaluations && strcmp(config->evaluations[t].name, row->text))
        t++;
    return t;
}

static int by_place(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->recipe != b->recipe)
        return a->recipe < b->recipe ? -1 : 1;
    if (a->calibration != b->calibration)
        return a->calibration < b->calibration ? -1 : 1;
    if (a->text != b->text)
        return a->text < b->text ? -1 : 1;
    return (a->read > b->read) - (a->read < b->read);
}

static enum bs_status gather(struct gathering *all, const char *const *from, int count,
                             struct bs_error *err)
{
    int rows = 0;
    all->results = bs_calloc((size_t)count, sizeof *all->results);
    if (!all->results)
        return bs_fail_memory(err);
    for (; all->files < count; all->files++) {
        if (bs_results_read(from[all->files], &all->results[all->files], err))
            return err->status;
        rows += all->results[all->files].num_rows;
    }
    all->places = bs_calloc((size_t)rows, sizeof *all->places);
    return all->places ? BS_OK : bs_fail_memory(err);
}

static void release(struct gathering *all)
{
    for (int f = 0; f < all->files; f++)
        bs_results_release(&all->results[f]);
    bs_free(all->results);
    bs_free(all->places);
}

/* Puts every trial in its place of the config. */
static enum bs_status order_trials(struct gathering *all, const struct bs_config *config,
                                   struct bs_error *err)
{
    assert(all->places);
    char **labels = bs_calloc((size_t)config->num_recipes, sizeof *labels);
    enum bs_status status = labels ? BS_OK : bs_fail_memory(err);
    for (int r = 0; r < config->num_recipes && !status; r++)
        if (!(labels[r] = bs_recipe_text(&config->recipes[r], bs_recipe_print_label)))
            status = bs_fail_memory(err);
    for (int f = 0; f < all->files && !status; f++)
        for (int i = 0; i < all->results[f].num_rows; i++) {
            const struct bs_row *row = &all->results[f].rows[i];
            all->places[all->count] =
                (struct place){row->id, recipe_place(config, labels, row),
                               calibration_place(config, row), text_place(config, row), all->count};
            all->count++;
        }
    if (!status)
        qsort(all->places, (size_t)all->count, sizeof *all->places, by_place);
    for (int r = 0; labels && r < config->num_recipes; r++)
        bs_free(labels[r]);
    bs_free(labels);
    return status;
}

static enum bs_status merge(struct gathering *all, const struct bs_config *config, const char *path,
                            const char *const *from, struct bs_error *err)
{
    const char **ids = bs_alloc((size_t)all->count, sizeof *ids);
    if (!ids)
        return bs_fail_memory(err);
    for (int i = 0; i < all->count; i++)
        ids[i] = all->places[i].id;
    const struct bs_merge_order order = {.num_models = config->num_models,
                                         .models = config->models,
                                         .num_ids = all->count,
                                         .ids = ids};
    enum bs_status status = bs_results_merge(path, from, all->files, &order, err);
    bs_free((void *)ids);
    return status;
}

static int count_other_configs(const struct gathering *all)
{
    int count = 0;
    for (int f = 1; f < all->files; f++)
        count += !!strcmp(all->results[f].config, all->results[0].config);
    return count;
}

enum bs_status bs_merge_files(const char *path, const char *const *from, int count,
                              struct bs_merged *merged, struct bs_error *err)
{
    struct gathering all = {.count = 0};
    struct bs_config config = {.num_models = 0};
    struct bs_results written;
    enum bs_status status = gather(&all, from, count, err);
    if (!status) {
        const char *text = all.results[0].config;
        status = bs_config_parse(all.results[0].path, text, strlen(text), NULL, &config, err);
        if (status == BS_ECONFIG) {
            config = (struct bs_config){.num_models = 0};
            status = BS_OK;
        }
    }
    if (!status)
        status = order_trials(&all, &config, err);
    if (!status)
        status = merge(&all, &config, path, from, err);
    *merged = (struct bs_merged){.num_other_configs = count_other_configs(&all)};
    bs_config_release(&config);
    release(&all);
    if (status || bs_results_read(path, &written, err))
        return err->status;
    merged->num_trials = written.num_rows;
    bs_results_release(&written);
    return BS_OK;
}
