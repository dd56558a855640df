/* Adding numerics is their file and one line here. The first are the default. */
#include "eval/linalg/numerics.h"

#define NUMERICS(X)                                                                                \
    X(portable)                                                                                    \
    X(native)

#define DECLARE(n) extern const struct bs_numerics bs_numerics_##n;
#define ENTRY(n) &bs_numerics_##n.plugin,

NUMERICS(DECLARE)

static const struct bs_plugin *const rows[] = {NUMERICS(ENTRY) NULL};

static void print_facts(const struct bs_plugin *plugin, FILE *out)
{
    const struct bs_numerics *numerics = (const struct bs_numerics *)plugin;
    fputs(numerics->same_everywhere ? "the same bits on every processor\n"
                                    : "the same bits on one kind of processor, by one version of "
                                      "its libraries\n",
          out);
    if (plugin == rows[0])
        fputs("used unless others are asked for\n", out);
}

const struct bs_registry bs_numerics_registry = {
    .kind = "numerics",
    .summary = "by what matrices are multiplied and factored; the rest is the same code in all",
    .rows = rows,
    .print_facts = print_facts,
};
