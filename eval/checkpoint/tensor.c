/* Element types and their widening, which is exact for each of them but F64. */
#include "eval/checkpoint/tensor.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"

BS_LEVELS(bs_tensor_loops);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read in place");

const struct bs_dtype_info bs_dtypes[] = {
    {"F32", 4, BS_F32, "float32", "FloatStorage"},
    {"F16", 2, BS_F16, "float16", "HalfStorage"},
    {"BF16", 2, BS_BF16, "bfloat16", "BFloat16Storage"},
    {"F8_E4M3", 1, BS_F8_E4M3, "float8_e4m3fn", NULL},
    {"F8_E5M2", 1, BS_F8_E5M2, "float8_e5m2", NULL},
    {"F64", 8, BS_F64, "float64", "DoubleStorage"},
    {"F8_E4M3FNUZ", 1, -1, "float8_e4m3fnuz", NULL},
    {"F8_E5M2FNUZ", 1, -1, "float8_e5m2fnuz", NULL},
    {"F8_E8M0", 1, -1, "float8_e8m0fnu", NULL},
    {"C64", 8, -1, "complex64", "ComplexFloatStorage"},
    {"C128", 16, -1, "complex128", "ComplexDoubleStorage"},
    {"I64", 8, -1, "int64", "LongStorage"},
    {"I32", 4, -1, "int32", "IntStorage"},
    {"I16", 2, -1, "int16", "ShortStorage"},
    {"I8", 1, -1, "int8", "CharStorage"},
    {"U64", 8, -1, "uint64", NULL},
    {"U32", 4, -1, "uint32", NULL},
    {"U16", 2, -1, "uint16", NULL},
    {"U8", 1, -1, "uint8", "ByteStorage"},
    {"BOOL", 1, -1, "bool", "BoolStorage"},
    {0},
};

const struct bs_dtype_info *bs_dtype_find(const char *name)
{
    const struct bs_dtype_info *info = bs_dtypes;
    while (info->name && strcmp(info->name, name))
        info++;
    return info;
}

enum { RUN = 1024 }; /* elements that are put in order at a time on the stack */

static void widen(enum bs_dtype dtype, const unsigned char *data, size_t count, float *out)
{
    const struct bs_tensor_loops *loops = bs_tensor_loops[bs_isa()];
    switch (dtype) {
    case BS_F32:
        memcpy(out, data, count * sizeof *out);
        break;
    case BS_F16:
        loops->read_f16(data, count, out);
        break;
    case BS_BF16:
        loops->read_bf16(data, count, out);
        break;
    case BS_F8_E4M3:
        loops->read_e4m3(data, count, out);
        break;
    case BS_F8_E5M2:
        loops->read_e5m2(data, count, out);
        break;
    case BS_F64:
        loops->read_f64(data, count, out);
        break;
    }
}

static void read_run(const struct bs_tensor *tensor, size_t first, size_t count, float *out)
{
    unsigned char scratch[RUN * sizeof(double)];
    size_t step = tensor->strided ? RUN : count;
    for (size_t done = 0; done < count; done += step) {
        size_t now = count - done < step ? count - done : step;
        widen(tensor->dtype, bs_tensor_bytes(tensor, first + done, now, scratch), now, out + done);
    }
}

static void decode_run(const struct bs_tensor *tensor, size_t first, size_t count, float *out)
{
    size_t width = (size_t)tensor->shape[tensor->rank - 1];
    assert(first % width == 0 && count % width == 0);
    tensor->coded->decode(tensor->coded, first / width, count / width, out);
}

/* As many elements as there are in whole rows, at least one, of about so many. */
static size_t whole_rows(const struct bs_tensor *tensor, size_t about)
{
    size_t width = tensor->rank && tensor->count ? (size_t)tensor->shape[tensor->rank - 1] : 1;
    return about > width ? about / width * width : width;
}

