#include "eval/recipe/recipe.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"

enum { VALUE_TEXT = 64 };

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
    bs_options_default(bs_format_options, &recipe->weights);
    bs_options_default(bs_activations_options, &recipe->activations);
    recipe->calibrate_on = BS_ON_AUTO;
}

void bs_recipe_release(struct bs_recipe *recipe)
{
    for (int s = 0; s < recipe->num_stages; s++)
        bs_choice_release(&recipe->stages[s]);
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
    for (int s = 0; s < from->num_stages; s++) {
        if (bs_choice_copy(&to->stages[s], &from->stages[s], err)) {
            bs_recipe_release(to);
            return err->status;
        }
        to->num_stages++;
    }
    return BS_OK;
}

/* The last stage that has a preference decides: it is the one nearest to the rounding. */
static enum bs_grid preferred_grid(const struct bs_recipe *recipe)
{
    for (int s = recipe->num_stages - 1; s >= 0; s--)
        if (bs_algorithm_of(&recipe->stages[s])->grid != BS_GRID_AUTO)
            return bs_algorithm_of(&recipe->stages[s])->grid;
    return BS_GRID_GPTQ;
}

enum bs_status bs_recipe_resolve(struct bs_recipe *recipe, struct bs_error *err)
{
    if (bs_format_resolve(&recipe->weights, preferred_grid(recipe), err))
        return bs_fail_within(err, "weights");
    enum bs_status status = bs_activations_resolve(&recipe->activations, err);
    if (status)
        return status;
    if (recipe->compute != BS_FLOAT32 && recipe->activations.bits != BS_BITS_NONE)
        return bs_fail(err, BS_ECONFIG,
                       "compute is %s but activations have %d bits, expected compute: float32, or "
                       "activations of 16 bits",
                       bs_compute_names[recipe->compute], recipe->activations.bits);
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
    struct bs_needs needs = {0};
    if (bs_algorithm_of(stage)->needs)
        bs_algorithm_of(stage)->needs(stage->options, &needs);
    return needs.hessian || needs.absmax || needs.absmean || needs.module_inputs ||
           needs.sample_tokens > 0;
}

static bool static_activations(const struct bs_recipe *recipe)
{
    return recipe->activations.bits < BS_BITS_NONE &&
           recipe->activations.granularity == BS_ACT_TENSOR_STATIC;
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

/* " sym" or " asym" where the authors of the grid do the other. */
static void append_symmetry(const struct bs_format *format, FILE *out)
{
    struct bs_format natural = *format;
    struct bs_error ignored;
    natural.symmetric = BS_SYMMETRIC_AUTO;
    if (bs_format_resolve(&natural, (enum bs_grid)format->grid, &ignored) ||
        natural.symmetric != format->symmetric)
        fputs(format->symmetric == BS_SYMMETRIC ? " sym" : " asym", out);
}

static void append_grid(int grid, enum bs_grid preferred, FILE *out)
{
    if (grid != (int)preferred)
        fprintf(out, " grid=%s", bs_grid_name((enum bs_grid)grid));
}

/* Options that only the mse range looks at. */
static bool is_range_detail(const struct bs_option *option)
{
    return !strncmp(option->name, "range_", strlen("range_"));
}

static void print_detail(const struct bs_option *option, const void *values, FILE *out)
{
    char value[VALUE_TEXT];
    bs_option_print(option, values, value, sizeof value);
    fprintf(out, " %s=%s", option->name, value);
}

static void append_weights(const struct bs_recipe *recipe, FILE *out)
{
    struct bs_format format = recipe->weights;
    struct bs_error ignored;
    enum bs_grid preferred = preferred_grid(recipe);
    fprintf(out, " w%d", format.bits);
    if (format.bits == BS_BITS_NONE || bs_format_resolve(&format, preferred, &ignored))
        return;
    if (format.group_size > 0)
        fprintf(out, " g%d", format.group_size);
    else
        fputs(format.group_size == BS_GROUP_TENSOR ? " tensor" : " channel", out);
    append_symmetry(&format, out);
    append_grid(format.grid, preferred, out);
    if (format.range != BS_RANGE_MSE)
        return;
    fputs(" mse", out);
    for (const struct bs_option *o = bs_format_options; o->name; o++)
        if (is_range_detail(o) && !bs_option_is_default(o, &format))
            print_detail(o, &format, out);
}

static void append_activations(const struct bs_recipe *recipe, FILE *out)
{
    struct bs_activations activations = recipe->activations;
    struct bs_error ignored;
    if (activations.bits == BS_BITS_NONE || bs_activations_resolve(&activations, &ignored))
        return;
    char granularity[VALUE_TEXT];
    bs_option_print(bs_option_find(bs_activations_options, "granularity"), &activations,
                    granularity, sizeof granularity);
    fprintf(out, " a%d %s", activations.bits, granularity);
    struct bs_format format = bs_activations_format(&activations);
    append_symmetry(&format, out);
    append_grid(activations.grid, BS_GRID_SMOOTHQUANT, out);
    if (activations.bmm_input)
        fputs(" bmm_input", out);
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
    append_weights(recipe, out);
    append_activations(recipe, out);
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

static void print_setting(const char *prefix, const struct bs_option *option, const void *values,
                          FILE *out)
{
    char value[VALUE_TEXT];
    bs_option_print(option, values, value, sizeof value);
    fprintf(out, "%s.%s: %s\n", prefix, option->name, value);
}

/* At 16 bits nothing is quantized and no other setting of the format is looked at: printed alike,
 * recipes that do the same coincide. */
static void print_format(const char *prefix, const struct bs_option *options, const void *values,
                         bool quantized, bool range_details, FILE *out)
{
    for (const struct bs_option *o = options; o->name; o++) {
        if (is_range_detail(o) && !range_details)
            continue;
        if (quantized || !strcmp(o->name, "bits"))
            print_setting(prefix, o, values, out);
        else
            fprintf(out, "%s.%s: none\n", prefix, o->name);
    }
}

void bs_recipe_print(const struct bs_recipe *recipe, FILE *out)
{
    fputs("algorithm: ", out);
    bs_recipe_print_algorithm(recipe, out);
    fprintf(out, "\ncompute: %s\n", bs_compute_names[recipe->compute]);
    bool quantized = recipe->weights.bits != BS_BITS_NONE;
    print_format("weights", bs_format_options, &recipe->weights, quantized,
                 quantized && recipe->weights.range == BS_RANGE_MSE, out);
    print_format("activations", bs_activations_options, &recipe->activations,
                 recipe->activations.bits != BS_BITS_NONE, false, out);
    for (int s = 0; s < recipe->num_stages; s++) {
        const struct bs_choice *stage = &recipe->stages[s];
        if (stage_needs_calibration(stage))
            fprintf(out, "%s.calibrate_on: %s\n", stage->plugin->name,
                    bs_calibrate_on_names[bs_recipe_calibrates_on(recipe, s)]);
        bs_choice_print_all(stage, stage->plugin->name, out);
    }
}
