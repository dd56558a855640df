/* A recipe: what is done to the model. A chain of algorithms with their options, and rules that say
 * what becomes of the numbers at each place. */
#ifndef BS_EVAL_RECIPE_RECIPE_H
#define BS_EVAL_RECIPE_RECIPE_H

#include <stdio.h>

#include "algorithms/algorithm.h"
#include "eval/linalg/packed.h"

enum { BS_MAX_STEPS = 4 };

/* The words of a config for enum bs_calibrate_on and enum bs_compute; NULL ends them. */
extern const char *const bs_calibrate_on_names[];
extern const char *const bs_compute_names[];

/* What a cache holds. */
enum bs_cached { BS_CACHED_KEYS, BS_CACHED_VALUES, BS_NUM_CACHED };

/* What these are called in a config, and as sites; NULL ends them. */
extern const char *const bs_cached_names[];

/* A setting for some of the places. */
struct bs_rule {
    enum bs_use use; /* of weights, or of those activations that the recipe's `where` matches */
    char *where;     /* patterns (eval/recipe/where.h), parted by blanks, sorted */
    struct bs_setting setting;
    int line, column; /* where it stands in a config, for messages; 0 = nowhere */
};

/* The activations that are meant where none are named: inputs of linears. */
extern const char bs_usual_where[];

/* A chain of algorithms, and what the places are rounded to. */
struct bs_recipe {
    int num_steps;                          /* 0 = the unquantized model */
    struct bs_choice steps[BS_MAX_STEPS];   /* algorithms */
    struct bs_setting weights;              /* of every linear */
    struct bs_setting activations;          /* of the sites that `where` matches */
    char *where;                            /* as of a rule; NULL = bs_usual_where */
    struct bs_setting cache[BS_NUM_CACHED]; /* of keys and values in every layer */
    int num_rules; /* exceptions: the last rule that matches a place holds */
    struct bs_rule *rules;
    char *allotted; /* what the places' formats were chosen by, "3 bits by kl"; NULL = by nobody. It
                       stands for them in labels */
    int calibrate_on; /* enum bs_calibrate_on for every step; auto = each as its authors do */
    int compute;      /* enum bs_compute: of linears and head of the texts, not in calibration */
};

/* How many layers of a model there are to look at: all where exceptions or a mix tell them apart,
 * or they are of several kinds; else the first, which all are like. */
static inline int bs_recipe_unlike_layers(const struct bs_recipe *recipe,
                                          const struct bs_architecture *architecture)
{
    bool alike = !recipe->num_rules && !recipe->weights.mix && architecture->num_kinds == 1;
    return alike ? 1 : architecture->num_layers;
}

/* The unquantized model: no step, 16 bits. */
void bs_recipe_init(struct bs_recipe *recipe);
void bs_recipe_release(struct bs_recipe *recipe);

/* Appends a step with default options. BS_ECONFIG where the chain is full, the algorithm is there
 * already, or it follows one that has rounded; BS_ENOMEM. */
enum bs_status bs_recipe_add(struct bs_recipe *recipe, const struct bs_algorithm *algorithm,
                             struct bs_error *err);

/* A copy with its own options. BS_ENOMEM. */
enum bs_status bs_recipe_copy(struct bs_recipe *to, const struct bs_recipe *from,
                              struct bs_error *err);

/* Says at which sites activations are quantized: patterns parted by blanks, in any order.
 * BS_ENOMEM. */
enum bs_status bs_recipe_set_where(struct bs_recipe *recipe, const char *where,
                                   struct bs_error *err);

/* Appends an exception with a copy of a setting. The rule is lent until the next one is added.
 * BS_ENOMEM. */
enum bs_status bs_recipe_add_rule(struct bs_recipe *recipe, enum bs_use use, const char *where,
                                  const struct bs_setting *setting, struct bs_rule **rule,
                                  struct bs_error *err);

/* What the algorithms' authors prefer, NULL-terminated. The last of a chain comes first: it is the
 * one nearest to the rounding. */
struct bs_preferences {
    const struct bs_preference *lists[BS_MAX_STEPS + 1];
};
struct bs_preferences bs_recipe_preferences(const struct bs_recipe *recipe);

/* Resolves formats and calls each step's check: afterwards nothing is `auto` but calibrate_on. The
 * grid defaults to the last step that has a preference, else gptq's. BS_ECONFIG. */
enum bs_status bs_recipe_resolve(struct bs_recipe *recipe, struct bs_error *err);

/* Where the step's calibration inputs come from, auto resolved. */
enum bs_calibrate_on bs_recipe_calibrates_on(const struct bs_recipe *recipe, int step);

/* Where its authors calibrate a step; an algorithm without a say gets the unquantized model's
 * inputs, which all trials share. */
enum bs_calibrate_on bs_recipe_authors_choice(const struct bs_recipe *recipe, int step);

/* True where the step needs statistics; where any step does, or static activation scales do. */
bool bs_recipe_step_calibrates(const struct bs_recipe *recipe, int step);
bool bs_recipe_needs_calibration(const struct bs_recipe *recipe);

/* Whether weights, or activations, of any place may be quantized (those of a cache count among the
 * latter), or those of a cache; activations with scales that calibration fixes. */
bool bs_recipe_quantizes_weights(const struct bs_recipe *recipe);
bool bs_recipe_quantizes_activations(const struct bs_recipe *recipe);
bool bs_recipe_quantizes_cache(const struct bs_recipe *recipe);
bool bs_recipe_static_activations(const struct bs_recipe *recipe);

/* Whether what becomes of a token's activations, at any place, may depend on other tokens:
 * bs_setting_spans_tokens. */
bool bs_recipe_spans_tokens(const struct bs_recipe *recipe);

/* Whether a step changes the basis of the residual stream. */
bool bs_recipe_turns(const struct bs_recipe *recipe);

/* Refuses a model that a step cannot rewrite: bs_algorithm.check_model. BS_EUNSUPPORTED, naming the
 * step. */
enum bs_status bs_recipe_check_model(const struct bs_recipe *recipe,
                                     const struct bs_architecture *architecture,
                                     struct bs_error *err);

/* Whether a step may round weights in a basis that no file has: bs_algorithm.without_codes. */
bool bs_recipe_drops_codes(const struct bs_recipe *recipe);

/* Whether weights of any place are rounded by importance from the calibration. */
bool bs_recipe_weighs(const struct bs_recipe *recipe);

/* "smoothquant+gptq"; "unquantized" for none. */
void bs_recipe_print_algorithm(const struct bs_recipe *recipe, FILE *out);

/* The options that are not at their default: "act_order percdamp=0.1", or "". */
void bs_recipe_print_options(const struct bs_recipe *recipe, FILE *out);

/* A short name that tells the recipe from every other in a table or legend:
 * "gptq w3 g128 act_order", "smoothquant w8 channel a8 token alpha=0.7". */
void bs_recipe_print_label(const struct bs_recipe *recipe, FILE *out);

/* What one of these prints, of whatever length, in new memory; NULL where memory has run out. */
char *bs_recipe_text(const struct bs_recipe *recipe,
                     void (*print)(const struct bs_recipe *recipe, FILE *out));

/* Every setting, defaults included, one "key: value" a line: what a trial's id is a hash of.
 * Settings that have no effect print the same ("none" for the format of 16 bits), so that resolved
 * recipes that differ only there coincide. Two resolved recipes have the same label exactly when
 * they print the same. */
void bs_recipe_print(const struct bs_recipe *recipe, FILE *out);

#endif
