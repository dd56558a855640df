#include "tests/support/logits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

/* out [windows][tokens][hidden_size]. */
static void embed(const struct bs_model *model, const struct bs_windows *text, float *out)
{
    struct bs_error err;
    assert_int_equal(bs_model_embed(model, NULL, text->ids, text->windows, text->tokens, out, &err),
                     BS_OK);
}

static void check(enum bs_status status, const struct bs_error *err)
{
    if (status)
        fail_msg("%s", err->message);
}

float *logits_of(const struct bs_model *model, const struct bs_windows *text)
{
    const struct bs_architecture *a = bs_model_architecture(model);
    struct bs_error err;
    struct bs_block block;
    struct bs_head head;
    int tokens = text->tokens;
    size_t head_floats = bs_scratch_floats((size_t)tokens * (size_t)a->hidden_size) +
                         bs_gemm_nt_packed_floats(a->vocab_size, a->embedding_size);
    float *x = bs_alloc((size_t)(text->windows * tokens) * (size_t)a->hidden_size, sizeof *x);
    float *logits = bs_alloc((size_t)tokens * (size_t)a->vocab_size, sizeof *logits);
    struct bs_rope *rope = bs_rope_create(a, &tokens, 1);
    struct bs_scratch *scratch =
        bs_scratch_create(1, bs_block_scratch_floats(a, tokens) + head_floats);
    assert_true(x && logits && rope && scratch);
    embed(model, text, x);
    for (int b = 0; b < a->num_layers; b++) {
        check(bs_block_load(model, b, &block, &err), &err);
        bs_block_forward(&block, rope, x, x, tokens, NULL, scratch);
        bs_block_release(&block);
    }
    check(bs_head_load(model, a->vocab_size, 1 << BS_FLOAT32, NULL, &head, &err), &err);
    float *in = bs_alloc((size_t)tokens * (size_t)a->embedding_size, sizeof *in);
    assert_non_null(in);
    bs_head_inputs(&head, x, tokens, in, scratch);
    bs_head_logits(&head, BS_FLOAT32, in, tokens, 0, logits, scratch);
    bs_free(in);
    bs_head_release(&head);
    bs_scratch_free(scratch, 1);
    bs_rope_free(rope);
    bs_free(x);
    return logits;
}
