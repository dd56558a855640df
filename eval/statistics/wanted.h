/* What calibration is to collect: sets of wishes (statistic, site, detail), which merge, contain
 * and compare, so that what several trials share falls out. */
#ifndef BS_EVAL_STATISTICS_WANTED_H
#define BS_EVAL_STATISTICS_WANTED_H

#include "eval/model/model.h"
#include "eval/statistics/statistic.h"

/* What a hook makes of a statistic and leaves with it, so that all who want the same share it: the
 * factor of a Hessian, say. A const struct with its maker. */
struct bs_derived;
struct bs_derivation {
    const struct bs_statistic *of;
    bool in_stream; /* what is made is in a stream, where the calibration inputs are */
    bool in_place;  /* it is written over the statistic, where that is not shared */

    /* Bytes of it, for a site of this extent. */
    double (*bytes)(const struct bs_architecture *architecture, const struct bs_observed *of);

    /* Multiply-adds times two of making it. NULL = counted by its maker's `cost`. */
    double (*flops)(const struct bs_observed *of);

    void (*free)(struct bs_derived *derived);
};

/* Numbers that tell what a derivation makes from what it makes else: what they mean is its
 * affair. */
struct bs_derived_choice {
    double numbers[2];
};

/* The first member of what a derivation makes. */
struct bs_derived {
    const struct bs_derivation *derivation;
    struct bs_derived_choice choice;
    struct bs_derived *next; /* of the same statistic at the same site */
};

/* Instead of a site: every one that linears read; every one of them that bs_rounds_readers of. */
enum { BS_EVERY_SITE = -1, BS_ROUNDED_SITES = -2 };

/* Whether any of the weights that read a site is rounded; weights: what each slot's is rounded
 * to. */
bool bs_rounds_readers(const struct bs_program *program, const struct bs_setting *const *weights,
                       int site);

/* One thing that is wanted: a statistic at a site, or what is made of it. */
struct bs_wish {
    const struct bs_statistic *statistic;
    int site; /* value of the block's program */
    int detail;
    /* What is made of it, beside the wish for the statistic itself; NULL = that wish. */
    const struct bs_derivation *derivation;
    struct bs_derived_choice choice;
};

/* A set; zero but for the architecture is an empty one. */
struct bs_wanted {
    /* Of the block that is looked at. NULL where no model is known yet: then all that is kept is
     * whether anything is wanted. */
    const struct bs_architecture *architecture;
    int layer; /* of it, that the block is */
    /* By slots, what the layer's weights are rounded to: a hook asks where it has work to do.
     * Borrowed; NULL in a set that no hook is asked to fill. */
    const struct bs_setting *const *weights;
    bool importance; /* where no model is known yet: some weights are to be rounded by importance */
    bool any, compares; /* compares: with the unquantized model's values at a site */
    int count, room;
    struct bs_wish *wishes; /* no two the same */
    bool failed;            /* memory ran out, and some wishes are missing */
};
void bs_wanted_release(struct bs_wanted *wanted);

/* Adds a wish. Where memory runs out the set is marked: bs_wanted_check. */
void bs_want(struct bs_wanted *wanted, const struct bs_statistic *statistic, int site, int detail);

/* The same, with what is made of it. */
void bs_want_derived(struct bs_wanted *wanted, const struct bs_derivation *derivation, int site,
                     int detail, struct bs_derived_choice choice);

/* Adds all wishes of `more`; those at one site. */
void bs_wanted_merge(struct bs_wanted *to, const struct bs_wanted *more);
void bs_wanted_merge_site(struct bs_wanted *to, const struct bs_wanted *more, int site);

/* The program of the block that is looked at. */
const struct bs_program *bs_wanted_program(const struct bs_wanted *wanted);

/* True where anything is wanted; where any statistic of it compares; where `have` has every
 * statistic that `wanted` asks for. */
bool bs_wanted_any(const struct bs_wanted *wanted);
bool bs_wanted_compares(const struct bs_wanted *wanted);
bool bs_wanted_within(const struct bs_wanted *wanted, const struct bs_wanted *have);

/* BS_ENOMEM where the set is not whole. */
enum bs_status bs_wanted_check(const struct bs_wanted *wanted, struct bs_error *err);

/* The extent of what a wish looks at, in a block of this program. */
struct bs_observed bs_observed_at(const struct bs_program *program, const struct bs_wish *wish,
                                  int windows, int tokens);

/* Floats that a pass needs on each thread to show the wish attention's probabilities of a window; 0
 * where it looks at another site. */
double bs_probabilities_floats(const struct bs_program *program, const struct bs_wish *wish,
                               int tokens);

/* The site at which a pass has shown all that is wanted; the first input of linears where nothing
 * is. */
int bs_wanted_last(const struct bs_wanted *wanted);

/* Whether both ask for the same derivation. */
bool bs_same_choice(struct bs_derived_choice a, struct bs_derived_choice b);

#endif
