/* Adding an algorithm is its file and one line here. */
#include "algorithms/algorithm.h"

#ifndef BS_MORE_ALGORITHMS /* of a test: tests/plugins */
#define BS_MORE_ALGORITHMS(X)
#endif

/* The first is the one that bs_algorithm_usual gives. */
#define ALGORITHMS(X)                                                                              \
    X(rtn)                                                                                         \
    X(gptq)                                                                                        \
    X(gptaq)                                                                                       \
    X(ldlq)                                                                                        \
    X(quip)                                                                                        \
    X(awq)                                                                                         \
    X(hqq)                                                                                         \
    X(smoothquant)                                                                                 \
    X(quarot)                                                                                      \
    X(outliers)                                                                                    \
    BS_MORE_ALGORITHMS(X)

#define DECLARE(a) extern const struct bs_algorithm bs_alg_##a;
#define ENTRY(a) &bs_alg_##a.plugin,

ALGORITHMS(DECLARE)

static const struct bs_plugin *const rows[] = {ALGORITHMS(ENTRY) NULL};

/* Whether an algorithm with its default options has to calibrate. */
static bool needs_at_defaults(const struct bs_algorithm *algorithm)
{
    struct bs_choice choice;
    struct bs_error ignored;
    struct bs_wanted wanted = {.architecture = NULL};
    if (bs_choice_init(&choice, &algorithm->plugin, &ignored))
        return true;
    algorithm->needs(choice.options, &wanted);
    bool any = bs_wanted_any(&wanted);
    bs_wanted_release(&wanted);
    bs_choice_release(&choice);
    return any;
}

static void print_facts(const struct bs_plugin *plugin, FILE *out)
{
    const struct bs_algorithm *algorithm = (const struct bs_algorithm *)plugin;
    for (const struct bs_preference *p = algorithm->preferences; p && p->format; p++)
        fprintf(out, "%s of format %s: %s, where it is auto\n", p->option, p->format, p->word);
    fprintf(out, "calibrates on: %s\n",
            !algorithm->needs                            ? "nothing"
            : algorithm->calibrate_on == BS_ON_QUANTIZED ? "quantized"
            : needs_at_defaults(algorithm)               ? "unquantized"
                                           : "nothing, unless importance is asked for");
}

const struct bs_registry bs_algorithm_registry = {
    .kind = "algorithm",
    .summary = "what is done to the weights: a grid's `algorithm`, alone or in a chain",
    .rows = rows,
    .print_facts = print_facts,
};

const struct bs_algorithm *bs_algorithm_at(int i) { return (const struct bs_algorithm *)rows[i]; }

const struct bs_algorithm *bs_algorithm_find(const char *name)
{
    return (const struct bs_algorithm *)bs_registry_find(&bs_algorithm_registry, name);
}

const struct bs_algorithm *bs_algorithm_usual(void) { return bs_algorithm_at(0); }

const struct bs_algorithm *bs_algorithm_of(const struct bs_choice *choice)
{
    return (const struct bs_algorithm *)choice->plugin;
}
