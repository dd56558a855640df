#include "eval/checkpoint/foreign.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "eval/base/json.h"
#include "eval/base/file.h"
#include "eval/base/mem.h"

/* --- files --- */

/* The folder that a path lies in, for commands that a user can copy. */
static void split_path(const char *path, char folder[BS_NAME_BYTES], const char **name)
{
    *name = bs_path_name(path);
    int length = (int)(*name - path) - 1;
    snprintf(folder, BS_NAME_BYTES, "%.*s", length < 0 ? 1 : length, length < 0 ? "." : path);
}

static enum bs_status fail_file(const char *path, struct bs_error *err)
{
    char folder[BS_NAME_BYTES];
    const char *name;
    split_path(path, folder, &name);
    if (bs_ends_in(name, ".safetensors") || bs_ends_in(name, ".bin") || bs_ends_in(name, ".pt") ||
        bs_ends_in(name, ".pth") || bs_ends_in(name, ".json"))
        return bs_fail(
            err, BS_EUNSUPPORTED,
            "%s: one file of a model; name the folder that it lies in (%.200s), which also "
            "holds config.json and the tokenizer",
            path, folder);
    return bs_fail(
        err, BS_EUNSUPPORTED,
        "%s: a file, expected a folder with config.json, weights and tokenizer, or a GGUF "
        "file",
        path);
}

/* --- folders --- */

static bool has(const char *directory, const char *name)
{
    struct stat info;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return !stat(path, &info);
}

/* Files by which other layouts are known. */
static const struct {
    const char *file, *what;
} layouts[] = {
    {"model_index.json", "a diffusion pipeline; bitsweep measures language models"},
    {"params.json",
     "weights in their maker's own layout (params.json); convert them with the script "
     "that transformers has for the model (convert_..._weights_to_hf.py)"},
    {"tf_model.h5",
     "weights of TensorFlow; load them with transformers (from_tf=True) and save them"},
    {"flax_model.msgpack",
     "weights of Flax; load them with transformers (from_flax=True) and save them"},
    {"genai_config.json", "a model of ONNX Runtime; take the checkpoint that it was made from"},
    {"openvino_model.xml", "a model of OpenVINO; take the checkpoint that it was made from"},
    {"mlc-chat-config.json", "a model of MLC; take the checkpoint that it was made from"},
};

enum bs_status bs_foreign_weights(const char *directory, const char *missing, struct bs_error *err)
{
    char name[BS_NAME_BYTES];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (has(directory, layouts[i].file))
            return bs_fail(err, BS_EUNSUPPORTED, "%s: %s", directory, layouts[i].what);
    if (bs_folder_find(directory, ".gguf", name))
        return bs_fail(
            err, BS_EUNSUPPORTED,
            "%s: the weights are a GGUF file, and what it holds is the whole model; name "
            "the file: %s/%s",
            directory, directory, name);
    if (bs_folder_find(directory, ".onnx", name))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: a model of ONNX; take the checkpoint that it was made from", directory);
    return bs_fail(err, BS_EIO, "%s: %s", directory, missing);
}

enum bs_status bs_foreign_path(const char *path, struct bs_error *err)
{
    struct stat info;
    if (stat(path, &info))
        return bs_fail(err, BS_EIO, "cannot open %s/config.json: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return fail_file(path, err);
    if (has(path, "config.json"))
        return BS_OK;
    return bs_foreign_weights(
        path,
        "there is no config.json, expected a folder of the Hugging Face layout "
        "(config.json, model.safetensors, tokenizer.json), as save_pretrained writes it",
        err);
}

/* --- config.json --- */

const char *bs_foreign_kind(const char *model_type)
{
    static const struct {
        const char *what, *types[28];
    } kinds[] = {
        {"an encoder, which does not predict the next token",
         {"bert",       "roberta",    "distilbert",     "albert",      "electra",
          "deberta",    "deberta-v2", "mpnet",          "xlm-roberta", "camembert",
          "modernbert", "nomic_bert", "nomic_bert_moe", "new",         "eurobert",
          "xlm",        "longformer", "big_bird",       "layoutlm",    "esm"}},
        {"an encoder and a decoder; bitsweep measures decoders",
         {"t5", "mt5", "umt5", "longt5", "bart", "mbart", "pegasus", "marian", "m2m_100", "whisper",
          "led", "blenderbot", "switch_transformers", "fsmt", "prophetnet", "encoder-decoder",
          "seamless_m4t", "speech_to_text", "t5gemma"}},
        {"a mixture of experts of a kind that bitsweep does not compute yet",
         {"phimoe", "dbrx", "glm4_moe", "ernie4_5_moe", "jetmoe", "minimax", "hunyuan_v1_moe",
          "dots1", "deepseek"}},
        {"a state-space or recurrent model, which bitsweep does not compute",
         {"mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "zamba", "zamba2", "jamba",
          "bamba", "xlstm", "granitemoehybrid", "falcon_h1", "nemotron_h", "qwen3_next", "lfm2"}},
        {"a model of images, sound or both, without a text part that bitsweep opens",
         {"vit",      "clip",     "siglip",          "siglip2",          "wav2vec2",
          "hubert",   "dinov2",   "qwen2_vl",        "qwen2_5_vl",       "qwen3_vl",
          "mllama",   "gemma3n",  "phi4_multimodal", "paligemma",        "chameleon",
          "fuyu",     "kosmos-2", "blip-2",          "qwen2_audio",      "qwen2_5_omni",
          "ultravox", "voxtral",  "aya_vision",      "llava_next_video", "got_ocr2"}},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (bs_word_in(model_type, kinds[k].types))
            return kinds[k].what;
    return NULL;
}

/* --- tensors --- */

const char *bs_foreign_tensor(const char *name)
{
    static const struct {
        const char *ending, *scheme;
    } endings[] = {
        {".qweight", "GPTQ or AWQ"},
        {".qzeros", "GPTQ or AWQ"},
        {".weight_packed", "compressed-tensors"},
        {".weight.absmax", "bitsandbytes"},
        {".weight.quant_map", "bitsandbytes"},
        {".SCB", "bitsandbytes"},
        {".weight_scale_inv", "float8 with block scales"},
        {".weight_scale", "weights with scales of their own"},
        {".W_q", "HQQ"},
        {".weight._data", "Quanto"},
    };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (bs_ends_in(name, endings[i].ending))
            return endings[i].scheme;
    return NULL;
}
