/* `calibration:`, whose lists are axes. */
#include "eval/config/load.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/config/yaml_product.h"

enum { MOST_WINDOWS = 1 << 20, MOST_TOKENS = 1 << 20 };

const char *const bs_sampling_names[] = {
    [BS_SAMPLING_SEQUENTIAL] = "sequential",
    [BS_SAMPLING_GPTQ] = "gptq",
    [BS_SAMPLING_GPTQ_DOCUMENTS] = "gptq_documents",
    [BS_SAMPLING_AWQ] = "awq",
    [BS_SAMPLING_AUTO] = "auto",
    NULL,
};

const struct bs_option bs_calibration_options[] = {
    BS_OPT(struct bs_calibration_config, windows, 128, 1, MOST_WINDOWS,
           "windows cut from the text; not for sampling awq, which takes what its documents give"),
    BS_OPT(struct bs_calibration_config, tokens, 2048, 1, MOST_TOKENS,
           "tokens of a window; the authors of AWQ take 512"),
    BS_OPT(struct bs_calibration_config, seed, 0, 0, 2147483647,
           "of every sampling but sequential; the authors of AWQ take 42"),
    BS_OPT_WORDS(
        struct bs_calibration_config, sampling, BS_CHOICE, BS_SAMPLING_AUTO, 0, 4,
        bs_sampling_names,
        "sequential = consecutive from the start; gptq = random starts as its code draws "
        "them, in drawn documents for c4; gptq_documents = so for any text; awq = shuffled "
        "documents of at most `tokens` put together and cut; auto = gptq where a seed is given, "
        "else sequential"),
    BS_OPT(struct bs_calibration_config, documents, 128, 1, MOST_WINDOWS,
           "of sampling awq: how many are put together"),
    BS_OPT(struct bs_calibration_config, lines, false, 0, 1, bs_lines_help),
    {.name = NULL},
};

const struct bs_config_key bs_calibration_keys[] = {
    {"text", "a file or a known text, see texts", "where the windows are cut from", true},
    {"field", "a text", "JSON: the key of the document (text)", false},
    {"join", "a text", "what comes between documents (\\n\\n)", false},
    {.name = NULL},
};

void bs_calibration_release(struct bs_calibration_config *calibration)
{
    bs_free(calibration->text);
    bs_free(calibration->field);
    bs_free(calibration->join);
}

int bs_calibration_seed(const struct bs_calibration_config *calibration)
{
    return calibration->sampling == BS_SAMPLING_SEQUENTIAL ? -1 : calibration->seed;
}

/* Whether both cut the same windows. */
static bool same_calibration(const struct bs_calibration_config *a,
                             const struct bs_calibration_config *b)
{
    bool awq = a->sampling == BS_SAMPLING_AWQ;
    return bs_same_text(a->text, b->text) && bs_same_text(a->field, b->field) &&
           bs_same_text(a->join, b->join) && a->lines == b->lines && a->tokens == b->tokens &&
           a->sampling == b->sampling && bs_calibration_seed(a) == bs_calibration_seed(b) &&
           (awq ? a->documents == b->documents : a->windows == b->windows);
}

/* Takes the calibration over, or releases it where one like it is there. */
static enum bs_status keep_calibration(struct bs_load *load,
                                       struct bs_calibration_config *calibration)
{
    struct bs_config *config = load->config;
    bool known = !calibration->text;
    for (int c = 0; c < config->num_calibrations; c++)
        known = known || same_calibration(&config->calibrations[c], calibration);
    if (known) {
        bs_calibration_release(calibration);
        return BS_OK;
    }
    struct bs_calibration_config *grown =
        bs_realloc(config->calibrations, (size_t)config->num_calibrations,
                   (size_t)config->num_calibrations + 1, sizeof *grown);
    if (!grown) {
        bs_calibration_release(calibration);
        return bs_fail_memory(load->err);
    }
    config->calibrations = grown;
    grown[config->num_calibrations++] = *calibration;
    return BS_OK;
}

/* One point of a calibration's axes. */
struct calibration_axes {
    struct bs_load *load;
    bool samplings, seeds; /* these are axes: what is idle for one is not for another */
};

static enum bs_status read_calibration_point(void *context, const struct bs_yaml_node *node)
{
    const struct calibration_axes *axes = context;
    struct bs_load *load = axes->load;
    struct bs_calibration_config calibration = {.text = NULL};
    bs_options_default(bs_calibration_options, &calibration);
    if (!bs_load_section(load, "calibration", node, bs_calibration_keys, bs_calibration_options,
                         &calibration))
        return BS_OK;
    if (calibration.sampling == BS_SAMPLING_AUTO)
        calibration.sampling =
            bs_yaml_get(node, "seed") ? BS_SAMPLING_GPTQ : BS_SAMPLING_SEQUENTIAL;
    bool awq = calibration.sampling == BS_SAMPLING_AWQ;
    if (!axes->samplings) {
        bs_load_idle(load, node, "windows", awq,
                     "is not for sampling awq, which cuts what its documents give, expected "
                     "documents");
        bs_load_idle(load, node, "documents", !awq, "is for sampling awq only, expected windows");
        bs_load_idle(
            load, node, "seed", axes->seeds && calibration.sampling == BS_SAMPLING_SEQUENTIAL,
            "is not for sampling sequential, which draws nothing, expected another sampling "
            "or no list of seeds");
    }
    enum bs_status status = bs_load_text(load, node, &bs_calibration_keys[0], &calibration.text);
    if (!status)
        status = bs_load_text(load, node, &bs_calibration_keys[1], &calibration.field);
    if (!status)
        status = bs_load_text(load, node, &bs_calibration_keys[2], &calibration.join);
    if (!status)
        return keep_calibration(load, &calibration);
    bs_calibration_release(&calibration);
    return status;
}

static bool is_list(const struct bs_yaml_node *node)
{
    return node && node->kind == BS_YAML_SEQUENCE && node->num_items > 1;
}

static enum bs_status read_calibration(struct bs_load *load, const struct bs_yaml_node *node)
{
    struct calibration_axes axes = {load, is_list(bs_yaml_get(node, "sampling")),
                                    is_list(bs_yaml_get(node, "seed"))};
    if (node->kind != BS_YAML_MAPPING) {
        bs_load_wrong(load, "calibration", node, bs_config_keys[1].allowed);
        return BS_OK;
    }
    if (load->config->num_calibrations + bs_yaml_points(node, BS_MAX_CALIBRATIONS) >
        BS_MAX_CALIBRATIONS) {
        bs_report_add(load->report, node->line, node->column,
                      "more than %d calibrations, expected fewer", BS_MAX_CALIBRATIONS);
        return BS_OK;
    }
    return bs_yaml_each_point(node, read_calibration_point, &axes, load->err);
}

enum bs_status bs_calibrations_read(struct bs_load *load, const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0)
        return read_calibration(load, node);
    enum bs_status status = BS_OK;
    for (int i = 0; i < node->num_items && !status; i++)
        status = read_calibration(load, node->items[i]);
    return status;
}