void bs_tensor_read(const struct bs_tensor *tensor, size_t first, size_t count, float *out)
{
    assert(first <= tensor->count && count <= tensor->count - first);
    enum { PART = 1 << 18 }; /* of a large tensor that one thread reads */
    size_t part = tensor->coded ? whole_rows(tensor, PART) : PART;
#pragma omp parallel for schedule(dynamic, 1) if (count > part)
    for (size_t at = 0; at < count; at += part) {
        size_t now = count - at < part ? count - at : part;
        if (tensor->coded)
            decode_run(tensor, first + at, now, out + at);
        else
            read_run(tensor, first + at, now, out + at);
    }
}

enum bs_status bs_tensor_equal(const struct bs_tensor *a, const struct bs_tensor *b, bool *equal,
                               struct bs_error *err)
{
    enum { PART = 1 << 20 };
    size_t part = whole_rows(a, PART);
    *equal = true;
    if (a->dtype == b->dtype && !a->strided && !b->strided && !a->coded && !b->coded &&
        (a->data == b->data || !memcmp(a->data, b->data, a->count * bs_dtypes[a->dtype].bytes)))
        return BS_OK;
    float *values = bs_alloc(2 * part, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    for (size_t at = 0; at < a->count && *equal; at += part) {
        size_t count = a->count - at < part ? a->count - at : part;
        bs_tensor_read(a, at, count, values);
        bs_tensor_read(b, at, count, values + part);
        for (size_t i = 0; i < count && *equal; i++)
            *equal = values[i] == values[part + i];
    }
    bs_free(values);
    return BS_OK;
}

static inline void copy_run(unsigned char *out, const unsigned char *from, ptrdiff_t step,
                            size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++)
        memcpy(out + i * bytes, from + (ptrdiff_t)i * step, bytes);
}

/* Run by run along the last dimension. */
static void gather(const struct bs_tensor *tensor, size_t first, size_t count, size_t bytes,
                   unsigned char *out)
{
    int last = tensor->rank - 1;
    int64_t at[BS_MAX_RANK] = {0};
    for (int d = last; d >= 0; d--) {
        at[d] = (int64_t)(first % (size_t)tensor->shape[d]);
        first /= (size_t)tensor->shape[d];
    }
    ptrdiff_t step = (ptrdiff_t)tensor->strides[last] * (ptrdiff_t)bytes;
    while (count) {
        size_t left = (size_t)(tensor->shape[last] - at[last]), run = count < left ? count : left;
        const unsigned char *from = tensor->data;
        for (int d = 0; d <= last; d++)
            from += at[d] * tensor->strides[d] * (int64_t)bytes;
        /* a copy of constant size is one move */
        if (bytes == 8)
            copy_run(out, from, step, run, 8);
        else if (bytes == 4)
            copy_run(out, from, step, run, 4);
        else if (bytes == 2)
            copy_run(out, from, step, run, 2);
        else
            copy_run(out, from, step, run, 1);
        out += run * bytes;
        count -= run;
        at[last] = 0;
        for (int d = last - 1; d >= 0 && ++at[d] == tensor->shape[d]; d--)
            at[d] = 0;
    }
}

const unsigned char *bs_tensor_bytes(const struct bs_tensor *tensor, size_t first, size_t count,
                                     unsigned char *scratch)
{
    assert(!tensor->coded && first <= tensor->count && count <= tensor->count - first);
    size_t bytes = bs_dtypes[tensor->dtype].bytes;
    if (!tensor->strided)
        return tensor->data + first * bytes;
    gather(tensor, first, count, bytes, scratch);
    return scratch;
}

bool bs_any_special(enum bs_dtype dtype, const unsigned char *data, size_t count)
{
    const struct bs_tensor_loops *loops = bs_tensor_loops[bs_isa()];
    switch (dtype) {
    case BS_F16:
        return loops->any_special16(data, count, 0x7c00);
    case BS_BF16:
        return loops->any_special16(data, count, 0x7f80);
    case BS_F8_E4M3:
        return loops->any_special8(data, count, 0x7f);
    case BS_F8_E5M2:
        return loops->any_special8(data, count, 0x7c);
    case BS_F64:
        return loops->any_special64(data, count);
    case BS_F32:
        break;
    }
    return loops->any_special32(data, count);
}
