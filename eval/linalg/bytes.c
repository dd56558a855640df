#include "eval/linalg/bytes.h"

#include "eval/base/mem.h"
#include "eval/linalg/onednn.h"

_Static_assert((int)BS_BYTES_ROWS == (int)BS_ONEDNN_FEW_ROWS &&
                   (int)BS_BYTES_SCRATCH_FLOATS == (int)BS_ONEDNN_SCRATCH_FLOATS,
               "the rows and the scratch of oneDNN's product");

struct bs_bytes {
    int n, k;
    struct bs_onednn_matrix *matrix;
    int16_t *plain; /* [n][k], where that is NULL */
};

/* What oneDNN has for other processors adds pairs of products in 16 bits, which saturate. */
static bool library_is_exact(void) { return bs_onednn_has_vnni(); }

size_t bs_bytes_of_number(void) { return library_is_exact() ? 1 : sizeof(int16_t); }

static enum bs_status fill(struct bs_bytes *p, const int8_t *b, struct bs_error *err)
{
    size_t count = (size_t)p->n * (size_t)p->k;
    if (library_is_exact() && bs_onednn_create(BS_ONEDNN_BYTES, p->n, p->k, b, &p->matrix, err))
        return err->status;
    if (p->matrix)
        return BS_OK;
    p->plain = bs_alloc(count, sizeof *p->plain);
    if (!p->plain)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        p->plain[i] = b[i];
    return BS_OK;
}

enum bs_status bs_bytes_pack(int n, int k, const int8_t *b, struct bs_bytes **packed,
                             struct bs_error *err)
{
    *packed = NULL;
    struct bs_bytes *p = bs_calloc(1, sizeof *p);
    if (!p)
        return bs_fail_memory(err);
    *p = (struct bs_bytes){.n = n, .k = k};
    if (fill(p, b, err))
        bs_bytes_free(p);
    else
        *packed = p;
    return *packed ? BS_OK : err->status;
}

void bs_bytes_free(struct bs_bytes *packed)
{
    if (!packed)
        return;
    bs_onednn_free(packed->matrix);
    bs_free(packed->plain);
    bs_free(packed);
}

/* The sums of products of `a` with COLUMNS rows of B; compilers make the widening multiply-and-add
 * of every processor of it. */
enum { COLUMNS = 4 };

static void multiply_row(const uint8_t *a, const int16_t *b, size_t k, int32_t *sums)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    _Static_assert(COLUMNS == 4, "one sum for each");
    for (size_t j = 0; j < k; j++) {
        int16_t x = a[j];
        s0 += x * b[j];
        s1 += x * b[k + j];
        s2 += x * b[2 * k + j];
        s3 += x * b[3 * k + j];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static void multiply_plain(const struct bs_bytes *b, int rows, const uint8_t *a, int32_t *c)
{
    size_t n = (size_t)b->n, k = (size_t)b->k, whole = n / COLUMNS * COLUMNS;
    for (size_t i = 0; i < whole; i += COLUMNS)
        for (size_t r = 0; r < (size_t)rows; r++)
            multiply_row(a + r * k, b->plain + i * k, k, c + r * n + i);
    for (size_t i = whole; i < n; i++)
        for (size_t r = 0; r < (size_t)rows; r++) {
            int32_t sum = 0;
            for (size_t j = 0; j < k; j++)
                sum += a[r * k + j] * b->plain[i * k + j];
            c[r * n + i] = sum;
        }
}

bool bs_bytes_multiply(const struct bs_bytes *b, int rows, const uint8_t *a, int32_t *c,
                       struct bs_scratch *scratch)
{
    if (b->matrix)
        return bs_onednn_multiply(b->matrix, BS_BYTES_ROWS, a, c, scratch);
    multiply_plain(b, rows, a, c);
    return true;
}
