/* Mixes: named sets of rules that give each tensor of a model its format, as llama-quantize does
 * for the file types of these names. */
#ifndef BS_EVAL_QUANT_MIX_H
#define BS_EVAL_QUANT_MIX_H

#include "eval/quant/setting.h"

/* What a tensor is, as far as a mix tells tensors apart. */
enum bs_mix_role {
    BS_MIX_OTHER,
    BS_MIX_VALUE,  /* makes the values, or queries, keys and values in one tensor */
    BS_MIX_OUTPUT, /* attention's output */
    BS_MIX_DOWN,   /* the MLP's last */
    BS_MIX_EMBEDDING,
    BS_MIX_HEAD, /* and an embedding that is the head too */
};

/* A tensor. */
struct bs_mix_place {
    enum bs_mix_role role;
    int layer, layers;
    int sharing; /* heads of queries that share one of keys */
    int in;      /* columns */
};

/* The words of a config, NULL-terminated; the first is "none". */
enum { BS_MIXES = 19 };
extern const char *const bs_mix_words[BS_MIXES + 2];

/* llama.cpp's number for files of the mix (enum llama_ftype); -1 of none. */
int bs_mix_file_type(int mix);

/* The format of most tensors; whether the mix is made only with importance; every format that any
 * mix gives, NULL-terminated. */
const struct bs_plugin *bs_mix_usual(int mix);
bool bs_mix_needs_importance(int mix);
extern const struct bs_plugin *const bs_mix_formats[];

/* The format of a tensor, `importance` where there is some; NULL where none takes its width: it
 * stays as it is. */
const struct bs_plugin *bs_mix_format(int mix, const struct bs_mix_place *place, bool importance);

/* The setting of a tensor by a resolved setting of weights: by its mix, where it has one, else
 * itself. Lent by the setting; one that quantizes nothing where the tensor stays as it is. */
const struct bs_setting *bs_mix_setting(const struct bs_setting *setting,
                                        const struct bs_mix_place *place);

#endif
