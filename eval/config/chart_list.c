#include "eval/config/chart_list.h"

#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/tasks/metric.h"

enum { LIST_TEXT = 800 };

/* In the order of `enum key`. */
const struct bs_config_key bs_chart_keys[] = {
    {"chart", "a chart's name", "what is drawn", true},
    {"x", "a column's name", "of xy and heatmap, as --x of `bitsweep plot`", false},
    {"y", "a column's name", "of the same, as --y", false},
    {"lines", "a column's name or a list of them", "of xy and kv_cache, as --lines", false},
    {"panels", "a column's name or a list of them", "of xy, kv_cache and heatmap, as --panels",
     false},
    {.name = NULL},
};

enum key { CHART, X, Y, LINES, PANELS, NUM_KEYS };

/* True for the name of a value of a trial or a linear. */
static bool is_value(const char *name, size_t length)
{
    const struct bs_value_type *type;
    const char *evaluation;
    for (int i = 0; (type = bs_value_type_at(i, &evaluation)); i++)
        if (strlen(type->name) == length && !strncmp(type->name, name, length))
            return true;
    for (int c = 0; (type = bs_metrics_linear_value_at(c)); c++)
        if (strlen(type->name) == length && !strncmp(type->name, name, length))
            return true;
    return false;
}

/* True where `text` is the name; of one with a `*`, where a value's name stands in its place. */
static bool is_chart(const char *name, const char *text)
{
    const char *star = strchr(name, '*');
    if (!star)
        return !strcmp(name, text);
    size_t before = (size_t)(star - name), after = strlen(star + 1), length = strlen(text);
    return length > before + after && !strncmp(text, name, before) &&
           !strcmp(text + length - after, star + 1) &&
           is_value(text + before, length - before - after);
}

/* Reports a name that no chart has. */
static bool check_name(struct bs_load *load, const struct bs_yaml_node *node)
{
    struct bs_names names = {0};
    bool known = false;
    for (int i = 0; load->charts && load->charts[i]; i++) {
        bs_names_add(&names, load->charts[i]);
        known |= node->text && is_chart(load->charts[i], node->text);
    }
    if (load->charts ? known : node->text != NULL)
        return true;
    char list[LIST_TEXT];
    bs_names_print(&names, node->text ? node->text : "", list, sizeof list);
    bs_load_wrong(load, "chart", node, load->charts ? list : "a name");
    return false;
}

/* The words of a list parted by commas, or of a text, which may have such already. NULL without
 * memory, "" after a report. */
static char *read_words(struct bs_load *load, const struct bs_yaml_node *node,
                        const struct bs_config_key *key, bool is_list)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    bool is_good = node->num_items || node->kind == BS_YAML_SCALAR;
    if (!out)
        return NULL;
    is_good =
        is_good && node->kind != BS_YAML_MAPPING && (is_list || node->kind != BS_YAML_SEQUENCE);
    for (int i = 0; is_good && i < bs_yaml_num_values(node); i++) {
        const struct bs_yaml_node *word = bs_yaml_value(node, i);
        is_good = word->text && *word->text && !bs_yaml_is_null(word);
        fprintf(out, "%s%s", i ? "," : "", is_good ? word->text : "");
    }
    char *words = bs_print_end(&printing);
    if (words && !is_good) {
        bs_load_wrong(load, key->name, node, key->allowed);
        *words = '\0';
    }
    return words;
}

/* What is said of a chart. */
static enum bs_status read_entry(struct bs_load *load, const struct bs_yaml_node *node,
                                 struct bs_chart_config *chart)
{
    char **texts[NUM_KEYS] = {&chart->name, &chart->x, &chart->y, &chart->lines, &chart->panels};
    if (!bs_load_section(load, "a chart", node, bs_chart_keys, NULL, NULL))
        return BS_OK;
    const struct bs_yaml_node *name = bs_yaml_get(node, bs_chart_keys[CHART].name);
    if (!name || !check_name(load, name))
        return BS_OK;
    for (int k = 0; k < NUM_KEYS; k++) {
        const struct bs_yaml_node *value = bs_yaml_get(node, bs_chart_keys[k].name);
        if (!value)
            continue;
        *texts[k] = read_words(load, value, &bs_chart_keys[k], k == LINES || k == PANELS);
        if (!*texts[k])
            return bs_fail_memory(load->err);
    }
    return BS_OK;
}

static bool is_same(const struct bs_chart_config *a, const struct bs_chart_config *b)
{
    /* lines and panels are not in the names of its files */
    return !strcmp(a->name, b->name) && bs_same_text(a->x, b->x) && bs_same_text(a->y, b->y);
}

static void release_chart(struct bs_chart_config *chart)
{
    bs_free(chart->name);
    bs_free(chart->x);
    bs_free(chart->y);
    bs_free(chart->lines);
    bs_free(chart->panels);
}

static enum bs_status read_chart(struct bs_load *load, const struct bs_yaml_node *node)
{
    struct bs_config *config = load->config;
    struct bs_chart_config chart = {.line = node->line, .column = node->column};
    enum bs_status status = BS_OK;
    if (node->kind == BS_YAML_MAPPING)
        status = read_entry(load, node, &chart);
    else if (check_name(load, node) && !(chart.name = bs_strdup(node->text)))
        status = bs_fail_memory(load->err);
    bool again = false;
    for (int i = 0; i < config->num_charts && chart.name; i++)
        again = again || is_same(&config->charts[i], &chart);
    if (again)
        bs_report_add(load->report, node->line, node->column,
                      "chart '%s' a second time, expected it once", chart.name);
    if (status || again || !chart.name)
        release_chart(&chart);
    else
        config->charts[config->num_charts++] = chart;
    return status;
}

enum bs_status bs_charts_read(struct bs_load *load, const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0) {
        bs_load_no_list(load, "charts", node, "a list of chart names, or no such key");
        return BS_OK;
    }
    load->config->charts = bs_calloc((size_t)node->num_items, sizeof *load->config->charts);
    if (!load->config->charts)
        return bs_fail_memory(load->err);
    enum bs_status status = BS_OK;
    for (int i = 0; !status && i < node->num_items; i++)
        status = read_chart(load, node->items[i]);
    return status;
}

void bs_charts_release(struct bs_config *config)
{
    for (int i = 0; i < config->num_charts; i++)
        release_chart(&config->charts[i]);
    bs_free(config->charts);
}
