/* Number formats and ranges as plug-ins. */
#ifndef BS_EVAL_QUANT_FORMAT_H
#define BS_EVAL_QUANT_FORMAT_H

#include "eval/quant/setting.h"

/* A number format. Hooks may be NULL where nothing is said of it. */
struct bs_format {
    struct bs_plugin plugin;

    /* Whether these options leave values as they are. NULL = never. */
    bool (*idle)(const void *options);

    /* Settles what is still `auto` by the format's own rule, then refuses options that do not fit
     * together. BS_ECONFIG. */
    enum bs_status (*resolve)(void *options, enum bs_use use, struct bs_error *err);

    /* The options as short as they can be said, without those that are as in `natural`. `sharing`,
     * the word for who shares a scale, stands after the format's name; NULL for weights. NULL: the
     * name, and "option=value". */
    void (*print_short)(const void *options, const void *natural, const char *sharing, FILE *out);
};

/* What finds the extremes that a scale is fitted to. */
struct bs_range {
    struct bs_plugin plugin;
};

#endif
