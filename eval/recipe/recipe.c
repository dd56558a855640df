#include "eval/recipe/recipe.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"

const char *const bs_calibrate_on_names[] = {
    [BS_ON_UNQUANTIZED] = "unquantized",
    [BS_ON_QUANTIZED] = "quantized",
    [BS_ON_AUTO] = "auto",
    NULL,
};

const char *const bs_compute_names[] = {
    [BS_FLOAT32] = "float32",
    [BS_BFLOAT16] = "bfloat16",
    NULL,
};

void bs_recipe_init(struct bs_recipe *recipe)
{
    memset(recipe, 0, sizeof *recipe);
    bs_setting_init(&recipe->weights);
    bs_setting_init(&recipe->activations);
    recipe->calibrate_on = BS_ON_AUTO;
}

void bs_recipe_release(struct bs_recipe *recipe)
{
    for (int s = 0; s < recipe->num_stages; s++)
        bs_choice_release(&recipe->stages[s]);
    bs_setting_release(&recipe->weights);
    bs_setting_release(&recipe->activations);
    memset(recipe, 0, sizeof *recipe);
}

enum bs_status bs_recipe_add(struct bs_recipe *recipe, const struct bs_algorithm *algorithm,
                             struct bs_error *err)
{
    for (int s = 0; s < recipe->num_stages; s++) {
        const struct bs_algorithm *earlier = bs_algorithm_of(&recipe->stages[s]);
        if (earlier == algorithm)
            return bs_fail(err, BS_ECONFIG, "%s stands twice in a chain, expected once",
                           algorithm->plugin.name);
        if (earlier->quantize)
            return bs_fail(err, BS_ECONFIG,
                           "%s follows %s, which has rounded the weights, expected it before",
                           algorithm->plugin.name, earlier->plugin.name);
    }
    if (recipe->num_stages == BS_MAX_STAGES)
        return bs_fail(err, BS_ECONFIG,
                       "%s is one algorithm too many for a chain, expected up to %d",
                       algorithm->plugin.name, BS_MAX_STAGES);
    if (bs_choice_init(&recipe->stages[recipe->num_stages], &algorithm->plugin, err))
        return err->status;
    recipe->num_stages++;
    return BS_OK;
}

enum bs_status bs_recipe_copy(struct bs_recipe *to, const struct bs_recipe *from,
                              struct bs_error *err)
{
    *to = *from;
    to->num_stages = 0;
    memset(to->stages, 0, sizeof to->stages);
    bs_setting_init(&to->activations);
    if (bs_setting_copy(&to->weights, &from->weights, err) ||
        bs_setting_copy(&to->activations, &from->activations, err)) {
        bs_recipe_release(to);
        return err->status;
    }
    for (int s = 0; s < from->num_stages; s++) {
        if (bs_choice_copy(&to->stages[s], &from->stages[s], err)) {
            bs_recipe_release(to);
            return err->status;
        }
        to->num_stages++;
    }
    return BS_OK;
}

/* What the algorithms' authors prefer, NULL-terminated. The last of a chain comes first: it is the
 * one nearest to the rounding. */
struct preferences {
    const struct bs_preference *lists[BS_MAX_STAGES + 1];
};

static struct preferences preferences_of(const struct bs_recipe *recipe)
{
    struct preferences all = {.lists = {NULL}};
    int count = 0;
    for (int s = recipe->num_stages - 1; s >= 0; s--)
        if (bs_algorithm_of(&recipe->stages[s])->preferences)
            all.lists[count++] = bs_algorithm_of(&recipe->stages[s])->preferences;
    return all;
}

enum bs_status bs_recipe_resolve(struct bs_recipe *recipe, struct bs_error *err)
{
    struct preferences preferences = preferences_of(recipe);
    for (int i = 0; preferences.lists[i]; i++)
        bs_setting_prefer(&recipe->weights, preferences.lists[i]);
    if (bs_setting_resolve(&recipe->weights, BS_FOR_WEIGHTS, err))
        return bs_fail_within(err, "weights");
    if (bs_setting_resolve(&recipe->activations, BS_FOR_ACTIVATIONS, err))
        return bs_fail_within(err, "activations");
    enum bs_status status = BS_OK;
    if (recipe->compute != BS_FLOAT32 && bs_setting_quantizes(&recipe->activations))
        return bs_fail(err, BS_ECONFIG,
                       "compute is %s but activations are quantized, expected compute: float32, or "
                       "no format of activations",
                       bs_compute_names[recipe->compute]);
    for (int s = 0; s < recipe->num_stages; s++) {
        const struct bs_algorithm *algorithm = bs_algorithm_of(&recipe->stages[s]);
        if (!algorithm->check)
            continue;
        status = algorithm->check(recipe->stages[s].options, &recipe->weights, err);
        if (status)
            return status;
    }
    return BS_OK;
}

/* Where the authors calibrate a stage; an algorithm without a say gets the unquantized model's
 * inputs, which all trials share. */
static enum bs_calibrate_on authors_choice(const struct bs_choice *stage)
{
    enum bs_calibrate_on own = bs_algorithm_of(stage)->calibrate_on;
    return own == BS_ON_AUTO ? BS_ON_UNQUANTIZED : own;
}

