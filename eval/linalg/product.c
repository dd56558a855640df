#include "eval/linalg/product.h"

#include "eval/base/mem.h"
#include "eval/linalg/product_choice.h"
#include "eval/linalg/product_loops.h"

BS_LEVELS(bs_product_loops);

/* Columns or steps of a narrow product, at most. */
enum { FEW = 128 };

static _Thread_local struct bs_product_room room;

/* C = beta C. */
static void scale(const struct bs_product *p)
{
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n; j++) {
            float *c = p->c + (size_t)i * p->c_row + (size_t)j;
            *c = p->beta == 0 ? 0 : p->beta * *c;
        }
}

static void multiply(const struct bs_product_loops *loops, const struct bs_product *p)
{
    if (p->k > 0)
        loops->multiply(p, &room);
    else
        scale(p);
}

void bs_product(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc)
{
    struct bs_product product = {
        .m = m,
        .n = n,
        .k = k,
        .alpha = alpha,
        .beta = beta,
        .a = a,
        .a_row = transpose_a ? 1 : (size_t)lda,
        .a_step = transpose_a ? (size_t)lda : 1,
        .b = b,
        .b_step = transpose_b ? 1 : (size_t)ldb,
        .b_column = transpose_b ? (size_t)ldb : 1,
        .c = c,
        .c_row = (size_t)ldc,
    };
    bool narrow = n <= FEW || k <= FEW;
    multiply(bs_product_choice(narrow ? BS_PRODUCT_NARROW : BS_PRODUCT_WIDE), &product);
}

struct bs_panels {
    const struct bs_product_loops *loops; /* whose layout it is */
    int n, k;
    float *data;
};

enum bs_status bs_panels_create(int n, int k, const float *b, struct bs_panels **panels,
                                struct bs_error *err)
{
    const struct bs_product_loops *loops = bs_product_choice(BS_PRODUCT_WIDE);
    size_t columns = (size_t)((n + loops->columns - 1) / loops->columns * loops->columns);
    struct bs_panels *p = bs_calloc(1, sizeof *p);
    float *data = bs_alloc(columns * (size_t)k, sizeof *data);
    *panels = NULL;
    if (!p || !data) {
        bs_free(p);
        bs_free(data);
        return bs_fail_memory(err);
    }
    struct bs_product product = {.n = n, .k = k, .b = b, .b_step = 1, .b_column = (size_t)k};
    loops->pack(&product, data);
    *p = (struct bs_panels){.loops = loops, .n = n, .k = k, .data = data};
    *panels = p;
    return BS_OK;
}

void bs_panels_free(struct bs_panels *panels)
{
    if (!panels)
        return;
    bs_free(panels->data);
    bs_free(panels);
}

void bs_product_panels(int m, const float *a, int lda, const struct bs_panels *b, float *c, int ldc)
{
    struct bs_product product = {
        .m = m,
        .n = b->n,
        .k = b->k,
        .alpha = 1,
        .beta = 0,
        .a = a,
        .a_row = (size_t)lda,
        .a_step = 1,
        .panels = b->data,
        .c = c,
        .c_row = (size_t)ldc,
    };
    multiply(b->loops, &product);
}
