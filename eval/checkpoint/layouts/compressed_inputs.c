#define PCRE2_CODE_UNIT_WIDTH 8

#include "eval/checkpoint/layouts/compressed_inputs.h"

#include <pcre2.h>
#include <stdio.h>
#include <string.h>

/* --- which group a linear is of --- */

/* Whether Python's re.match finds the pattern at the beginning of the name. */
static enum bs_status matches(const struct bs_assembly *assembly, const char *pattern,
                              const char *module, bool *found, struct bs_error *err)
{
    enum { MOST_STEPS = 100000 };
    int code;
    PCRE2_SIZE at;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                         PCRE2_ANCHORED | PCRE2_UTF, &code, &at, NULL);
    pcre2_match_context *bounds = pcre2_match_context_create(NULL);
    pcre2_match_data *data = compiled ? pcre2_match_data_create(1, NULL) : NULL;
    int result = PCRE2_ERROR_NOMEMORY;
    if (bounds && data) {
        pcre2_set_match_limit(bounds, MOST_STEPS);
        result = pcre2_match(compiled, (PCRE2_SPTR)module, strlen(module), 0, 0, data, bounds);
    }
    bool compiles = compiled || code == PCRE2_ERROR_NOMEMORY;
    pcre2_match_data_free(data);
    pcre2_match_context_free(bounds);
    pcre2_code_free(compiled);
    *found = result >= 0;
    if (result == PCRE2_ERROR_NOMEMORY && compiles)
        return bs_fail_memory(err);
    return result >= 0 || result == PCRE2_ERROR_NOMATCH
               ? BS_OK
               : bs_fail(err, BS_EUNSUPPORTED,
                         "%s: target 're:%.80s' is no regular expression that '%.200s' could be "
                         "held against",
                         assembly->place, pattern, module);
}

/* How near a target is to a linear: its name, a pattern of names, the class of all linears. */
enum nearness { FAR, BY_CLASS, BY_PATTERN, BY_NAME };

static enum bs_status compare(const struct bs_assembly *assembly, const char *target,
                              const char *module, enum nearness *near, struct bs_error *err)
{
    bool found = false;
    *near = !strcmp(target, module) ? BY_NAME : !strcmp(target, "Linear") ? BY_CLASS : FAR;
    if (strncmp(target, "re:", 3))
        return BS_OK;
    if (matches(assembly, target + 3, module, &found, err))
        return err->status;
    *near = found ? BY_PATTERN : FAR;
    return BS_OK;
}

/* Whether all groups say the same of inputs: then no target is looked at. */
static bool all_alike(const json_t *groups)
{
    const char *name;
    json_t *group, *first = NULL;
    bool alike = true, begun = false;
    json_object_foreach((json_t *)(uintptr_t)(const void *)groups, name, group)
    {
        json_t *args = json_object_get(group, "input_activations");
        if (!begun)
            first = args;
        begun = true;
        alike &= args == first || (args && first && json_equal(args, first));
    }
    return alike;
}

/* The group whose target is nearest to the linear; of several as near that whose target comes first
 * in order, as there (utils/match.py match_targets). */
static enum bs_status find_group(const struct bs_assembly *assembly, const char *module,
                                 const json_t **found, struct bs_error *err)
{
    const char *name, *best = NULL;
    enum nearness nearest = FAR;
    json_t *group, *groups = json_object_get(assembly->settings, "config_groups");
    bool alike = all_alike(groups);
    *found = NULL;
    json_object_foreach(groups, name, group)
    {
        const json_t *targets = json_object_get(group, "targets");
        if (alike) {
            *found = group;
            return BS_OK;
        }
        for (size_t i = 0; i < json_array_size(targets); i++) {
            const char *target = json_string_value(json_array_get(targets, i));
            enum nearness near;
            if (!target)
                continue;
            if (compare(assembly, target, module, &near, err))
                return err->status;
            if (near < nearest || near == FAR ||
                (near == nearest && best && strcmp(target, best) >= 0))
                continue;
            nearest = near;
            best = target;
            *found = group;
        }
    }
    return BS_OK;
}