enum bs_calibrate_on bs_recipe_calibrates_on(const struct bs_recipe *recipe, int stage)
{
    if (recipe->calibrate_on != BS_ON_AUTO)
        return (enum bs_calibrate_on)recipe->calibrate_on;
    return authors_choice(&recipe->stages[stage]);
}

static bool stage_needs_calibration(const struct bs_choice *stage)
{
    struct bs_wanted wanted = {.architecture = NULL};
    if (bs_algorithm_of(stage)->needs)
        bs_algorithm_of(stage)->needs(stage->options, &wanted);
    bool any = bs_wanted_any(&wanted);
    bs_wanted_release(&wanted);
    return any;
}

static bool static_activations(const struct bs_recipe *recipe)
{
    return bs_setting_quantizes(&recipe->activations) &&
           recipe->activations.sharing == BS_BY_STATIC;
}

bool bs_recipe_needs_calibration(const struct bs_recipe *recipe)
{
    for (int s = 0; s < recipe->num_stages; s++)
        if (stage_needs_calibration(&recipe->stages[s]))
            return true;
    return static_activations(recipe);
}

void bs_recipe_print_algorithm(const struct bs_recipe *recipe, FILE *out)
{
    for (int s = 0; s < recipe->num_stages; s++)
        fprintf(out, "%s%s", s ? "+" : "", recipe->stages[s].plugin->name);
    if (recipe->num_stages == 0)
        fputs("unquantized", out);
}

/* A stage where it stands. */
struct position {
    const struct bs_recipe *recipe;
    int stage;
};

/* "alpha", or "awq.scale" where two algorithms of the chain have an option of that name. */
static const char *option_name(const void *context, const struct bs_option *option, char *room,
                               size_t size)
{
    const struct position *at = context;
    bool shared = false;
    for (int s = 0; s < at->recipe->num_stages; s++)
        shared |=
            s != at->stage && bs_option_find(at->recipe->stages[s].plugin->options, option->name);
    if (!shared)
        return option->name;
    snprintf(room, size, "%s.%s", at->recipe->stages[at->stage].plugin->name, option->name);
    return room;
}

/* Each after a space. */
static void append_options(const struct bs_recipe *recipe, FILE *out)
{
    for (int s = 0; s < recipe->num_stages; s++) {
        const struct position at = {recipe, s};
        bs_choice_print_short(&recipe->stages[s], option_name, &at, out);
    }
}

/* " w4 g128 sym a8 token". */
static void append_settings(const struct bs_recipe *recipe, FILE *out)
{
    struct preferences preferences = preferences_of(recipe);
    if (bs_setting_quantizes(&recipe->weights)) {
        fputs(" w", out);
        bs_setting_print_short(&recipe->weights, BS_FOR_WEIGHTS, preferences.lists, out);
    } else {
        fputs(" w16", out);
    }
    if (!bs_setting_quantizes(&recipe->activations))
        return;
    fputs(" a", out);
    bs_setting_print_short(&recipe->activations, BS_FOR_ACTIVATIONS, NULL, out);
}

/* True where calibrate_on makes this recipe another one than `auto` would. It speaks of the stages:
 * static activation scales always come from the unquantized model. */
static bool calibrate_on_matters(const struct bs_recipe *recipe)
{
    bool matters = false;
    for (int s = 0; s < recipe->num_stages; s++)
        matters |= stage_needs_calibration(&recipe->stages[s]) &&
                   bs_recipe_calibrates_on(recipe, s) != authors_choice(&recipe->stages[s]);
    return matters;
}

void bs_recipe_print_label(const struct bs_recipe *recipe, FILE *out)
{
    bs_recipe_print_algorithm(recipe, out);
    if (recipe->num_stages == 0)
        return;
    append_settings(recipe, out);
    append_options(recipe, out);
    if (calibrate_on_matters(recipe))
        fprintf(out, " calibrate_on=%s", bs_calibrate_on_names[recipe->calibrate_on]);
    if (recipe->compute != BS_FLOAT32)
        fprintf(out, " %s", bs_compute_names[recipe->compute]);
}

char *bs_recipe_text(const struct bs_recipe *recipe,
                     void (*print)(const struct bs_recipe *recipe, FILE *out))
{
    struct bs_print printing;
    if (!bs_print_begin(&printing))
        return NULL;
    print(recipe, printing.out);
    return bs_print_end(&printing);
}

void bs_recipe_print_options(const struct bs_recipe *recipe, FILE *out)
{
    char *text = bs_recipe_text(recipe, append_options);
    if (text)
        fputs(text + (*text == ' '), out);
    bs_free(text);
}

void bs_recipe_print(const struct bs_recipe *recipe, FILE *out)
{
    fputs("algorithm: ", out);
    bs_recipe_print_algorithm(recipe, out);
    fprintf(out, "\ncompute: %s\n", bs_compute_names[recipe->compute]);
    bs_setting_print(&recipe->weights, "weights", BS_FOR_WEIGHTS, out);
    bs_setting_print(&recipe->activations, "activations", BS_FOR_ACTIVATIONS, out);
    for (int s = 0; s < recipe->num_stages; s++) {
        const struct bs_choice *stage = &recipe->stages[s];
        if (stage_needs_calibration(stage))
            fprintf(out, "%s.calibrate_on: %s\n", stage->plugin->name,
                    bs_calibrate_on_names[bs_recipe_calibrates_on(recipe, s)]);
        bs_choice_print_all(stage, stage->plugin->name, out);
    }
}
