/* Keys of AutoGPTQ, GPTQModel, AutoAWQ, llm-awq, GPTQ's and SmoothQuant's scripts, transformers'
 * quantization configs, llm-compressor, LightCompress, lm-evaluation-harness and llama.cpp. */
#include "eval/config/other_tools.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Keys are compared in lower case, '-' as '_'. */
static const struct {
    const char *theirs, *ours, *where;
} keys[] = {
    {"desc_act", "act_order", "as an option of gptq"},
    {"actorder", "act_order", "as an option of gptq"},
    {"damp_percent", "percdamp", "as an option of gptq"},
    {"percent_damp", "percdamp", "as an option of gptq"},
    {"dampening_frac", "percdamp", "as an option of gptq"},
    {"damping", "percdamp", "as an option of gptq"},
    {"blocksize", "block_size", "as an option of gptq"},
    {"smoothing_strength", "alpha", "as an option of smoothquant"},
    {"migration_strength", "alpha", "as an option of smoothquant"},
    {"wbits", "bits", "under weights"},
    {"w_bit", "bits", "under weights"},
    {"w_bits", "bits", "under weights"},
    {"n_bits", "bits", "under weights"},
    {"nbits", "bits", "under weights"},
    {"num_bits", "bits", "under weights"},
    {"weight_bits", "bits", "under weights"},
    {"quant_bits", "bits", "under weights"},
    {"q_bits", "bits", "under weights"},
    {"abits", "bits", "under activations"},
    {"a_bit", "bits", "under activations"},
    {"a_bits", "bits", "under activations"},
    {"act_bits", "bits", "under activations"},
    {"groupsize", "group_size", "under weights"},
    {"q_group_size", "group_size", "under weights"},
    {"w_group_size", "group_size", "under weights"},
    {"sym", "symmetric", "under weights"},
    {"zero_point", "symmetric (false where that was true)", "under weights"},
    {"mse", "range: mse", "under weights"},
    {"act_quant", "sharing", "under activations"},
    {"granularity", "sharing", "under activations"},
    {"bmm_input", "where: [inputs, qkv]", "under activations"},
    {"quantize_bmm_input", "where: [inputs, qkv]", "under activations"},
    {"modules_to_not_convert", "except", "in a grid, an entry with weights: none"},
    {"ignore", "except", "in a grid, an entry with weights: none"},
    {"module_name", "where", "in an entry of except"},
    {"targets", "where", "in an entry of except"},
    {"fmt", "format", "under weights"},
    {"quant_type", "format", "under weights"},
    {"nsamples", "windows", "under calibration"},
    {"n_samples", "windows", "under calibration"},
    {"num_samples", "windows", "under calibration"},
    {"n_sample", "windows", "under calibration"},
    {"max_calib_samples", "windows", "under calibration"},
    {"num_calibration_samples", "windows", "under calibration"},
    {"calib_samples", "windows", "under calibration"},
    {"chunks", "windows", "of a text"},
    {"limit", "windows", "of a text"},
    {"seqlen", "tokens", "of a text"},
    {"seq_len", "tokens", "of a text"},
    {"seq_length", "tokens", "of a text"},
    {"model_seqlen", "tokens", "of a text"},
    {"max_seq_length", "tokens", "of a text"},
    {"max_seq_len", "tokens", "of a text"},
    {"max_calib_seq_len", "tokens", "under calibration"},
    {"max_length", "tokens", "of a text"},
    {"n_ctx", "tokens", "of a text"},
    {"ctx_size", "tokens", "of a text"},
    {"dataset", "text", "under calibration and in evaluation"},
    {"dataset_path", "text", "under calibration and in evaluation"},
    {"calib_data", "text", "under calibration"},
    {"calib_dataset", "text", "under calibration"},
    {"calibration_dataset", "text", "under calibration"},
    {"calib", "calibration", "at the top of the file"},
    {"text_column", "field", "of a text"},
    {"calib_text_column", "field", "of a text"},
    {"method", "algorithm", "in a grid of sweep"},
    {"quant_method", "algorithm", "in a grid of sweep"},
    {"scheme", "algorithm", "in a grid of sweep"},
    {"dtype", "compute", "in a grid of sweep"},
    {"torch_dtype", "compute", "in a grid of sweep"},
    {"model_path", "model", "at the top of the file"},
    {"model_id", "model", "at the top of the file"},
    {"model_name_or_path", "model", "at the top of the file"},
    {"pretrained", "model", "at the top of the file"},
    {"eval", "evaluation", "at the top of the file"},
    {"tasks", "perplexity", "under evaluation"},
    {"ppl", "perplexity", "under evaluation"},
    {"quant", "sweep", "at the top of the file"},
    {"quantization", "sweep", "at the top of the file"},
    {"quantization_config", "sweep", "at the top of the file"},
    {"threads", "--threads", "on the command line"},
    {"n_threads", "--threads", "on the command line"},
    {"memory", "--memory", "on the command line"},
    {"output", "--output", "on the command line"},
    {"save_path", "--output", "on the command line"},
    {"output_path", "--output", "on the command line"},
};

static const struct {
    const char *key, *theirs, *ours;
} values[] = {
    {"group_size", "-1", "channel"},
    {"group_size", "0", "tensor"},
    {"group_size", "null", "channel"},
    {"sharing", "per_token", "token"},
    {"sharing", "per_tensor", "window"},
    {"sharing", "tensor", "window"},
    {"sharing", "tensor_static", "static"},
    {"compute", "float", "float32"},
    {"compute", "bf16", "bfloat16"},
    {"compute", "fp32", "float32"},
    {"zero_point", "true", "symmetric: false"},
    {"zero_point", "false", "symmetric: true"},
};

/* True where `key`, whatever its case and its dashes, is `name`. */
static bool is_same(const char *key, const char *name)
{
    for (; *key && *name; key++, name++)
        if ((*key == '-' ? '_' : tolower((unsigned char)*key)) != *name)
            return false;
    return !*key && !*name;
}

const char *bs_other_tools_name(const char *key, const struct bs_names *names)
{
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (int i = 0; i < names->count && is_same(key, keys[k].theirs); i++)
            if (!strcmp(names->names[i], keys[k].ours))
                return names->names[i];
    return NULL;
}

void bs_other_tools_hint(const char *key, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        if (is_same(key, keys[k].theirs)) {
            snprintf(out, size, "; here it is %s %s", keys[k].ours, keys[k].where);
            return;
        }
}

const char *bs_other_tools_value(const char *key, const char *value)
{
    for (size_t k = 0; k < sizeof values / sizeof *values; k++)
        if (!strcmp(values[k].key, key) && !strcasecmp(value, values[k].theirs))
            return values[k].ours;
    return NULL;
}
