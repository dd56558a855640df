#include "eval/linalg/bytes.h"

#include "eval/base/mem.h"
#include "eval/linalg/bytes_loops.h"
#include "eval/linalg/onednn.h"

BS_LEVELS(bs_bytes_loops);

_Static_assert((int)BS_BYTES_ROWS == (int)BS_ONEDNN_FEW_ROWS &&
                   (int)BS_BYTES_SCRATCH_FLOATS == (int)BS_ONEDNN_SCRATCH_FLOATS,
               "the rows and the scratch of oneDNN's product");
_Static_assert(BS_BYTES_ROWS *BS_BYTES_BLOCK * sizeof(int16_t) <=
                   BS_BYTES_SCRATCH_FLOATS * sizeof(float),
               "room for the rows of a block");

struct bs_bytes {
    int n, k;
    const struct bs_bytes_kernel *kernel; /* whose layout it is; NULL = the library's */
    void *panels;
    struct bs_onednn_matrix *matrix;
};

static bool has_vnni(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

/* Our kernel for this processor. */
static const struct bs_bytes_kernel *own_kernel(void)
{
    const struct bs_bytes_loops *loops = bs_bytes_loops[bs_isa()];
    return loops->fours.columns && has_vnni() ? &loops->fours : &loops->pairs;
}

/* oneDNN is the faster where a processor has tiles (AMX), and exact; what it has for processors
 * without VNNI adds pairs of products in 16 bits, which saturate. */
static bool library_is_better(void) { return bs_isa() == BS_ISA_V4 && bs_onednn_has_amx(); }

size_t bs_bytes_of_number(void) { return library_is_better() ? 1 : own_kernel()->number; }

static enum bs_status fill(struct bs_bytes *p, const int8_t *b, struct bs_error *err)
{
    if (library_is_better() && bs_onednn_create(BS_ONEDNN_BYTES, p->n, p->k, b, &p->matrix, err))
        return err->status;
    if (p->matrix)
        return BS_OK;
    p->kernel = own_kernel();
    size_t columns = (size_t)p->kernel->columns, together = (size_t)p->kernel->together;
    size_t n = ((size_t)p->n + columns - 1) / columns * columns;
    size_t k = ((size_t)p->k + together - 1) / together * together;
    p->panels = bs_alloc(n * k, p->kernel->number);
    if (!p->panels)
        return bs_fail_memory(err);
    p->kernel->pack(p->n, p->k, b, p->panels);
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
    bs_free(packed->panels);
    bs_free(packed);
}

bool bs_bytes_multiply(const struct bs_bytes *b, int rows, const uint8_t *a, int32_t *c,
                       struct bs_scratch *scratch)
{
    if (b->matrix)
        return bs_onednn_multiply(b->matrix, BS_BYTES_ROWS, a, c, scratch);
    size_t mark = scratch->used;
    float *room = bs_scratch_take(scratch, BS_BYTES_SCRATCH_FLOATS);
    b->kernel->multiply(rows, b->n, b->k, a, b->panels, room, c);
    scratch->used = mark;
    return true;
}
