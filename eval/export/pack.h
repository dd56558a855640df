/* What layouts have in common in how they pack whole numbers: codes as files have them. */
#ifndef BS_EVAL_EXPORT_PACK_H
#define BS_EVAL_EXPORT_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "eval/export/places.h"

/* Puts field `index` of `bits` bits (up to 8) into zeroed words, `step` words apart, that follow
 * one another bit by bit, as bs_field_at reads it. */
static inline void bs_put_field(uint32_t *words, size_t step, size_t index, int bits,
                                uint32_t value)
{
    size_t bit = index * (size_t)bits, word = bit / 32, shift = bit % 32;
    words[word * step] |= value << shift;
    if (shift + (size_t)bits > 32)
        words[(word + 1) * step] |= value >> (32 - shift);
}

/* The same in planes (bs_planes), as GPTQModel's planar format has it. */
void bs_put_planar(uint32_t *words, size_t step, size_t index, int bits, uint32_t value);

/* The words of so many fields. */
static inline size_t bs_words_of(size_t fields, int bits)
{
    return (fields * (size_t)bits + 31) / 32;
}

/* Refuses a setting of whole numbers that is no scale times (code - zero point) with zero points
 * that are codes, of `least` to `most` bits, or whose groups do not fill the rows.
 * BS_EUNSUPPORTED. */
enum bs_status bs_export_check_whole(const struct bs_export_place *place, int least, int most,
                                     struct bs_error *err);

/* Of codes of such a setting: whether zero points are anything else than the middle by rule; the
 * one of a group, as a code; columns of a group and groups of a row, as the parameters are kept. */
bool bs_export_has_zeros(const struct bs_setting *setting);
int bs_export_zero(const struct bs_codes *codes, int row, int group);

/* Scales of all groups, [out][groups], or [groups][out] where `turned`; one where all of the matrix
 * shares it. In new memory; NULL when it runs out. */
float *bs_export_scales(const struct bs_codes *codes, bool turned);

/* Whether all of the matrix shares one scale. */
bool bs_export_is_whole(const struct bs_codes *codes);

#endif
