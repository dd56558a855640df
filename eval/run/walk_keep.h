/* A walk kept in a file, its checkpoint, so that it goes on from there after any end.
 *
 * The file has a seal (eval/store/seal.h) of the first line "bitsweep checkpoint of a walk"; then
 * what the numbers depend on (a text); then where the walk is and what it holds: for every recipe
 * what it has brought so far and its streams, and the unquantized model's. It is written aside and
 * renamed. It is this machine's: numbers stand as they do in memory. */
#ifndef BS_EVAL_RUN_WALK_KEEP_H
#define BS_EVAL_RUN_WALK_KEEP_H

#include "eval/base/file.h"
#include "eval/data/windows.h"
#include "eval/run/walk.h"

enum { BS_KEEP_SECONDS = 45, BS_KEEP_COST = 40, BS_KEEP_IDENTITY = 2048 };

/* When and where a walk is kept. */
struct bs_keeping {
    char *path;
    char identity[BS_KEEP_IDENTITY]; /* bs_keep_identify */
    /* Seconds from one checkpoint to the next; below 0: BS_KEEP_SECONDS, or BS_KEEP_COST times what
     * the last one took where that is more, so that they take at most a fortieth of the time. */
    double interval;
    /* Called after each attempt: `err` NULL where the walk is now kept. */
    void (*kept)(void *context, const struct bs_walk_place *place, const struct bs_error *err);
    void *context;
    /* The walk's own: */
    double ended, cost;     /* of the last attempt */
    double paused, longest; /* when the step at hand began; seconds of the longest one so far */
    bool fresh;             /* nothing has been done since */
};

/* What the numbers of a walk depend on besides the trials of its variants: the windows and the
 * texts it goes over, and `machine`, which names all whose numbers are the same. */
void bs_keep_identify(struct bs_keeping *keeping, const struct bs_walk *walk, const char *machine);

/* A checkpoint that was found whole and is of this identity. */
struct bs_kept {
    struct bs_map map;
    size_t records; /* where those of its variants begin */
    struct bs_walk_place place;
    int num_variants;
};

/* BS_EIO where there is none (kept->map.data NULL and an empty message) or it cannot be read;
 * BS_EDATA, with a message that says why, where it is damaged, of other trials, or somebody else's
 * file. */
enum bs_status bs_kept_open(const struct bs_keeping *keeping, struct bs_kept *kept,
                            struct bs_error *err);
void bs_kept_close(struct bs_kept *kept);

/* The variant that is on its way to all the trials of `ids` (NULL where a text has none), counted
 * from 0, the unquantized model; -1 where there is none, or no id. */
int bs_kept_find(const struct bs_kept *kept, const char *const ids[BS_WALK_TEXTS]);

/* To be called as a walk begins. */
void bs_keep_begin(struct bs_keeping *keeping);

struct bs_walk_state;

/* Between two steps of a walk: keeps it where it is time, or where a signal or the time limit asks
 * to stop; then BS_ESTOPPED. That it could not be kept is no error of the walk. */
enum bs_status bs_walk_pause(struct bs_walk_state *s, struct bs_error *err);

/* Brings a walk whose results are allocated to where `kept` has it, streams included. Every
 * variant but the first is held by it. BS_ENOMEM; BS_EIO as bs_spill_create. */
enum bs_status bs_walk_restore(struct bs_walk_state *s, const struct bs_kept *kept,
                               struct bs_error *err);

#endif
