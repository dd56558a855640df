/* What a written model is compared by: digests of its blocks' weights, what is outside the blocks,
 * and the figures of a text. */
#ifndef BS_EVAL_RUN_EXPORT_PROOF_H
#define BS_EVAL_RUN_EXPORT_PROOF_H

#include "eval/export/writer.h"
#include "eval/run/walk.h"

/* What the blocks were as they were written. */
struct bs_export_proof {
    const struct bs_architecture *architecture;
    const struct bs_writer *writer;
    int parts;                 /* of a block: its linears, then its norms */
    struct bs_digest *digests; /* [layers][parts] */
    bool rounded;              /* what reads the file rounds some of the values that it decodes */
    int matrices;              /* with codes */
};

/* BS_ENOMEM. */
enum bs_status bs_export_proof_init(struct bs_export_proof *proof,
                                    const struct bs_architecture *architecture,
                                    const struct bs_writer *writer, struct bs_error *err);
void bs_export_proof_release(struct bs_export_proof *proof);

/* Takes the digests of a block as the recipe has left it. BS_ENOMEM. */
enum bs_status bs_export_proof_take(struct bs_export_proof *proof, const struct bs_block *block,
                                    struct bs_error *err);

/* Compares the blocks of a model that was read back. BS_EDATA naming the first place that is not as
 * it was; BS_ENOMEM. */
enum bs_status bs_export_proof_compare(const struct bs_export_proof *proof,
                                       const struct bs_model *model, struct bs_error *err);

/* Compares what is outside the blocks of a model that was read back with what the export makes of
 * the unquantized one's; adds quantized matrices to the proof's count. As bs_export_proof_compare.
 */
enum bs_status bs_export_proof_compare_outer(struct bs_export_proof *proof,
                                             const struct bs_export *export,
                                             const struct bs_model *model, struct bs_error *err);

/* What is measured of a model that was read back: the recipe's activations, of weights as they are.
 * BS_ENOMEM. */
enum bs_status bs_export_proof_recipe(const struct bs_recipe *recipe, struct bs_recipe *as_written,
                                      struct bs_error *err);

/* exp of the mean NLL over what is scored of a text that the variant was measured on; and whether
 * two have the same NLL everywhere, bit for bit. */
double bs_export_perplexity(const struct bs_variant *variant, const struct bs_windows *windows,
                            int text);
bool bs_export_same_nll(const struct bs_variant *a, const struct bs_variant *b,
                        const struct bs_windows *windows, int text);

#endif
