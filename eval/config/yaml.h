/* A YAML file as a tree of nodes that know their place. A thin layer over libfyaml's event parser,
 * which hides the library's types and keeps its messages off stderr. */
#ifndef BS_EVAL_CONFIG_YAML_H
#define BS_EVAL_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/config/report.h"

enum bs_yaml_kind { BS_YAML_SCALAR, BS_YAML_SEQUENCE, BS_YAML_MAPPING };

/* Limits far above any config, so that a wrong or hostile file is refused soon. */
enum {
    BS_YAML_MAX_DEPTH = 32,
    BS_YAML_MAX_NODES = 10000,
    BS_YAML_MAX_BYTES = 1 << 20,
    BS_YAML_MAX_BLANK_LINES = 100 /* in a row */
};

/* A value of the file, with its place. */
struct bs_yaml_node {
    enum bs_yaml_kind kind;
    int line, column; /* from 1; an anchored node keeps its place wherever an alias repeats it; of
                         line -k what the k-th setting of the command line has put there */
    char *text;       /* of a scalar, else NULL */
    bool quoted;
    int num_items; /* elements of a sequence; keys and values, in turn, of a mapping */
    struct bs_yaml_node **items;
};

struct bs_yaml;

/* Parses `size` bytes at `text`; `path` is for messages. One document in UTF-8, without tags. A
 * file that is no such YAML is BS_ECONFIG, "path:line:col: error: ..."; BS_ENOMEM. */
enum bs_status bs_yaml_parse(const char *path, const char *text, size_t size, struct bs_yaml **yaml,
                             struct bs_error *err);
void bs_yaml_free(struct bs_yaml *yaml);

/* Never NULL. */
const struct bs_yaml_node *bs_yaml_root(const struct bs_yaml *yaml);

/* The same, whose places may be set. */
struct bs_yaml_node *bs_yaml_edit(struct bs_yaml *yaml);

/* Reports every mapping's keys that are no scalar or stand twice. */
void bs_yaml_check_keys(const struct bs_yaml *yaml, struct bs_report *report);

/* The value of the first such key, or NULL; NULL too where the node is no mapping. */
const struct bs_yaml_node *bs_yaml_get(const struct bs_yaml_node *node, const char *key);

/* A list's elements; anything else is a list of itself alone. */
int bs_yaml_num_values(const struct bs_yaml_node *node);
const struct bs_yaml_node *bs_yaml_value(const struct bs_yaml_node *node, int i);

/* True for no value at all, `null` and `~`. */
bool bs_yaml_is_null(const struct bs_yaml_node *node);

/* What a message says was found: "'0.5'", "nothing", "a list", "a mapping". */
void bs_yaml_print_found(const struct bs_yaml_node *node, char *out, size_t size);

#endif
