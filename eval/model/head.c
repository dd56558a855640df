/* What stands behind the blocks: the final norm and the output matrix. */
#include "eval/model/model.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/packed.h"
#include "eval/linalg/vector.h"

void bs_head_inputs(const struct bs_head *head, const float *x, int tokens, float *in,
                    struct bs_scratch *scratch)
{
    const struct bs_architecture *a = head->architecture;
    int hidden = a->hidden_size, width = a->embedding_size;
    size_t mark = scratch->used, count = (size_t)tokens * (size_t)hidden;
    float *normed = head->project ? bs_scratch_take(scratch, count) : in;
    if (head->norm.width)
        bs_norm_apply(a, &head->norm, x, normed, tokens);
    else
        memcpy(normed, x, count * sizeof *normed);
    if (head->project)
        bs_gemm_nt(tokens, width, hidden, 1, normed, hidden, head->project, hidden, 0, in, width);
    scratch->used = mark;
}

/* What is done to the products of the head: logits [tokens][count] of the ids from `first` on. */
static void finish_logits(const struct bs_head *head, int tokens, int first, int count,
                          float *logits)
{
    float cap = head->architecture->logit_softcap;
    for (int t = 0; head->bias && t < tokens; t++)
        bs_add(head->bias + first, logits + (size_t)t * (size_t)count, (size_t)count);
    if (cap > 0)
        bs_soft_cap(logits, (size_t)tokens * (size_t)count, cap);
}

void bs_head_logits(const struct bs_head *head, const float *in, int tokens, int first, int count,
                    float *logits)
{
    int width = head->architecture->embedding_size;
    bs_gemm_nt(tokens, count, width, 1, in, width, head->weight + (size_t)first * (size_t)width,
               width, 0, logits, count);
    finish_logits(head, tokens, first, count, logits);
}

/* Ids of the run that begins with `first`. */
static int run_ids(const struct bs_head *head, int first)
{
    int left = head->architecture->vocab_size - first;
    return left < head->run ? left : head->run;
}

enum bs_status bs_head_use_bfloat16(struct bs_head *head, int run, struct bs_error *err)
{
    int width = head->architecture->embedding_size, vocab = head->architecture->vocab_size;
    head->run = run;
    head->bfloat16 = bs_calloc((size_t)((vocab + run - 1) / run), sizeof(struct bs_packed *));
    if (!head->bfloat16)
        return bs_fail_memory(err);
    for (int first = 0; first < vocab; first += run)
        if (bs_packed_create_bfloat16(run_ids(head, first), width,
                                      head->weight + (size_t)first * (size_t)width,
                                      &head->bfloat16[first / run], err))
            return bs_fail_within(err, "the head");
    return BS_OK;
}

void bs_head_logits_bfloat16(const struct bs_head *head, const float *in, int tokens, int first,
                             float *logits, struct bs_scratch *scratch)
{
    int count = run_ids(head, first);
    bs_gemm_nt_bfloat16(tokens, in, head->bfloat16[first / head->run], logits, count, scratch);
    finish_logits(head, tokens, first, count, logits);
}
