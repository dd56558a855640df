/* The places of a model that a folder keeps as matrices, and what a recipe makes of each. */
#ifndef BS_EVAL_EXPORT_PLACES_H
#define BS_EVAL_EXPORT_PLACES_H

#include "eval/export/writer.h"
#include "eval/model/stored.h"

/* A matrix of the blocks, or one outside them. */
struct bs_export_place {
    char *module;                     /* "model.layers.0.self_attn.q_proj", owned */
    const struct bs_setting *weights; /* NULL: not quantized */
    const struct bs_setting *input;   /* of the site that it reads; NULL: not quantized */
    int out, in;
    bool transposed; /* its family keeps matrices as [in][out] */
    bool ordered;    /* once its codes were written: its columns' groups are in an order of their
                        own */
};

/* All of them: in the order of the layers, then the head, tied or not, then the embedding where
 * the recipe quantizes it. A tied head that is quantized with it is no place of codes: the file has
 * one tensor. */
struct bs_export_places {
    int count;
    int outer[BS_NUM_OUTER]; /* which place each is; the embedding -1 where it is none */
    struct bs_export_place *items;
};

/* Lists them. BS_EUNSUPPORTED where no folder could hold what the recipe makes: linears of one
 * tensor rounded differently, values quantized that no linear reads, experts in one tensor.
 * BS_ENOMEM. */
enum bs_status bs_export_places_list(const struct bs_export *export,
                                     struct bs_export_places *places, struct bs_error *err);
void bs_export_places_release(struct bs_export_places *places);

/* The place of this module, which is one. */
struct bs_export_place *bs_export_places_find(struct bs_export_places *places, const char *module);

/* BS_EUNSUPPORTED: "MODULE: LAYOUT has no ...": what a layout cannot hold, and the reason. */
enum bs_status bs_export_refuse(const struct bs_export_place *place, struct bs_error *err,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Refuses a place whose input is not quantized as these options say, {"key", "word"} until a NULL:
 * whoever reads the layout finds its scales by itself, by a rule that is not in the files.
 * BS_EUNSUPPORTED. */
enum bs_status bs_export_check_input(const struct bs_export_place *place,
                                     const char *const (*options)[2], struct bs_error *err);

/* The option of a setting's format as a config has it ("4", "float32"), "none" where it has none;
 * returns `text`. */
enum { BS_EXPORT_TEXT = 64 };
const char *bs_export_option(const struct bs_setting *setting, const char *key,
                             char text[BS_EXPORT_TEXT]);

/* Whether the option says this; its number. */
bool bs_export_says(const struct bs_setting *setting, const char *key, const char *word);
int bs_export_number(const struct bs_setting *setting, const char *key);

/* Whether the recipe's algorithm puts the columns of this place into groups in an order of its own,
 * which a file must then list. */
bool bs_export_orders_groups(const struct bs_recipe *recipe, const struct bs_export_place *place);

/* Whether the setting's format has this name. */
bool bs_export_is(const struct bs_setting *setting, const char *format);

#endif
