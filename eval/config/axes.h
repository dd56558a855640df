/* The keys of a grid as axes: each sets one thing of a recipe to each of its values. Whatever the
 * plug-ins that a grid names have as an option is an axis. */
#ifndef BS_EVAL_CONFIG_AXES_H
#define BS_EVAL_CONFIG_AXES_H

#include "eval/config/load.h"

/* A setting of a grid, of one value or of several. */
struct bs_axis {
    int scope;   /* of the axes; -1: an option of the recipe or of its algorithms */
    bool choice; /* it chooses a plug-in, whose options other axes set */
    const char *name;
    int line, column; /* of its values */
    int count;
    char **texts;            /* [count] its values as options read them; owned */
    struct bs_lines without; /* what of the product it does not apply to: formats, ranges */
};

/* What a setting is read from: `weights:` or `activations:` of the grid or of an exception;
 * `kv_cache:`, which is of keys and values both, and what it says of one. */
struct bs_axes_scope {
    enum bs_use use;
    int cached;                       /* of a cache: enum bs_cached; BS_NUM_CACHED = of both */
    const struct bs_yaml_node *where; /* of activations and exceptions; NULL = as is usual */
    bool exception;
    bool unnamed; /* it sets options without naming a format: the first one is meant */
    bool unsure;  /* a name in it is wrong: any option may be meant */
    const struct bs_yaml_node *names[2]; /* of formats and of ranges; NULL = none */
};

/* The axes of a grid, by what they set. */
struct bs_axes {
    int num_scopes, num_axes;
    struct bs_axes_scope *scopes; /* weights, activations, cache, then exceptions in the file's
                                     order */
    struct bs_axis *axes;         /* settings first, as a reader lists them */
    bool broken;                  /* an error was reported */
};

/* Reads all keys of a grid but `algorithm` and `model`; `named` are the algorithms of its chains
 * (NULL-terminated). Where `sure` is false one of them is unknown, and any option may be its own.
 * BS_ENOMEM. */
enum bs_status bs_axes_read(struct bs_load *load, const struct bs_yaml_node *grid,
                            const struct bs_algorithm *const *named, bool sure,
                            struct bs_axes *axes);
void bs_axes_release(struct bs_axes *axes);

/* Points of the product for a recipe of these algorithms, or more than `most` where it exceeds
 * that. */
long bs_axes_points(const struct bs_axes *axes, const struct bs_recipe *recipe, long most);

/* The first of the axes over `name` of a setting that has a value other than `usual`, and that
 * value's text; NULL where there is none. */
const struct bs_axis *bs_axes_asks(const struct bs_axes *axes, const char *name, const char *usual,
                                   const char **text);

/* Whether some setting of this use says what it is rounded to, or that it is not: format, bits or
 * mix. */
bool bs_axes_name_format(const struct bs_axes *axes, enum bs_use use);

/* Sets the recipe to one point, the last axis the fastest. *known: another point is the same, as
 * the value is of an option that nothing here has; what does not have it is noted in the axis.
 * BS_ENOMEM. */
enum bs_status bs_axes_apply(struct bs_axes *axes, long point, struct bs_recipe *recipe,
                             bool *known, struct bs_error *err);

/* Notes what of a grid does not look at an option of its settings (bs_setting_deaf), from a recipe
 * of the product that was resolved; those of exceptions are not looked at. BS_ENOMEM. */
enum bs_status bs_axes_note_idle(struct bs_axes *axes, struct bs_recipe *recipe,
                                 struct bs_error *err);

/* Adds a line for each axis that does not apply to all formats or ranges of the product. BS_ENOMEM.
 */
enum bs_status bs_axes_tell(const struct bs_axes *axes, const struct bs_report *report,
                            struct bs_lines *lines, struct bs_error *err);

#endif
