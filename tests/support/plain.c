#include "tests/support/plain.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "eval/base/mem.h"

void plain_nll(const struct bs_model *model, const struct bs_outer_rounding *rounding,
               const int32_t *ids, int tokens, double *nll)
{
    struct bs_error err;
    const struct bs_architecture *a = bs_model_architecture(model);
    int vocab = a->vocab_size;
    struct bs_rope *rope = bs_rope_create(a, &tokens, 1);
    size_t product = bs_gemm_nt_packed_floats(vocab, a->embedding_size);
    struct bs_scratch *scratch = bs_scratch_create(1, bs_block_scratch_floats(a, tokens) + product);
    float *x = bs_alloc((size_t)(tokens * a->hidden_size), sizeof *x);
    float *logits = bs_alloc((size_t)(tokens * vocab), sizeof *logits);
    struct bs_head head;
    assert_int_equal(bs_head_load(model, vocab, 1 << BS_FLOAT32, rounding, &head, &err), BS_OK);
    assert_int_equal(bs_model_embed(model, rounding, ids, 1, tokens, x, &err), BS_OK);
    for (int b = 0; b < a->num_layers; b++) {
        struct bs_block block;
        assert_int_equal(bs_block_load(model, b, &block, &err), BS_OK);
        bs_block_forward(&block, rope, x, x, tokens, NULL, scratch);
        bs_block_release(&block);
    }
    bs_head_inputs(&head, x, tokens, x, scratch);
    bs_head_logits(&head, BS_FLOAT32, x, tokens, 0, logits, scratch);
    for (int t = 0; t + 1 < tokens; t++) {
        double sum = 0;
        for (int v = 0; v < vocab; v++)
            sum += exp((double)logits[t * vocab + v]);
        nll[t] = log(sum) - (double)logits[t * vocab + ids[t + 1]];
    }
    bs_head_release(&head);
    bs_free(logits);
    bs_free(x);
    bs_scratch_free(scratch, 1);
    bs_rope_free(rope);
}
