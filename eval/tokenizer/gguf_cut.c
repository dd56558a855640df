/* How byte-level tokenizers cut words, by llama.cpp's names (src/llama-vocab.cpp). The patterns are
 * those of the models' own tokenizer.json, which llama.cpp's code stands for. */
#include "eval/tokenizer/gguf_tokenizer.h"

#include <stdint.h>
#include <string.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SIGNS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define ODD "[^\\r\\n\\p{L}\\p{N}]?"
#define SLASHED " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"

static const char llama3[] = CONTRACTIONS "|" LETTERS "|\\p{N}{1,3}|" SIGNS "|" SPACES;
static const char qwen2[] = CONTRACTIONS "|" LETTERS "|\\p{N}|" SIGNS "|" SPACES;
static const char tekken[] =
    ODD UPPER "*" LOWER "+|" ODD UPPER "+" LOWER "*|\\p{N}|" SLASHED "|" SPACES;
static const char gpt4o[] = ODD UPPER "*" LOWER "+" CONTRACTIONS "?|" ODD UPPER "+" LOWER
                                      "*" CONTRACTIONS "?|\\p{N}{1,3}|" SLASHED "|" SPACES;
static const char seed[] = CONTRACTIONS "|" LETTERS "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES;
static const char bloom[] = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+";

static const struct bs_gguf_cut cuts[] = {
    {.names = "gpt-2 phi-2 jais exaone4 a.x-4.0 trillion granite-docling"},
    {.names = "olmo mpt", .nfc = true},
    {.names = "smollm starcoder refact codeshell exaone minerva-7b", .digits = true},
    {.names = "command-r", .digits = true, .nfc = true},
    {.names = "llama-bpe llama3 llama-v3 falcon3 lfm2 midm-2.0 pixtral",
     .pattern = llama3,
     .ignore_merges = true,
     .add_bos = true},
    {.names = "dbrx smaug-bpe chatglm-bpe", .pattern = llama3},
    {.names = "glm4", .pattern = llama3, .ignore_merges = true},
    {.names = "qwen2 megrez", .pattern = qwen2, .nfc = true},
    {.names = "deepseek-r1-qwen stablelm2 hunyuan", .pattern = qwen2},
    {.names = "tekken", .pattern = tekken, .ignore_merges = true, .add_bos = true},
    {.names = "gpt-4o llama4", .pattern = gpt4o},
    {.names = "seed-coder", .pattern = seed},
    {.names = "bloom gpt3-finnish", .pattern = bloom},
    {.names = "falcon"},
};

const struct bs_gguf_cut *bs_gguf_cut_find(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        for (const char *at = cuts[i].names; *at;) {
            size_t word = strcspn(at, " ");
            if (word == length && !memcmp(at, name, length))
                return &cuts[i];
            at += word + (at[word] == ' ');
        }
    return NULL;
}

static json_t *split(const char *pattern)
{
    return json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", pattern,
                     "behavior", "Isolated", "invert", false);
}

static json_t *bytes(bool cuts_too)
{
    return json_pack("{s:s, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", false, "use_regex",
                     cuts_too);
}

/* Falcon's: signs, words, and then numbers by three digits. */
static json_t *falcon(void)
{
    return json_pack("[{s:s, s:s}, o, {s:s, s:b}, o]", "type", "Punctuation", "behavior",
                     "Contiguous", bytes(true), "type", "Digits", "individual_digits", false,
                     split("[0-9][0-9][0-9]"));
}

json_t *bs_gguf_cut_json(const struct bs_gguf_cut *cut)
{
    json_t *steps = NULL;
    if (!strcmp(cut->names, "falcon"))
        steps = falcon();
    else if (cut->pattern)
        steps = json_pack("[o, o]", split(cut->pattern), bytes(false));
    else if (cut->digits)
        steps =
            json_pack("[{s:s, s:b}, o]", "type", "Digits", "individual_digits", true, bytes(true));
    else
        return bytes(true);
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps);
}

/* Less what cuts nothing: keys of offsets, lists of one step, and with what is so by itself. */
static json_t *simplified(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    const json_t *steps = json_object_get(step, "pretokenizers");
    if (json_array_size(steps) == 1)
        return simplified(json_array_get(steps, 0));
    json_t *copy = json_copy((json_t *)(uintptr_t)step); /* which changes only its own list */
    if (!copy || !type)
        return copy;
    json_object_del(copy, "trim_offsets");
    if (!strcmp(type, "ByteLevel") && !json_object_get(copy, "use_regex"))
        json_object_set_new(copy, "use_regex", json_true());
    if (!steps)
        return copy;
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(steps); i++)
        json_array_append_new(list, simplified(json_array_get(steps, i)));
    json_object_set_new(copy, "pretokenizers", list);
    return copy;
}

const char *bs_gguf_cut_of(const json_t *pre_tokenizer, bool nfc, bool ignore_merges)
{
    json_t *wanted = simplified(pre_tokenizer);
    const char *names = NULL;
    for (size_t i = 0; wanted && !names && i < sizeof cuts / sizeof *cuts; i++) {
        json_t *own = bs_gguf_cut_json(&cuts[i]);
        if (own && json_equal(own, wanted) && cuts[i].nfc == nfc &&
            cuts[i].ignore_merges == ignore_merges)
            names = cuts[i].names;
        json_decref(own);
    }
    json_decref(wanted);
    return names;
}
