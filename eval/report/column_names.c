#include "eval/report/column_names.h"

#include <stddef.h>
#include <string.h>

#include "eval/base/option.h"
#include "eval/store/results_internal.h"
#include "eval/tasks/evaluation.h"

/* Words of configs and of papers, and the column that is meant. */
static const struct {
    const char *word, *column;
} words[] = {
    {"group", "granularity"}, {"group_size", "granularity"}, {"kl", "kld_mean"},
    {"kld", "kld_mean"},      {"ppl", "perplexity"},         {"accuracy", "acc"},
    {"size", "bytes"},        {"memory", "bytes"},           {"delta", "perplexity_delta"},
};

const char *bs_column_near(const char *word, const char *const *names)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (int k = 0; !strcmp(words[i].word, word) && names[k]; k++)
            if (!strcmp(names[k], words[i].column))
                return names[k];
    return bs_nearest_word(word, names);
}

bool bs_column_is_known(const char *name, const char **near)
{
    enum { MOST_NAMES = 512 };
    const char *names[MOST_NAMES + 1] = {"time", "file"}, *evaluation;
    const struct bs_value_type *type;
    int count = 2;
    for (const struct bs_field *field = bs_row_type.fields; field->name; field++)
        if (count < MOST_NAMES)
            names[count++] = field->name;
    for (int i = 0; (type = bs_value_type_at(i, &evaluation)); i++)
        if (count < MOST_NAMES)
            names[count++] = type->name;
    *near = NULL;
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    *near = bs_column_near(name, names);
    return false;
}
