#include "eval/base/model_name.h"

#include <string.h>

#include "eval/base/mem.h"

/* "org/name" in new memory for a folder of the hub's cache, .../models--org--name/snapshots/...,
 * else NULL. */
static char *hub_name(const char *place)
{
    static const char begin[] = "models--", end[] = "/snapshots/";
    const char *last = strstr(place, end);
    const char *first = last;
    while (first && first > place && first[-1] != '/')
        first--;
    if (!last || strncmp(first, begin, sizeof begin - 1))
        return NULL;
    first += sizeof begin - 1;
    char *name = bs_printf("%.*s", (int)(last - first), first);
    char *parting = name ? strstr(name, "--") : NULL;
    if (parting) {
        *parting = '/';
        memmove(parting + 1, parting + 2, strlen(parting + 2) + 1);
    }
    return name;
}

char *bs_model_short_name(const char *place)
{
    char *name = hub_name(place);
    if (name)
        return name;
    const char *rest = place;
    while (!strncmp(rest, "./", 2) || !strncmp(rest, "../", 3))
        rest += rest[1] == '/' ? 2 : 3;
    size_t length = strlen(rest);
    while (length > 1 && rest[length - 1] == '/')
        length--;
    return length && strspn(rest, ".") < length ? bs_printf("%.*s", (int)length, rest)
                                                : bs_strdup(place);
}
