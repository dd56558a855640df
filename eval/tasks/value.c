#include "eval/tasks/value.h"

#include <math.h>
#include <string.h>

#include "eval/tasks/evaluation.h"
#include "eval/tasks/metric.h"

const char bs_model_values[] = "model";

struct bs_measured bs_measured_plainly(const struct bs_value_type *type, double value, int n)
{
    return (struct bs_measured){type, value, (double)NAN, (double)NAN, n};
}

int bs_value_types_count(const struct bs_value_type *types)
{
    int count = 0;
    while (types && types[count].name)
        count++;
    return count;
}

void bs_value_types_print(const struct bs_value_type *types, const char *word, FILE *out)
{
    for (; types && types->name; types++)
        fprintf(out, "%s %s%s%s%s%s\n", word, types->name, *types->unit ? ", " : "", types->unit,
                *types->meaning ? ": " : "", types->meaning);
}

const struct bs_value_type *bs_value_type_at(int i, const char **evaluation)
{
    for (int e = 0; bs_evaluation_registry.rows[e]; e++) {
        const struct bs_evaluation *row = (const void *)bs_evaluation_registry.rows[e];
        int count = bs_value_types_count(row->values);
        *evaluation = row->plugin.name;
        if (i < count)
            return &row->values[i];
        i -= count;
    }
    *evaluation = bs_model_values;
    for (int m = 0; bs_metric_registry.rows[m]; m++) {
        const struct bs_metric *row = (const void *)bs_metric_registry.rows[m];
        int count = bs_value_types_count(row->values);
        if (i < count)
            return &row->values[i];
        i -= count;
    }
    return NULL;
}

const struct bs_value_type *bs_value_type_find(const char *evaluation, const char *name)
{
    const struct bs_value_type *type;
    const char *own;
    for (int i = 0; (type = bs_value_type_at(i, &own)); i++)
        if (!strcmp(own, evaluation) && !strcmp(type->name, name))
            return type;
    return NULL;
}

const struct bs_value_type *bs_linear_value_type_find(const char *name)
{
    const struct bs_value_type *type;
    for (int c = 0; (type = bs_metrics_linear_value_at(c)); c++)
        if (!strcmp(type->name, name))
            return type;
    return NULL;
}
