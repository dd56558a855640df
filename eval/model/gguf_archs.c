/* What llama.cpp calls the architectures of models, and transformers the families. */
#include <stdio.h>
#include <string.h>

#include "eval/model/gguf_config.h"

/* The first of an architecture's rows is what its files are where nothing says otherwise. */
static const struct {
    const char *arch, *model_type;
} archs[] = {
    {"llama", "llama"},
    {"llama", "mistral"},
    {"llama", "mixtral"},
    {"qwen2", "qwen2"},
    {"qwen3", "qwen3"},
    {"gemma", "gemma"},
    {"gemma2", "gemma2"},
    {"gemma3", "gemma3_text"},
    {"phi2", "phi"},
    {"phi3", "phi3"},
    {"gpt2", "gpt2"},
    {"gptneox", "gpt_neox"},
    {"falcon", "falcon"},
    {"bloom", "bloom"},
    {"mpt", "mpt"},
    {"stablelm", "stablelm"},
    {"starcoder2", "starcoder2"},
    {"command-r", "cohere"},
    {"cohere2", "cohere2"},
    {"olmo", "olmo"},
    {"olmo2", "olmo2"},
    {"olmo2", "olmo3"},
    {"granite", "granite"},
    {"smollm3", "smollm3"},
    {"nemotron", "nemotron"},
    {"exaone4", "exaone4"},
    {"glm4", "glm4"},
    {"seed_oss", "seed_oss"},
    {"qwen2moe", "qwen2_moe"},
    {"qwen3moe", "qwen3_moe"},
    {"olmoe", "olmoe"},
    {"granitemoe", "granitemoe"},
    {"granitemoe", "granitemoeshared"},
    {"gpt-oss", "gpt_oss"},
    {"deepseek2", "deepseek_v2"},
    {"deepseek2", "deepseek_v3"},
    {"llama4", "llama4_text"},
};

enum { NUM_ARCHS = sizeof archs / sizeof *archs };

const char *bs_gguf_arch_of(const struct bs_family *family)
{
    for (size_t i = 0; i < NUM_ARCHS; i++)
        if (!strcmp(archs[i].model_type, family->model_type))
            return archs[i].arch;
    return NULL;
}

static bool has_value(const struct bs_gguf_model *model, const char *key)
{
    return bs_gguf_find(&model->parts->gguf, key);
}

/* A tensor of any layer. */
static bool has_ending(const struct bs_gguf_model *model, const char *ending)
{
    size_t length = strlen(ending);
    for (int p = 0; p < model->num_parts; p++)
        for (size_t i = 0; i < model->parts[p].gguf.num_tensors; i++) {
            struct bs_gguf_text name = model->parts[p].gguf.tensors[i].name;
            if (name.length >= length && !memcmp(name.bytes + name.length - length, ending, length))
                return true;
        }
    return false;
}

const char *bs_gguf_model_type(const struct bs_gguf_model *model, const char *arch)
{
    if (!strcmp(arch, "olmo2") && has_value(model, "olmo2.attention.sliding_window"))
        return "olmo3";
    if (!strcmp(arch, "llama") && has_ending(model, ".ffn_gate_inp.weight"))
        return "mixtral";
    if (!strcmp(arch, "granitemoe") && has_ending(model, ".ffn_gate_shexp.weight"))
        return "granitemoeshared";
    if (!strcmp(arch, "deepseek2") && has_ending(model, ".exp_probs_b.bias"))
        return "deepseek_v3";
    for (size_t i = 0; i < NUM_ARCHS; i++)
        if (!strcmp(archs[i].arch, arch))
            return archs[i].model_type;
    return NULL;
}

enum bs_status bs_gguf_fail_arch(const char *path, const char *arch, struct bs_error *err)
{
    char list[600] = "";
    for (size_t i = 0, used = 0; i < NUM_ARCHS && used < sizeof list; i++)
        if (!i || strcmp(archs[i].arch, archs[i - 1].arch))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "",
                                     archs[i].arch);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: general.architecture '%.64s' is not supported; supported: %s", path, arch,
                   list);
}
