/* The names of the Hugging Face cache: environment, folders, and which names may become paths.
 * Whatever a server or a config says is checked here before it is part of a path. */
#ifndef BS_EVAL_HUB_LAYOUT_H
#define BS_EVAL_HUB_LAYOUT_H

#include <stdbool.h>

#include "eval/hub/hub.h"

enum { BS_HUB_COMMIT_DIGITS = 40 };

/* "main": what a NULL revision means. */
extern const char bs_hub_main[];

/* The variable's value, or NULL where it is not set or empty. */
const char *bs_hub_variable(const char *name);

/* HF_HOME or what stands for it, in new memory; errors as bs_hub_cache_folder. */
enum bs_status bs_hub_home(char **path, struct bs_error *err);

/* True for "name" and "org/name" in the letters the hub allows. */
bool bs_hub_is_repository(const char *name);

/* True for a relative path that stays below its folder: no empty, "." or ".." component, no
 * control character, no backslash. Also the rule for revisions, which become paths of refs. */
bool bs_hub_is_inside(const char *path);

/* True for one component of a path in letters, digits, '.', '_' and '-', not beginning with '.'. */
bool bs_hub_is_plain(const char *name);

/* True for `digits` lower-case hexadecimal digits. */
bool bs_hub_is_hex(const char *text, int digits);

/* Splits "org/name@revision" into new memory; *revision is NULL where there is none. BS_EIO where
 * it is no hub name. */
enum bs_status bs_hub_split(const char *name, char **repository, char **revision,
                            struct bs_error *err);

/* "models--org--name", in new memory; NULL when memory runs out. */
char *bs_hub_folder_name(enum bs_repo_kind kind, const char *repository);

/* <cache>/models--org--name, in new memory. */
enum bs_status bs_hub_repository_folder(enum bs_repo_kind kind, const char *repository, char **path,
                                        struct bs_error *err);

/* <HF_HOME>/bitsweep/<path>: where a file goes that is not on the hub; in new memory. */
enum bs_status bs_hub_url_file(const struct bs_remote *remote, char **path, struct bs_error *err);

#endif
