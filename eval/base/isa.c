#include "eval/base/isa.h"

#include <stdlib.h>
#include <string.h>

enum bs_isa bs_isa_in_use;

static const char *const names[BS_NUM_ISA] = {"base", "fma", "v3", "v4"};
static const char variable[] = "BITSWEEP_ISA";

const char *bs_isa_name(enum bs_isa level) { return names[level]; }

/* What the levels' compiler flags ask for, as far as a processor that has the rest of a level can
 * lack it. */
static enum bs_isa best(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx") || !__builtin_cpu_supports("fma"))
        return BS_ISA_BASE;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2"))
        return BS_ISA_FMA;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return BS_ISA_V3;
    return BS_ISA_V4;
#else
    return BS_ISA_BASE;
#endif
}

/* The level of this name, or BS_NUM_ISA. */
static enum bs_isa named(const char *name)
{
    int level = 0;
    while (level < BS_NUM_ISA && strcmp(name, names[level]))
        level++;
    return (enum bs_isa)level;
}

/* Before main, so that no loop has to ask whether it is known. */
__attribute__((constructor)) static void choose(void)
{
    const char *asked = getenv(variable);
    bs_isa_in_use = best();
    if (asked && *asked)
        bs_isa_use(named(asked));
}

bool bs_isa_use(enum bs_isa level)
{
    if (level > best())
        return false;
    bs_isa_in_use = level;
    return true;
}

enum bs_status bs_isa_check(struct bs_error *err)
{
    const char *asked = getenv(variable);
    if (!asked || !*asked || named(asked) <= best())
        return BS_OK;
    if (named(asked) == BS_NUM_ISA)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "environment variable %s: '%s' is no level; expected base, fma, v3 or v4",
                       variable, asked);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "environment variable %s: this processor lacks %s; the best it has is %s",
                   variable, asked, names[best()]);
}
