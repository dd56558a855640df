/* The walk: one pass over the blocks, in order, that carries the unquantized model (stream 0) and
 * several recipes along. */
#ifndef BS_EVAL_RUN_WALK_H
#define BS_EVAL_RUN_WALK_H

#include "eval/recipe/recipe.h"
#include "eval/data/windows.h"
#include "eval/run/importance.h"
#include "eval/run/layer_error.h"
#include "eval/store/results.h"
#include "eval/tasks/figure.h"

/* Texts: what evaluations ask of the model, the requests of one each. */
enum { BS_WALK_TEXTS = 16 };

/* A variant of the model: one recipe, or another model, on its way, and what came of it. */
struct bs_variant {
    const struct bs_recipe *recipe; /* borrowed; without steps: stream 0 itself, or `model` */
    const struct bs_model
        *model;                 /* borrowed; NULL: the walk's. Another one of the same shape as its
                                       files have it, which is compared with the walk's */
    bool wanted[BS_WALK_TEXTS]; /* texts to evaluate */
    const char
        *ids[BS_WALK_TEXTS]; /* of the trials that these are, borrowed; for a walk that is kept */
    /* Filled by the walk: */
    enum bs_status status; /* a variant that fails leaves the walk, the others go on */
    char message[512];
    int num_layers;
    struct bs_layer_row *layers;     /* [num_layers], in the order of the walk */
    struct bs_layer_totals totals;   /* over all linears */
    struct bs_channel_list channels; /* of the walk's channel_sites; of the unquantized model too */
    double linear_bits;              /* that the quantized linears take in a file */
    double linear_weights;
    struct bs_figures figures[BS_WALK_TEXTS]; /* [windows][tokens - 1] of the text */
    double seconds_quantize, seconds_evaluate;
};

/* Gives back what the walk filled in. */
void bs_variant_release(struct bs_variant *variant);

/* How far a walk is: so many blocks, of the next one so many variants; after the last block so
 * many texts, of the next one so many windows. */
struct bs_walk_place {
    int block, variant, text, window;
};

struct bs_keeping;
struct bs_kept;

enum { BS_WALK_FIGURES = 1 << BS_NLL | 1 << BS_KLD | 1 << BS_SAME_TOP };

/* What a walk is asked for. All borrowed. */
struct bs_walk {
    const struct bs_model *model;
    const struct bs_windows *calibration; /* NULL where no recipe needs it */
    int num_texts;
    const struct bs_windows *texts; /* [num_texts] */
    const unsigned *figures;        /* [num_texts], bits 1 << enum bs_figure that are taken; NULL =
                                     * BS_WALK_FIGURES */
    int layer_error_windows;        /* of the first text; 0 = no per-linear errors */
    /* Sites whose channels' largest values are taken over so many windows of the first text, which
     * are of one length, in variants that are wanted of it. */
    int channel_windows, num_channel_sites;
    char *const *channel_sites;
    const struct bs_importance_files *importance; /* that recipes name; NULL = none */
    const char *scratch;        /* directory that holds the streams; NULL = memory does */
    struct bs_keeping *keeping; /* walk_keep.h; NULL = the walk is not kept */
    const struct bs_kept *kept; /* where it goes on; NULL = it begins */
    /* Called when all trials of a text are measured, or (text -1) after a block by which a
     * variant has failed; what it returns ends the walk. May be NULL. */
    enum bs_status (*measured)(void *context, int text, struct bs_error *err);
    void *measured_context;
    /* Called with each block as a variant's recipe has left it, before its windows go on; what it
     * returns fails the variant. `original` is the block as the model has it. May be NULL. */
    enum bs_status (*quantized)(void *context, const struct bs_variant *variant,
                                const struct bs_block *original, const struct bs_block *block,
                                struct bs_error *err);
    void *quantized_context;
    double quantized_bytes; /* that `quantized` holds at most while it is at work */
    /* Called now and then from the calling thread; may be NULL. */
    void (*progress)(void *context, int done, int total);
    void *progress_context;
};

/* What is taken at the predicted tokens of a text. */
unsigned bs_walk_figures(const struct bs_walk *walk, int text);

/* Carries the variants from the embedding, or from where the walk was kept, to the logits. BS_OK
 * even where variants failed; an error is one that stops the whole walk, BS_ESTOPPED where a
 * signal asked to (base/stop.h). */
enum bs_status bs_walk_run(const struct bs_walk *walk, struct bs_variant *variants,
                           int num_variants, struct bs_error *err);

#endif
