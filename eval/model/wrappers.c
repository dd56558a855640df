#include "eval/model/wrappers.h"

#include <stddef.h>
#include <string.h>

/* Each was compared with transformers' own class of the whole model, run on text. */
static const struct bs_wrapper wrappers[] = {
    {"gemma3", "gemma3_text"}, {"mistral3", "mistral"},      {"llava", "llama"},
    {"llava_next", "llama"},   {"llava_onevision", "qwen2"}, {"video_llava", "llama"},
    {"vipllava", "llama"},     {"internvl", "qwen2"},        {"idefics3", "llama"},
    {"smolvlm", "llama"},      {"llama4", "llama4_text"},
};

const struct bs_wrapper *bs_wrapper_at(int index)
{
    int count = sizeof wrappers / sizeof *wrappers;
    return index < count ? &wrappers[index] : NULL;
}

const struct bs_wrapper *bs_wrapper_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        if (!strcmp(wrappers[i].model_type, model_type))
            return &wrappers[i];
    return NULL;
}

const struct bs_wrapper_place bs_wrapper_places[] = {
    {"model.language_model.", ""},
    {"language_model.model.", "language_model."},
    {"model.text_model.", ""},
    {"language_model.", ""},
    {NULL, NULL},
};
