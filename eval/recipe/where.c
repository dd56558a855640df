#include "eval/recipe/where.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/option.h"

enum { FULL_NAME = 256 };

static const char list_start[] = "layer[";

/* Layers `first` to `last` of a list; negative ones count back from the end. */
struct span {
    int first, last;
};

/* A number at the start of the text; NULL where there is none, else what comes after it. */
static const char *read_number(const char *text, int *number)
{
    if (!isdigit((unsigned char)text[text[0] == '-']))
        return NULL;
    char *end;
    long value = strtol(text, &end, 10);
    *number = value > INT_MAX ? INT_MAX : value < -INT_MAX ? -INT_MAX : (int)value;
    return end;
}

/* A layer or "2-5" at the start of the text, as read_number. */
static const char *read_span(const char *text, struct span *span)
{
    text = read_number(text, &span->first);
    span->last = span->first;
    return text && *text == '-' ? read_number(text + 1, &span->last) : text;
}

static bool has_list(const char *pattern)
{
    return !strncmp(pattern, list_start, strlen(list_start));
}

enum bs_status bs_where_check(const char *pattern, struct bs_error *err)
{
    const char *rest = pattern;
    if (has_list(pattern)) {
        struct span span;
        rest += strlen(list_start);
        do
            rest = read_span(rest, &span);
        while (rest && *rest == ',' && rest++);
        if (!rest || strncmp(rest, "].", 2) || !rest[2])
            return bs_fail(err, BS_ECONFIG,
                           "where is '%.80s', expected layers as in layer[0,2-5,-1].*", pattern);
        rest += 2;
    }
    for (const char *c = rest; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._*-", *c))
            return bs_fail(err, BS_ECONFIG,
                           "where is '%.80s', expected a place such as *.down_proj, down_input or "
                           "layer[0,-1].*",
                           pattern);
    return *pattern ? BS_OK
                    : bs_fail(err, BS_ECONFIG, "where is empty, expected a place, or * for all");
}

static int from_start(int layer, int num_layers) { return layer < 0 ? num_layers + layer : layer; }

enum bs_status bs_where_check_layers(const char *pattern, int num_layers, struct bs_error *err)
{
    if (!has_list(pattern))
        return BS_OK;
    const char *rest = pattern + strlen(list_start);
    for (struct span span = {0, 0}; *rest != ']'; rest += *rest == ',') {
        rest = read_span(rest, &span);
        int first = from_start(span.first, num_layers), last = from_start(span.last, num_layers);
        if (first < 0 || first >= num_layers || last < first || last >= num_layers)
            return bs_fail(
                err, BS_ECONFIG,
                "where is '%.80s', expected layers from 0 to %d, or -%d to -1 as counted "
                "from the end",
                pattern, num_layers - 1, num_layers);
    }
    return BS_OK;
}

static bool list_has(const char **rest, int layer, int num_layers)
{
    bool has = false;
    for (struct span span = {0, 0}; **rest != ']'; *rest += **rest == ',') {
        *rest = read_span(*rest, &span);
        has |= layer >= from_start(span.first, num_layers) &&
               layer <= from_start(span.last, num_layers);
    }
    *rest += strlen("].");
    return has;
}

/* As a shell's: where a star took too little, it takes one letter more. */
static bool matches(const char *pattern, const char *name)
{
    const char *star = NULL, *taken = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            taken = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++taken;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

/* "input" or "inputs". */
static bool is_kind(const char *pattern, const char *kind)
{
    size_t length = kind ? strlen(kind) : 0;
    return length && !strncmp(pattern, kind, length) &&
           (!pattern[length] || !strcmp(pattern + length, "s"));
}

static bool matches_either(const char *pattern, const struct bs_where_place *place)
{
    return matches(pattern, place->name) || is_kind(pattern, place->kind);
}

bool bs_where_matches(const char *pattern, const struct bs_where_place *place)
{
    if (has_list(pattern)) {
        const char *rest = pattern + strlen(list_start);
        return list_has(&rest, place->layer, place->num_layers) && matches_either(rest, place);
    }
    char full[FULL_NAME];
    int start = snprintf(full, sizeof full, "layer.%d.", place->layer);
    bool here = !strncmp(pattern, full, (size_t)start);
    snprintf(full + start, sizeof full - (size_t)start, "%s", place->name);
    return matches(pattern, full) || matches_either(here ? pattern + start : pattern, place);
}

/* What of the pattern says which place of a layer: after layers, and after a star and its dot. */
static const char *own_name(const char *pattern)
{
    const char *name = pattern;
    int ignored;
    if (has_list(name))
        name = strchr(name, ']') + strlen("].");
    else if (!strncmp(name, "layer.", strlen("layer."))) {
        const char *rest = read_number(name + strlen("layer."), &ignored);
        if (rest && *rest == '.')
            name = rest + 1;
    }
    while (*name == '*' || *name == '.')
        name++;
    return name;
}

char *bs_where_nearest(const char *pattern, const char *const *names)
{
    const char *name = own_name(pattern), *near = bs_nearest_word(name, names);
    for (int i = 0; !near && names[i]; i++) { /* by the last part: "*.down_prj", "q_proj" */
        const char *dot = strrchr(names[i], '.');
        const char *const last[] = {dot ? dot + 1 : names[i], NULL};
        if (bs_nearest_word(name, last))
            near = name >= pattern + 2 && name[-2] == '*' ? last[0] : names[i];
    }
    return near ? bs_printf("%.*s%s", (int)(name - pattern), pattern, near) : NULL;
}
