/* Rotary positions: what config.json asks for, and the angles computed from it. */
#ifndef BS_EVAL_MODEL_ROPE_H
#define BS_EVAL_MODEL_ROPE_H

#include "eval/model/config_reader.h"
#include "eval/model/model.h"

/* Fills rotary_dim, rope and local_rope; the family and the sizes are set. Leaves them alone where
 * positions are not rotary. BS_EDATA, BS_EUNSUPPORTED. */
enum bs_status bs_rope_read(const struct bs_config_reader *r, struct bs_architecture *a);

/* Rotates every head of x, [tokens] rows at positions `first` and on of `heads` heads, `width`
 * floats apart: the first rotary_dim dimensions of a head, paired by halves or as neighbours, as
 * the family has it. */
void bs_rotate(const struct bs_rope *rope, bool local, float *x, int first, int tokens, int heads,
               int head_dim, int width);

/* Whether angles depend on the length of a row: then rows of unequal length share none. */
bool bs_rope_depends_on_length(const struct bs_architecture *architecture);

/* Whether both say the same, numbers compared as float32, which is what GGUF files keep. */
bool bs_rope_same(const struct bs_rope_settings *a, const struct bs_rope_settings *b);

/* How far apart the frequencies of pairs of `rotary_dim` dimensions are at most, over those of a;
 * of short windows and of windows beyond the original positions. 0: every bit is the same. */
double bs_rope_distance(const struct bs_rope_settings *a, const struct bs_rope_settings *b,
                        int rotary_dim);

/* The factor by which longrope gives a pair the frequency that it has here in short windows: to the
 * last bit where a float does that, else as near as one comes. */
float bs_rope_factor(const struct bs_rope_settings *rope, int pair, int rotary_dim);

#endif