/* --- what it says --- */

/* "int bits 8 grid compressed_tensors symmetric true": the numbers; "" where there are none such.
 */
static void print_numbers(const json_t *args, char *out, size_t size)
{
    json_int_t bits = json_integer_value(json_object_get(args, "num_bits"));
    bool symmetric = bs_layout_true(args, "symmetric", true);
    const char *type = bs_layout_word(args, "type", "int");
    const char *strategy = bs_layout_word(args, "strategy", "");
    const char *scales = bs_layout_word(args, "scale_dtype", "");
    bool powers = !strcmp(scales, "torch.uint8");
    *out = 0;
    if (!strcmp(type, "int") && bits >= 2 && bits <= 8)
        snprintf(out, size, "int bits %d grid compressed_tensors symmetric %s", (int)bits,
                 symmetric ? "true" : "false");
    else if (strcmp(type, "float") || !symmetric)
        return;
    else if (bits == 8)
        snprintf(out, size, powers ? "mxfp8_e4m3 scale_rule even_fp4" : "fp8_e4m3");
    else if (bits == 4 && !strcmp(strategy, "tensor_group"))
        snprintf(out, size, "nvfp4 scale_rule compressed_tensors");
    else if (bits == 4 && powers)
        snprintf(out, size, "mxfp4 scale_rule even");
}

/* "sharing token group_size 128"; "" where no sharing is like it. */
static void print_sharing(const json_t *args, bool moving, char *out, size_t size)
{
    const char *strategy = bs_layout_word(args, "strategy", "tensor");
    json_int_t group = json_integer_value(json_object_get(args, "group_size"));
    bool powers = !strcmp(bs_layout_word(args, "scale_dtype", ""), "torch.uint8");
    *out = 0;
    if (moving && (!strcmp(strategy, "token") || (!strcmp(strategy, "group") && powers)))
        snprintf(out, size, "sharing token");
    else if (moving && !strcmp(strategy, "group") && group > 0)
        snprintf(out, size, "sharing token group_size %d", (int)group);
    else if (!moving && (!strcmp(strategy, "tensor") || !strcmp(strategy, "tensor_group")))
        snprintf(out, size, "sharing static");
}

enum bs_status bs_compressed_inputs(const struct bs_assembly *assembly, const char *module,
                                    struct bs_coded_inputs *inputs, struct bs_error *err)
{
    char numbers[64], sharing[48];
    const json_t *group;
    if (find_group(assembly, module, &group, err))
        return err->status;
    const json_t *args = json_object_get(group, "input_activations");
    if (!json_object_size(args))
        return BS_OK;
    /* "local": the scales of groups are found as values pass, that above them is fixed */
    const json_t *moves = json_object_get(args, "dynamic");
    print_numbers(args, numbers, sizeof numbers);
    print_sharing(args, json_is_true(moves), sharing, sizeof sharing);
    bool blocks = !strcmp(bs_layout_word(args, "strategy", ""), "tensor_group");
    if (!*numbers || !*sharing || (blocks && !json_is_string(moves))) {
        snprintf(inputs->setting, sizeof inputs->setting, "format unknown");
        return BS_OK;
    }
    snprintf(inputs->setting, sizeof inputs->setting, "format %s %s", numbers, sharing);
    if (json_is_true(moves))
        return BS_OK;
    if (bs_assembly_scale(assembly, module, blocks ? ".input_global_scale" : ".input_scale",
                          &inputs->scale, err))
        return err->status;
    if (bs_layout_true(args, "symmetric", true))
        return BS_OK;
    json_int_t bits = json_integer_value(json_object_get(args, "num_bits"));
    if (bs_assembly_number(assembly, module, ".input_zero_point", "I8", &inputs->zero, err))
        return err->status;
    inputs->zero += (float)(1 << (bits - 1));
    return BS_OK;
}
