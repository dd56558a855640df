#include "eval/config/yaml_product.h"

#include "eval/base/mem.h"

static int choices_of(const struct bs_yaml_node *value)
{
    return value->kind == BS_YAML_SEQUENCE && value->num_items > 0 ? value->num_items : 1;
}

long bs_yaml_points(const struct bs_yaml_node *mapping, long most)
{
    long points = 1;
    for (int i = 1; i < mapping->num_items && points <= most; i += 2)
        points *= choices_of(mapping->items[i]);
    return points;
}

enum bs_status bs_yaml_each_point(const struct bs_yaml_node *mapping,
                                  enum bs_status (*visit)(void *context,
                                                          const struct bs_yaml_node *point),
                                  void *context, struct bs_error *err)
{
    struct bs_yaml_node point = *mapping;
    point.items = bs_alloc((size_t)mapping->num_items, sizeof *point.items);
    if (!point.items)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    long points = bs_yaml_points(mapping, 1L << 30);
    for (long p = 0; p < points && !status; p++) {
        long left = p;
        for (int i = mapping->num_items - 1; i >= 0; i--) {
            const struct bs_yaml_node *value = mapping->items[i];
            point.items[i] = mapping->items[i];
            if (i % 2 == 0 || value->kind != BS_YAML_SEQUENCE || !value->num_items)
                continue;
            point.items[i] = value->items[left % value->num_items];
            left /= value->num_items;
        }
        status = visit(context, &point);
    }
    bs_free(point.items);
    return status;
}
