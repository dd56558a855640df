/* The evaluations: one line each. */
#include "eval/tasks/evaluation.h"

#ifndef BS_MORE_EVALUATIONS /* a test's plug-ins: tests/plugins */
#define BS_MORE_EVALUATIONS(X)
#endif

#define EVALUATIONS(X)                                                                             \
    X(perplexity)                                                                                  \
    X(tasks)                                                                                       \
    BS_MORE_EVALUATIONS(X)

#define DECLARE(name) extern const struct bs_evaluation bs_evaluation_##name;
#define ENTRY(name) &bs_evaluation_##name.plugin,

EVALUATIONS(DECLARE)

static const struct bs_plugin *const evaluations[] = {EVALUATIONS(ENTRY) NULL};

static void print_facts(const struct bs_plugin *plugin, FILE *out)
{
    const struct bs_evaluation *evaluation = (const void *)plugin;
    fputs("figures of every token:", out);
    for (int f = 0; f < BS_NUM_FIGURES; f++)
        if (evaluation->figures >> f & 1)
            fprintf(out, " %s", bs_figure_types[f].name);
    fputc('\n', out);
    bs_value_types_print(evaluation->values, "value", out);
}

const struct bs_registry bs_evaluation_registry = {
    .kind = "evaluation",
    .summary = "what is measured of a text: a list under `evaluation`",
    .rows = evaluations,
    .print_facts = print_facts};

const struct bs_evaluation *bs_evaluation_of(const struct bs_choice *choice)
{
    return (const struct bs_evaluation *)(const void *)choice->plugin;
}

struct bs_protocol_used bs_evaluation_protocol(const struct bs_choice *choice, int tokens)
{
    const struct bs_evaluation *evaluation = bs_evaluation_of(choice);
    if (evaluation->protocol)
        return evaluation->protocol(choice->options, tokens);
    struct bs_protocol_used used = {.stride = tokens};
    snprintf(used.name, sizeof used.name, "%s", evaluation->plugin.name);
    return used;
}

bool bs_evaluation_has_answers(const char *name)
{
    const struct bs_plugin *plugin = bs_registry_find(&bs_evaluation_registry, name);
    return plugin && ((const struct bs_evaluation *)(const void *)plugin)->answer;
}
