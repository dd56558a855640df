/* Only runs of characters beyond ASCII are touched, each with the ASCII character before it, which
 * a combining mark may join. utf8proc decomposes and composes; the marks are ordered here, since
 * its own sorting is quadratic in the length of a run of marks. */
#include "eval/tokenizer/normal_form.h"

#include "eval/base/mem.h"
#include "eval/base/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* Code points, with room to sort as many again. */
struct points {
    utf8proc_int32_t *points, *spare;
    size_t count, capacity;
};

/* Characters that stay as they are and apart from their neighbours: those newer than Unicode 9 that
 * decompose or are marks to utf8proc, for the tokenizers library has the tables of Unicode 9 (asked
 * for every character); and U+11A7, no final consonant of Hangul, which utf8proc 2.8 takes for one
 * and drops. */
static const struct {
    utf8proc_int32_t first, last;
} apart[] = {{0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
             {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x11a7, 0x11a7},
             {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0x32ff, 0x32ff},
             {0xa7f2, 0xa7f4},   {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785},
             {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac},
             {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
             {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11938, 0x11938},
             {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34},
             {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45},
             {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e030, 0x1e06d},
             {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
             {0x1e4ec, 0x1e4ef}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9}};

static bool is_apart(utf8proc_int32_t point)
{
    size_t low = 0, high = sizeof apart / sizeof *apart;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (apart[middle].last < point)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof apart / sizeof *apart && apart[low].first <= point;
}

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
    int class = utf8proc_get_property(point)->combining_class;
    return class && is_apart(point) ? 0 : class;
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
        utf8proc_int32_t point = (utf8proc_int32_t)bs_utf8_decode(text + i);
        if (is_apart(point)) {
            points->points[points->count++] = point;
            continue;
        }
        utf8proc_ssize_t made = utf8proc_decompose_char(point, points->points + points->count,
                                                        LONGEST, options, &boundary);
        if (made < 0 || made > LONGEST)
            return bs_fail(err, BS_EDATA, "cannot normalize a character: %s",
                           utf8proc_errmsg(made));
        points->count += (size_t)made;
    }
    return BS_OK;
}

/* Composes what lies between the characters that stay apart. */
static void compose_points(struct points *points)
{
    const utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_COMPOSE | (int)UTF8PROC_STABLE);
    size_t used = 0;
    for (size_t begin = 0, end; begin < points->count; begin = end) {
        for (end = begin; end < points->count && !is_apart(points->points[end]); end++)
            continue;
        if (end == begin) {
            points->points[used++] = points->points[end++];
            continue;
        }
        utf8proc_ssize_t left = utf8proc_normalize_utf32(points->points + begin,
                                                         (utf8proc_ssize_t)(end - begin), options);
        size_t kept = left < 0 ? 0 : (size_t)left;
        memmove(points->points + used, points->points + begin, kept * sizeof *points->points);
        used += kept;
    }
    points->count = used;
}

static enum bs_status normalize_run(const char *text, size_t size, bool compatible, bool compose,
                                    struct points *points, struct bs_buffer *out,
                                    struct bs_error *err)
{
    points->count = 0;
    if (decompose(text, size, compatible, points, err) || order_marks(points, err))
        return err->status;
    if (compose)
        compose_points(points);
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
