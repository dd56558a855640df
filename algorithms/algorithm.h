/* The interface of a quantization algorithm: a const struct in a file of its own, and a line in
 * registry.c. An algorithm sees a block, statistics of its inputs and a format; it does not know
 * the model family, the config file, the result file or the other algorithms. */
#ifndef BS_ALGORITHMS_ALGORITHM_H
#define BS_ALGORITHMS_ALGORITHM_H

#include "eval/base/plugin.h"
#include "eval/statistics/calibrate.h"

/* A hook that tries versions of the weights that read a site on all its windows may hold
 * bs_side_by_side(windows, BS_MOST_VERSIONS) of them. */
enum { BS_MOST_VERSIONS = 4 };

/* What a hook works with. All borrowed; block is the hook's to change. */
struct bs_job {
    struct bs_block *block;
    struct bs_statistics *statistics; /* what `needs` asked for, NULL where that is nothing; perhaps
                                         other trials' too: only what is derived is added */
    const struct bs_setting *const *weights; /* what each slot's weight is rounded to */
    const struct bs_setting *const *sites;   /* what each value is; NULL: none is rounded */
    const struct bs_shared *shared; /* of a checkpoint's tensor that this linear is part of, for
                                       bs_codes_fit_tensor; NULL where there is no such thing */
    const float *importance; /* [in], of the file that this linear's setting names; NULL where it
                                names none, or that has none for it */
    /* What the chain's prepare_model has made of no change; NULL where no step has that hook. */
    const struct bs_bases *residual;
    const struct bs_rope *rope;
    struct bs_scratch *scratch; /* one a thread: bs_block_scratch_floats of a calibration window */
};

/* What the hooks' work is counted from, beside the options. */
struct bs_extent {
    const struct bs_architecture *architecture;
    int layer;                               /* the one in question */
    const struct bs_setting *const *weights; /* by slots, of that layer */
    const struct bs_setting *const *sites;   /* by values, the same */
    int windows, tokens;                     /* of calibration; 0 where there is none */
    double passed; /* tokens that go through the block on their way to the figures */
};

/* What a block takes of the machine. */
struct bs_cost {
    double flops; /* multiply-adds times two, of matrix products and what is near to them */
    double
        weights; /* that are gone over one by one, each time they are rounded, scaled or compared */
    double bytes; /* held while one linear is rounded, beside statistics and what is made of them:
                     of the linear that takes most. A hook raises it to its own */
};

/* How far an algorithm's calibration inputs have come. */
enum bs_calibrate_on {
    BS_ON_UNQUANTIZED, /* through the unquantized model (AWQ, SmoothQuant) */
    BS_ON_QUANTIZED,   /* through this trial's own earlier blocks (GPTQ) */
    BS_ON_AUTO,        /* as the algorithm's authors do */
};

/* Hooks are optional and called in this order. */
struct bs_algorithm {
    struct bs_plugin plugin;
    const struct bs_preference *preferences; /* of its authors, for formats; NULL = none */
    enum bs_calibrate_on calibrate_on;
    bool weighs_by_file; /* a weight's errors count by bs_job.importance, of inputs as they are */
    bool without_codes;  /* quantize may round in a basis that no file has: bs_linear.file_bits */

    /* Refuses options that cannot work with this format. BS_ECONFIG. */
    enum bs_status (*check)(const void *options, const struct bs_setting *weights,
                            struct bs_error *err);

    /* Refuses a model that cannot be rewritten so, before any of its weights is loaded.
     * BS_EUNSUPPORTED. NULL = none is refused. */
    enum bs_status (*check_model)(const void *options, const struct bs_architecture *architecture,
                                  struct bs_error *err);

    /* Adds what prepare_block or quantize will look at in the block of wanted->architecture, whose
     * weights are rounded as wanted->weights says, and what they make of it. Nothing is asked for
     * where nothing is done with it: quantize is called only for weights that are rounded. NULL =
     * nothing. */
    void (*needs)(const void *options, struct bs_wanted *wanted);

    /* True where the linears of a block are to be quantized input by input, the statistics of each
     * taken after the linears that read the inputs before it were quantized. NULL = false. */
    bool (*set_by_set)(const void *options);

    /* Changes the basis of the residual stream: adds to what is no change yet. Embeddings and
     * output matrix follow, as two where they were one; prepare_block does the same to every block
     * (bs_block_turn_residual). BS_EUNSUPPORTED where the model has no such basis. NULL = the
     * checkpoint's. One step of a chain may do that. */
    enum bs_status (*prepare_model)(const void *options, const struct bs_architecture *architecture,
                                    struct bs_bases *residual, struct bs_error *err);

    /* Rewrites a block so that it computes the same function, or nearly. Factors and turns of
     * channels go through bs_block_fold, bs_block_turn and their like (model.h), which keep a
     * record of them. */
    enum bs_status (*prepare_block)(const void *options, const struct bs_job *job,
                                    struct bs_error *err);

    /* Chooses the codes of the linear in this slot of the program: allocates and fills
     * linear->codes, leaves linear->weight to the caller, who decodes it; or, `without_codes`,
     * rounds linear->weight itself and says in linear->file_bits what the codes take. Its input is
     * the site that the slot names. */
    enum bs_status (*quantize)(const void *options, const struct bs_job *job, int slot,
                               struct bs_error *err);

    /* Adds what the hooks above compute at one block: what they do once they are given what `needs`
     * names. The passes that statistics are taken on, the statistics and the factors of Hessians
     * are not counted: others may share them. NULL = nothing to speak of. */
    void (*cost)(const void *options, const struct bs_extent *extent, struct bs_cost *cost);
};

/* All algorithms. */
extern const struct bs_registry bs_algorithm_registry;

/* The i-th algorithm of the registry, NULL beyond its end; the one called `name`, or NULL. */
const struct bs_algorithm *bs_algorithm_at(int i);
const struct bs_algorithm *bs_algorithm_find(const char *name);

/* What a chain without a rounding step rounds with: to nearest. */
const struct bs_algorithm *bs_algorithm_usual(void);

/* The algorithm of a choice of one. */
const struct bs_algorithm *bs_algorithm_of(const struct bs_choice *choice);

#endif
