/* What the parts of a config are read with: a mapping's keys and options, and what is wrong. */
#ifndef BS_EVAL_CONFIG_LOAD_H
#define BS_EVAL_CONFIG_LOAD_H

#include "eval/config/config.h"
#include "eval/config/report.h"
#include "eval/config/yaml.h"

/* The state of one load. */
struct bs_load {
    struct bs_config *config;
    struct bs_report *report;
    const char *const *charts; /* that may be named; NULL = any */
    struct bs_error *err;
};

/* What `lines` is to a text. */
extern const char bs_lines_help[];

/* Reports "what is <found>, expected <allowed>". */
void bs_load_wrong(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                   const char *allowed);

/* The same with "an empty list" where it is one. */
void bs_load_no_list(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                     const char *allowed);

/* Reports an option that is given although another one leaves it without meaning. */
void bs_load_idle(struct bs_load *load, const struct bs_yaml_node *node, const char *name,
                  bool idle, const char *why);

/* Checks a mapping's keys against keys and options, and reads the options into values. False where
 * the node is no mapping. */
bool bs_load_section(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                     const struct bs_config_key *keys, const struct bs_option *options,
                     void *values);

/* Options and where they are read to. */
struct bs_load_target {
    const struct bs_option *options;
    void *values;
};

/* The same with several tables of options. */
bool bs_load_targets(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                     const struct bs_config_key *keys, const struct bs_load_target *targets,
                     int num_targets);

/* Reads the text below `key` where it is there, into new memory; what is missing was reported by
 * bs_load_section. Only a join may be empty. BS_ENOMEM. */
enum bs_status bs_load_text(struct bs_load *load, const struct bs_yaml_node *node,
                            const struct bs_config_key *key, char **text);

/* The numerics called what the node says; NULL after a report. */
const struct bs_numerics *bs_load_numerics(struct bs_report *report,
                                           const struct bs_yaml_node *node);

/* Whether both are the same text, or none. */
bool bs_same_text(const char *a, const char *b);

/* `calibration:`, one mapping or a list of them, and `evaluation:` into the config. BS_ENOMEM. */
enum bs_status bs_calibrations_read(struct bs_load *load, const struct bs_yaml_node *node);
enum bs_status bs_evaluation_read(struct bs_load *load, const struct bs_yaml_node *node);
void bs_calibration_release(struct bs_calibration_config *calibration);
void bs_evaluation_release(struct bs_evaluation_config *evaluation);

/* `export:`, a list of mappings, into the config. BS_ENOMEM. */
enum bs_status bs_exports_read(struct bs_load *load, const struct bs_yaml_node *node);
void bs_exports_free(struct bs_export_config *exports, int count);

#endif
