/* What stands after the blocks: the final norm and the output matrix. */
#include "eval/model/model.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"
#include "eval/model/ggml.h"

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

static int num_runs(const struct bs_head *head)
{
    return (head->architecture->vocab_size + head->run - 1) / head->run;
}

/* Ids of the run that begins with `first`. */
static int run_ids(const struct bs_head *head, int first)
{
    int left = head->architecture->vocab_size - first;
    return left < head->run ? left : head->run;
}

/* What packs the output matrix. */
struct packing {
    struct bs_head *head;
    enum bs_compute compute;
    bs_head_rows *rows;
    const void *context;
};

static enum bs_status pack_run(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread;
    const struct packing *p = context;
    const struct bs_head *head = p->head;
    int first = index * head->run, ids = run_ids(head, first);
    int width = head->architecture->embedding_size;
    float *rows = bs_alloc((size_t)ids * (size_t)width, sizeof *rows);
    if (!rows)
        return bs_fail_memory(err);
    p->rows(p->context, first, ids, rows);
    enum bs_status status =
        bs_packed_create(p->compute, ids, width, rows, &head->runs[p->compute][index], err);
    bs_free(rows);
    return status ? bs_fail_within(err, "the head") : BS_OK;
}

enum bs_status bs_head_pack(struct bs_head *head, enum bs_compute compute, bs_head_rows *rows,
                            const void *context, struct bs_error *err)
{
    struct packing packing = {head, compute, rows, context};
    head->runs[compute] = bs_calloc((size_t)num_runs(head), sizeof *head->runs[compute]);
    if (!head->runs[compute])
        return bs_fail_memory(err);
    return bs_parallel(num_runs(head), pack_run, &packing, err);
}

enum bs_status bs_head_pack_blocks(struct bs_head *head, const struct bs_model *model,
                                   const struct bs_outer_rounding *rounding, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    head->blocks = bs_calloc((size_t)num_runs(head), sizeof *head->blocks);
    if (!head->blocks)
        return bs_fail_memory(err);
    for (int r = 0; r < num_runs(head) && !status; r++) {
        int first = r * head->run;
        status = bs_ggml_head_create(model, rounding, first, run_ids(head, first), &head->blocks[r],
                                     err);
    }
    return status ? bs_fail_within(err, "the head") : BS_OK;
}

void bs_head_release(struct bs_head *head)
{
    bs_norm_release(&head->norm);
    bs_free(head->project);
    bs_free(head->bias);
    for (int r = 0; head->blocks && r < num_runs(head); r++)
        bs_ggml_weights_free(head->blocks[r]);
    bs_free(head->blocks);
    for (int c = 0; c < BS_NUM_PACKED; c++) {
        for (int r = 0; head->runs[c] && r < num_runs(head); r++)
            bs_packed_free(head->runs[c][r]);
        bs_free(head->runs[c]);
    }
    *head = (struct bs_head){.architecture = NULL};
}

int bs_head_logits(const struct bs_head *head, enum bs_compute compute, const float *in, int tokens,
                   int first, float *logits, struct bs_scratch *scratch)
{
    int ids = run_ids(head, first);
    float cap = head->architecture->logit_softcap, scale = head->architecture->logit_scale;
    if (compute == BS_AS_LLAMA_CPP)
        bs_ggml_multiply(head->blocks[first / head->run], in, tokens, logits, ids, scratch);
    else
        bs_gemm_nt_packed(tokens, in, head->runs[compute][first / head->run], logits, ids, scratch);
    for (int t = 0; head->bias && t < tokens; t++)
        bs_add(head->bias + first, logits + (size_t)t * (size_t)ids, (size_t)ids);
    for (size_t i = 0; scale != 1 && i < (size_t)tokens * (size_t)ids; i++)
        logits[i] *= scale;
    if (cap > 0)
        bs_soft_cap(logits, (size_t)tokens * (size_t)ids, cap);
    return ids;
}

size_t bs_head_floats(int run, int width)
{
    size_t packed = bs_gemm_nt_packed_floats(run, width), blocks = bs_ggml_floats(run, width);
    return packed > blocks ? packed : blocks;
}
