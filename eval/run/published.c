#include "eval/run/published.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"

enum bs_status bs_published_read(const struct bs_results *results, struct bs_published_set *set,
                                 struct bs_error *err)
{
    *set = (struct bs_published_set){.count = 0};
    struct bs_config *config = &set->config;
    if (bs_config_parse(results->path, results->config, strlen(results->config), NULL, config, err))
        return err->status;
    set->figures = bs_calloc((size_t)config->num_expected, sizeof *set->figures);
    if (!set->figures) {
        bs_published_release(set);
        return bs_fail_memory(err);
    }
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

void bs_published_release(struct bs_published_set *set)
{
    bs_free(set->figures);
    bs_config_release(&set->config);
    *set = (struct bs_published_set){.count = 0};
}
