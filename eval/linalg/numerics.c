#include "eval/linalg/numerics.h"

static const struct bs_numerics *in_use; /* NULL = the registry's first */

const struct bs_numerics *bs_numerics(void)
{
    /* The plug-in is the first member. */
    return in_use ? in_use : (const struct bs_numerics *)bs_numerics_registry.rows[0];
}

void bs_numerics_use(const struct bs_numerics *numerics) { in_use = numerics; }

const struct bs_numerics *bs_numerics_find(const char *name)
{
    return (const struct bs_numerics *)bs_registry_find(&bs_numerics_registry, name);
}
