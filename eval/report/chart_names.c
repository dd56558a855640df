/* How the files of charts are called. */
#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/numerics.h"
#include "eval/report/chart.h"
#include "eval/report/chart_internal.h"

const char *bs_chart_suffix(const struct bs_chart_how *how)
{
    static const char *const suffixes[] = {"", "_single", "_dark", "_single_dark"};
    return suffixes[how->is_single + 2 * how->is_dark];
}

static bool has_other_numerics(const struct bs_results *results, const struct bs_row *row)
{
    for (int i = 0; i < results->num_rows; i++)
        if (strcmp(results->rows[i].numerics, row->numerics))
            return true;
    return false;
}

/* The chart's name; after it the model's (without folders or owner) where the file has several,
 * the beginning of its digest where another one has this name, the text's unless it is the file's
 * first, and that of its numerics where others are in the file, unless they are the default. */
static void plain_name(const struct bs_results *results, const char *chart, int row, char *out,
                       size_t size)
{
    const struct bs_row *own = &results->rows[row];
    size_t used = (size_t)snprintf(out, size, "%s", chart);
    if (bs_results_several_models(results)) {
        const char *end = own->model + strlen(own->model);
        while (end > own->model + 1 && end[-1] == '/')
            end--;
        const char *begin = end;
        while (begin > own->model && begin[-1] != '/')
            begin--;
        used += (size_t)snprintf(out + used, size - used, "_%.*s", (int)(end - begin), begin);
    }
    if (bs_rows_share_name(results->rows, results->num_rows, own))
        used += (size_t)snprintf(out + used, size - used, "_%.8s", own->model_digest);
    if (strcmp(own->text, results->rows[0].text))
        used += (size_t)snprintf(out + used, size - used, "_%s", own->text);
    if (has_other_numerics(results, own) &&
        strcmp(own->numerics, bs_numerics_registry.rows[0]->name))
        snprintf(out + used, size - used, "_%s", own->numerics);
    for (char *c = out; *c; c++)
        if (strchr("/'\"\\`", *c) || (unsigned char)*c <= ' ' || *c == 0x7f)
            *c = '_';
}

void bs_chart_base_name(const struct bs_results *results, const char *chart, int section, int row,
                        char *out, size_t size)
{
    plain_name(results, chart, row, out, size);
    for (int k = 0; k < row; k++) {
        char earlier[BS_CHART_NAME_BYTES];
        plain_name(results, chart, k, earlier, sizeof earlier);
        if (!strcmp(earlier, out) &&
            !bs_rows_same_subject(&results->rows[k], &results->rows[row])) {
            size_t used = strlen(out);
            snprintf(out + used, size - used, "_%d", section + 1);
            return;
        }
    }
}

char *bs_chart_files(const char *name, const struct bs_chart_how *how, const struct bs_lines *drawn)
{
    char pictures[64] = "";
    size_t length = strlen(name);
    bool parted = true; /* each has more than the chart's name */
    for (int i = 0; i < drawn->count; i++)
        parted = parted && drawn->lines[i][length] == '_';
    const char *before = "", *first = drawn->lines[0];
    for (int i = 0; i < BS_NUM_PICTURES; i++)
        if (how->pictures >> i & 1u) {
            size_t used = strlen(pictures);
            snprintf(pictures + used, sizeof pictures - used, "%s.%s", before, bs_picture_names[i]);
            before = ", ";
        }
    bool several = drawn->count > 1;
    return bs_printf("%s/%s%s%s%s, .gp, .tsv", how->directory, several ? name : first,
                     !several ? ""
                     : parted ? "_*"
                              : "*",
                     bs_chart_suffix(how), pictures);
}
