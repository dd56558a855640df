#include "eval/run/published.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"

/* Adds what a config expects. */
static enum bs_status add_expected(struct bs_published_set *set, const struct bs_config *config,
                                   struct bs_error *err)
{
    size_t before = (size_t)set->count, after = before + (size_t)config->num_expected;
    struct bs_published *figures = bs_realloc(set->figures, before, after, sizeof *figures);
    if (!figures)
        return bs_fail_memory(err);
    set->figures = figures;
    for (int i = 0; i < config->num_expected; i++) {
        const struct bs_expected_config *expected = &config->expected[i];
        const struct bs_evaluation_config *text = &config->evaluations[expected->text];
        struct bs_protocol_used protocol = bs_evaluation_protocol(&text->how, text->tokens);
        struct bs_published *figure = &set->figures[set->count++];
        *figure = (struct bs_published){
            .model = config->models[expected->model],
            .text = text->name,
            .label = expected->label,
            .windows = text->windows,
            .stride = protocol.stride,
            .tokens = text->tokens,
            .numerics = expected->numerics ? expected->numerics->plugin.name : NULL,
            .value_name = expected->type->name,
            .value = expected->value,
            .printed = expected->printed,
            .source = config->sources[expected->source]};
        snprintf(figure->protocol, sizeof figure->protocol, "%s", protocol.name);
    }
    return BS_OK;
}

static enum bs_status read_one(struct bs_published_set *set, const struct bs_results *file,
                               struct bs_error *err)
{
    struct bs_config *config = &set->configs[set->num_configs];
    if (bs_config_parse(file->path, file->config, strlen(file->config), NULL, config, err))
        return err->status;
    set->num_configs++;
    return add_expected(set, config, err);
}

enum bs_status bs_published_read(const struct bs_results *results, struct bs_published_set *set,
                                 struct bs_error *err)
{
    int files = results->num_parts ? results->num_parts : 1;
    *set = (struct bs_published_set){.count = 0};
    set->configs = bs_calloc((size_t)files, sizeof *set->configs);
    enum bs_status status = set->configs ? BS_OK : bs_fail_memory(err);
    for (int f = 0; f < files && !status; f++)
        status = read_one(set, results->num_parts ? &results->parts[f] : results, err);
    if (status)
        bs_published_release(set);
    return status;
}

void bs_published_release(struct bs_published_set *set)
{
    bs_free(set->figures);
    for (int c = 0; c < set->num_configs; c++)
        bs_config_release(&set->configs[c]);
    bs_free(set->configs);
    *set = (struct bs_published_set){.count = 0};
}
