/* Only runs of characters beyond ASCII are touched, each with the ASCII character before it, which
 * a combining mark may join. utf8proc decomposes and composes; the marks are ordered here, since its
 * own sorting is quadratic in the length of a run of marks. */
#include "eval/data/normal_form.h"

#include "eval/base/mem.h"
#include "eval/data/unicode.h"

#include <string.h>
#include <utf8proc.h>

/* Code points, with room to sort as many again. */
struct points {
    utf8proc_int32_t *points, *spare;
    size_t count, capacity;
};

enum { LONGEST = 32 }; /* more than any character decomposes to: U+FDFA makes 18 */

static enum bs_status points_reserve(struct points *points, struct bs_error *err)
{
    if (points->capacity - points->count >= LONGEST)
        return BS_OK;
    size_t capacity = 2 * points->capacity + 4 * LONGEST;
    utf8proc_int32_t *grown =
        bs_realloc(points->points, points->count, capacity, sizeof *points->points);
    if (!grown)
        return bs_fail_memory(err);
    points->points = grown;
    points->capacity = capacity;
    return BS_OK;
}

static int combining_class(utf8proc_int32_t point)
{
    return utf8proc_get_property(point)->combining_class;
}

/* Sorts points[0 .. count), all marks, by combining class, equal ones in their order (merge sort).
 */
static void sort_marks(utf8proc_int32_t *points, utf8proc_int32_t *spare, size_t count)
{
    if (count < 2)
        return;
    size_t half = count / 2, left = 0, right = half;
    sort_marks(points, spare, half);
    sort_marks(points + half, spare, count - half);
    for (size_t i = 0; i < count; i++) {
        bool take_left = right == count || (left < half && combining_class(points[left]) <=
                                                               combining_class(points[right]));
        spare[i] = points[take_left ? left++ : right++];
    }
    memcpy(points, spare, count * sizeof *points);
}

static enum bs_status order_marks(struct points *points, struct bs_error *err)
{
    size_t longest = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0, end; i < points->count; i = end + 1) {
            for (end = i; end < points->count && combining_class(points->points[end]); end++)
                continue;
            if (pass == 1)
                sort_marks(points->points + i, points->spare, end - i);
            else if (end - i > longest)
                longest = end - i;
        }
        if (longest < 2)
            break;
        if (pass == 0 && !(points->spare = bs_alloc(longest, sizeof *points->spare)))
            return bs_fail_memory(err);
    }
    return BS_OK;
}

static enum bs_status decompose(const char *text, size_t size, bool compatible,
                                struct points *points, struct bs_error *err)
{
    const utf8proc_option_t options =
        (utf8proc_option_t)(UTF8PROC_DECOMPOSE | (compatible ? (int)UTF8PROC_COMPAT : 0) |
                            (int)UTF8PROC_STABLE);
    for (size_t i = 0; i < size; i += bs_utf8_bytes(text[i])) {
        int boundary = 0;
        if (points_reserve(points, err))
            return err->status;
        utf8proc_ssize_t made =
            utf8proc_decompose_char((utf8proc_int32_t)bs_utf8_decode(text + i),
                                    points->points + points->count, LONGEST, options, &boundary);
        if (made < 0 || made > LONGEST)
            return bs_fail(err, BS_EDATA, "cannot normalize a character: %s",
                           utf8proc_errmsg(made));
        points->count += (size_t)made;
    }
    return BS_OK;
}

static enum bs_status normalize_run(const char *text, size_t size, bool compatible, bool compose,
                                    struct points *points, struct bs_buffer *out,
                                    struct bs_error *err)
{
    points->count = 0;
    if (decompose(text, size, compatible, points, err) || order_marks(points, err))
        return err->status;
    if (compose) {
        utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_COMPOSE | (int)UTF8PROC_STABLE);
        utf8proc_ssize_t left =
            utf8proc_normalize_utf32(points->points, (utf8proc_ssize_t)points->count, options);
        points->count = left < 0 ? 0 : (size_t)left;
    }
    bs_free(points->spare);
    points->spare = NULL;
    if (bs_buffer_reserve(out, 4 * points->count, err))
        return err->status;
    for (size_t i = 0; i < points->count; i++)
        out->size += bs_utf8_encode((uint32_t)points->points[i], out->text + out->size);
    return BS_OK;
}

enum bs_status bs_normal_form(const char *text, size_t size, bool compatible, bool compose,
                              struct bs_buffer *out, struct bs_error *err)
{
    struct points points = {0};
    enum bs_status status = bs_buffer_reserve(out, size, err);
    for (size_t i = 0, begin, end; i < size && !status; i = end) {
        for (begin = i; begin < size && (unsigned char)text[begin] < 0x80; begin++)
            continue;
        for (end = begin; end < size && (unsigned char)text[end] >= 0x80; end++)
            continue;
        if (begin > i && end > begin)
            begin--;
        status = bs_buffer_append(out, text + i, begin - i, err);
        if (!status && end > begin)
            status =
                normalize_run(text + begin, end - begin, compatible, compose, &points, out, err);
    }
    bs_free(points.points);
    bs_free(points.spare);
    return status;
}
