/* As transformers 5.24 has it (models/auto/tokenization_auto.py, tokenization_utils_tokenizers.py
 * and the classes' own files). Until 4.57 every class took its pipeline from tokenizer.json. */
#include "eval/tokenizer/tokenizer_class.h"

#include "eval/base/json.h"

#include <string.h>

const char *const bs_special_keys[BS_SPECIAL_TOKENS + 1] = {"bos_token",  "eos_token", "unk_token",
                                                            "sep_token",  "pad_token", "cls_token",
                                                            "mask_token", NULL};

static const char backend[] = "TokenizersBackend";

/* The tokens for filling in code, which Code Llama's class has by name. */
static const char *const code_llama_tokens[] = {"prefix_token",
                                                "\xe2\x96\x81<PRE>",
                                                "middle_token",
                                                "\xe2\x96\x81<MID>",
                                                "suffix_token",
                                                "\xe2\x96\x81<SUF>",
                                                "eot_token",
                                                "\xe2\x96\x81<EOT>",
                                                "fill_token",
                                                "<FILL_ME>",
                                                NULL};

/* Qwen's split patterns differ in whether a mark (M) is part of a word (L). */
#define QWEN_SPLIT(LETTER, CLASS)                                                                  \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"        \
    "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" LETTER                         \
    "+|\\\\p{N}| ?[^\\\\s" CLASS                                                                   \
    "\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"                       \
    "\"behavior\":\"Isolated\",\"invert\":false},"                                                 \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"
#define METASPACE                                                                                  \
    "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"first\","       \
    "\"split\":false}"
#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define NFC "{\"type\":\"NFC\"}"
#define END "<|endoftext|>"

/* In the order of bs_special_keys: bos, eos, unk, sep, pad, cls, mask. The first is for every other
 * name. */
static const struct bs_tokenizer_class classes[] = {
    {.name = backend},
    {.name = "LlamaTokenizer",
     .specials = {"<s>", "</s>", "<unk>"},
     .model = "{\"fuse_unk\":true,\"byte_fallback\":true}",
     .normalizer = "null",
     .pre_tokenizer = METASPACE,
     .prefix = BS_PREFIX_METASPACE,
     .adds_prefix = true},
    {.name = "CodeLlamaTokenizer",
     .specials = {"<s>", "</s>", "<unk>"},
     .more = code_llama_tokens,
     .model = "{\"fuse_unk\":true,\"byte_fallback\":true,\"unk_token\":null}",
     .normalizer = "null",
     .pre_tokenizer = METASPACE,
     .prefix = BS_PREFIX_METASPACE,
     .adds_prefix = true,
     .sets_template = true,
     .add_bos = true},
    {.name = "GemmaTokenizer",
     .specials = {"<bos>", "<eos>", "<unk>", NULL, "<pad>", NULL, "<mask>"},
     .model = "{\"fuse_unk\":true,\"byte_fallback\":true,\"unk_token\":null}",
     .normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
                   "\"content\":\"\xe2\x96\x81\"}",
     .pre_tokenizer = "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},"
                      "\"behavior\":\"MergedWithPrevious\",\"invert\":false}"},
    {.name = "GPTNeoXTokenizer",
     .specials = {END, END, END, NULL, "<|padding|>"},
     .model = "{}",
     .normalizer = NFC,
     .pre_tokenizer = BYTE_LEVEL,
     .prefix = BS_PREFIX_BYTE_LEVEL,
     .vocab_files = true,
     .sets_template = true},
    {.name = "GPT2Tokenizer",
     .specials = {END, END, END},
     .model = "{}",
     .normalizer = "null",
     .pre_tokenizer = BYTE_LEVEL,
     .prefix = BS_PREFIX_BYTE_LEVEL,
     .vocab_files = true},
    {.name = "CodeGenTokenizer",
     .specials = {END, END, END},
     .model = "{}",
     .normalizer = "null",
     .pre_tokenizer = BYTE_LEVEL,
     .prefix = BS_PREFIX_BYTE_LEVEL,
     .vocab_files = true},
    {.name = "Qwen2Tokenizer",
     .specials = {NULL, END, END, NULL, END},
     .model = "{}",
     .normalizer = NFC,
     .pre_tokenizer = QWEN_SPLIT("\\\\p{L}", "\\\\p{L}"),
     .prefix = BS_PREFIX_BYTE_LEVEL,
     .vocab_files = true,
     .adds_again = true},
    {.name = "Qwen3_5Tokenizer",
     .specials = {NULL, END, END, NULL, END},
     .model = "{}",
     .normalizer = NFC,
     .pre_tokenizer = QWEN_SPLIT("[\\\\p{L}\\\\p{M}]", "\\\\p{L}\\\\p{M}"),
     .prefix = BS_PREFIX_BYTE_LEVEL,
     .vocab_files = true},
    {.name = "CohereTokenizer",
     .specials = {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "<SEP>", "<PAD>", "<CLS>",
                  "<MASK_TOKEN>"},
     .model = "{}",
     .normalizer = NFC,
     .pre_tokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                      "\"individual_digits\":true}," BYTE_LEVEL "]}",
     .prefix = BS_PREFIX_BYTE_LEVEL,
     .vocab_files = true,
     .adds_again = true,
     .keeps_flags = true},
};
enum { NUM_CLASSES = sizeof classes / sizeof *classes };

/* Classes of transformers that build a pipeline of their own, or none of the tokenizers library,
 * and are not read here; less their ending "Tokenizer". */
static const char *const foreign_classes[] = {"Albert",
                                              "Bart",
                                              "Barthez",
                                              "Bartpho",
                                              "BertGeneration",
                                              "BertJapanese",
                                              "Bert",
                                              "Bertweet",
                                              "BigBird",
                                              "BioGpt",
                                              "BlenderbotSmall",
                                              "Blenderbot",
                                              "ByT5",
                                              "CLIP",
                                              "CTRL",
                                              "Camembert",
                                              "Canine",
                                              "Clvp",
                                              "ConvBert",
                                              "CpmAnt",
                                              "Cpm",
                                              "DPRContextEncoder",
                                              "DPRQuestionEncoder",
                                              "DPRReader",
                                              "Deberta",
                                              "DebertaV2",
                                              "Dia",
                                              "DistilBert",
                                              "Electra",
                                              "Esm",
                                              "Esmc",
                                              "FSMT",
                                              "FastSpeech2Conformer",
                                              "Flaubert",
                                              "Funnel",
                                              "GPTNeoXJapanese",
                                              "GPTSw3",
                                              "Herbert",
                                              "LED",
                                              "Lasr",
                                              "LayoutLM",
                                              "LayoutLMv2",
                                              "LayoutLMv3",
                                              "LayoutXLM",
                                              "Longformer",
                                              "Luke",
                                              "Lxmert",
                                              "M2M100",
                                              "MBart50",
                                              "MBart",
                                              "MLuke",
                                              "MPNet",
                                              "Marian",
                                              "MarkupLM",
                                              "Mgpstr",
                                              "MobileBert",
                                              "Mvp",
                                              "MyT5",
                                              "Nllb",
                                              "Nougat",
                                              "OpenAIGPT",
                                              "PLBart",
                                              "Pegasus",
                                              "Perceiver",
                                              "Phobert",
                                              "Pop2Piano",
                                              "ProphetNet",
                                              "Rag",
                                              "Reformer",
                                              "RemBert",
                                              "RoCBert",
                                              "RoFormer",
                                              "Roberta",
                                              "SeamlessM4T",
                                              "Siglip2",
                                              "Siglip",
                                              "Speech2Text",
                                              "SpeechT5",
                                              "Splinter",
                                              "SqueezeBert",
                                              "T5",
                                              "Tapas",
                                              "Tipsv2",
                                              "Udop",
                                              "VideoPrism",
                                              "Vits",
                                              "Wav2Vec2CTC",
                                              "Wav2Vec2PhonemeCTC",
                                              "Whisper",
                                              "XGLM",
                                              "XLMRoberta",
                                              "XLM",
                                              "XLNet",
                                              NULL};

/* What transformers has registered for a model_type of language models; for others the class that
 * the files name counts, else the file's pipeline. `wrong`: repositories of the type are known to
 * name the wrong class, the registered one counts. */
static const struct registered {
    const char *model_type, *class;
    bool wrong;
} registered[] = {
    {"codegen", "GPT2Tokenizer", false},
    {"cohere", "CohereTokenizer", false},
    {"cohere2", "CohereTokenizer", false},
    {"dbrx", "GPT2Tokenizer", false},
    {"falcon_mamba", "GPTNeoXTokenizer", false},
    {"flex_olmo", backend, false},
    {"gemma", "GemmaTokenizer", false},
    {"gemma2", "GemmaTokenizer", false},
    {"gemma3", "GemmaTokenizer", false},
    {"gemma3_text", "GemmaTokenizer", false},
    {"gemma3n", "GemmaTokenizer", false},
    {"gemma3n_text", "GemmaTokenizer", false},
    {"glm", backend, false},
    {"glm4", backend, false},
    {"glm4_moe", backend, false},
    {"gpt2", "GPT2Tokenizer", false},
    {"gpt_bigcode", backend, false},
    {"gpt_neo", "GPT2Tokenizer", false},
    {"gpt_neox", "GPTNeoXTokenizer", false},
    {"gptj", "GPT2Tokenizer", false},
    {"granite", backend, false},
    {"granitemoe", backend, false},
    {"granitemoehybrid", backend, false},
    {"granitemoeshared", backend, false},
    {"internlm2", backend, true},
    {"internlm3", backend, true},
    {"jais2", "GPT2Tokenizer", false},
    {"jamba", backend, true},
    {"llava", backend, true},
    {"llava_next", backend, true},
    {"mamba", "GPTNeoXTokenizer", false},
    {"mamba2", "GPTNeoXTokenizer", false},
    {"minicpm3", backend, true},
    {"minimax_m2", backend, true},
    {"ministral", backend, false},
    {"ministral3", backend, false},
    {"mistral", backend, false},
    {"mistral3", backend, false},
    {"mixtral", backend, false},
    {"mpt", "GPTNeoXTokenizer", false},
    {"nemotron", backend, true},
    {"olmo", "GPTNeoXTokenizer", false},
    {"olmo2", backend, false},
    {"olmo3", backend, false},
    {"olmo_hybrid", backend, false},
    {"olmoe", "GPTNeoXTokenizer", false},
    {"opt", "GPT2Tokenizer", false},
    {"persimmon", backend, false},
    {"phi", "GPT2Tokenizer", false},
    {"phi3", backend, true},
    {"phi3_v", backend, true},
    {"phimoe", backend, true},
    {"pixtral", backend, false},
    {"qwen2", "Qwen2Tokenizer", true},
    {"qwen2_5_vl", "Qwen2Tokenizer", false},
    {"qwen2_moe", "Qwen2Tokenizer", false},
    {"qwen2_vl", "Qwen2Tokenizer", false},
    {"qwen3", "Qwen2Tokenizer", false},
    {"qwen3_5", "Qwen3_5Tokenizer", true},
    {"qwen3_5_moe", "Qwen3_5Tokenizer", true},
    {"qwen3_5_moe_text", "Qwen3_5Tokenizer", true},
    {"qwen3_5_text", "Qwen3_5Tokenizer", false},
    {"qwen3_moe", "Qwen2Tokenizer", false},
    {"qwen3_next", "Qwen2Tokenizer", false},
    {"recurrent_gemma", "GemmaTokenizer", false},
    {"rwkv", "GPTNeoXTokenizer", false},
    {"stablelm", backend, false},
    {"starcoder2", "GPT2Tokenizer", false},
    {"xlstm", "GPTNeoXTokenizer", false},
};

/* --- finding --- */

/* The length of a class's name without its ending "Fast". */
static size_t base_length(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && !strcmp(name + size - 4, "Fast") ? size - 4 : size;
}

static bool same_class(const char *a, const char *b)
{
    size_t size = base_length(a);
    return size == base_length(b) && !strncmp(a, b, size);
}

static const struct bs_tokenizer_class *find_class(const char *name)
{
    for (int i = 0; i < NUM_CLASSES; i++)
        if (same_class(classes[i].name, name))
            return &classes[i];
    return NULL;
}

static bool is_foreign(const char *name)
{
    static const char ending[] = "Tokenizer";
    size_t size = base_length(name), end = strlen(ending);
    if (size <= end || strncmp(name + size - end, ending, end))
        return false;
    for (const char *const *class = foreign_classes; *class; class ++)
        if (strlen(*class) == size - end && !strncmp(*class, name, size - end))
            return true;
    return false;
}

/* Whether transformers itself has a class of that name. */
static bool is_known(const char *name)
{
    return find_class(name) || is_foreign(name) || same_class(name, "PreTrainedTokenizer") ||
           same_class(name, "BloomTokenizer");
}

static const struct registered *find_registered(const char *model_type)
{
    for (size_t i = 0; model_type && i < sizeof registered / sizeof *registered; i++)
        if (!strcmp(registered[i].model_type, model_type))
            return &registered[i];
    return NULL;
}

/* The repository's own class, where it has one. */
static const char *own_code(const json_t *config)
{
    const json_t *map = json_object_get(config, "auto_map");
    const json_t *entry = json_is_array(map) ? map : json_object_get(map, "AutoTokenizer");
    const char *last = json_string_value(json_array_get(entry, 1));
    const char *name = last ? last : json_string_value(json_array_get(entry, 0));
    return name ? name : json_string_value(entry);
}

/* The name of the class that counts, of what the files name (NULL: nothing) and what is registered
 * (NULL: nothing). */
static const char *choose_name(const char *named, const struct registered *row, bool byte_level,
                               bool own)
{
    if (named && !own && same_class(named, "LlamaTokenizer") && !(row && row->wrong) && byte_level)
        return backend; /* Llama 3 and others that name Llama 2's class */
    if (named && !own && row && !same_class(row->class, named))
        return !strcmp(row->class, backend) || row->wrong ? row->class : named;
    if (named)
        return named;
    return row ? row->class : backend;
}

enum bs_status bs_tokenizer_class_find(const char *directory, const json_t *config,
                                       const json_t *model_config, bool byte_level,
                                       const struct bs_tokenizer_class **class,
                                       struct bs_error *err)
{
    const char *named = json_string_value(json_object_get(config, "tokenizer_class"));
    const char *file = "tokenizer_config.json", *own = own_code(config);
    if (!named) {
        named = json_string_value(json_object_get(model_config, "tokenizer_class"));
        file = named || !own ? "config.json" : file;
    }
    const struct registered *row =
        find_registered(json_string_value(json_object_get(model_config, "model_type")));
    if (own && !(named ? is_known(named) : row != NULL) && !(row && row->wrong))
        return bs_fail(
            err, BS_EUNSUPPORTED,
            "%s/%s: auto_map: the tokenizer is code of its own, '%.200s', which bitsweep "
            "does not run; expected a class of transformers",
            directory, "tokenizer_config.json", own);
    const char *name = choose_name(named, row, byte_level, own != NULL);
    *class = find_class(name);
    if (!*class && is_foreign(name))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s/%s: tokenizer_class '%.200s' has a pipeline of its own that is not "
                       "supported; 'TokenizersBackend' would take what tokenizer.json says",
                       directory, file, name);
    if (!*class)
        *class = &classes[0];
    /* transformers builds the class's pipeline all the same, and nearly every token is unknown */
    if (byte_level && (*class)->model && !strstr((*class)->pre_tokenizer, "ByteLevel"))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s/%s: tokenizer_class '%.200s' knows no bytes as letters, but "
                       "tokenizer.json is of such (ByteLevel); 'TokenizersBackend' would take what "
                       "tokenizer.json says",
                       directory, file, name);
    return BS_OK;
}

/* --- building --- */

static json_t *parse_part(const char *text) { return json_loads(text, JSON_DECODE_ANY, NULL); }

/* The ByteLevel of a pre_tokenizer, alone or last in a sequence. */
static json_t *find_byte_level(json_t *pre)
{
    json_t *parts = json_object_get(pre, "pretokenizers");
    return parts ? json_array_get(parts, json_array_size(parts) - 1) : pre;
}

/* Puts add_prefix_space in; false when memory runs out. */
static bool set_prefix(const struct bs_tokenizer_class *class, const json_t *config, json_t *pre)
{
    const json_t *option = json_object_get(config, "add_prefix_space");
    bool prefix = json_is_boolean(option) ? json_is_true(option) : class->adds_prefix;
    if (class->prefix == BS_PREFIX_BYTE_LEVEL)
        return !json_object_set_new(find_byte_level(pre), "add_prefix_space", json_boolean(prefix));
    if (class->prefix == BS_PREFIX_NONE)
        return true;
    bool legacy = !class->more && json_is_true(json_object_get(config, "legacy"));
    const char *scheme = !prefix ? "never" : legacy ? "always" : "first";
    return !json_object_set_new(pre, "prepend_scheme", json_string(scheme));
}

/* The spelling of the unknown token, for a class that tells its model. */
static json_t *unknown_token(const struct bs_tokenizer_class *class, const json_t *config)
{
    const json_t *token = json_object_get(config, "unk_token");
    json_t *content = json_is_object(token) ? json_object_get(token, "content")
                                            : json_object_get(config, "unk_token");
    enum { UNKNOWN = 2 };
    return json_is_string(content) ? json_incref(content) : json_string(class->specials[UNKNOWN]);
}

/* False when memory runs out; what is missing stays so. */
static bool copy_key(json_t *from, json_t *to, const char *key)
{
    json_t *value = json_object_get(from, key);
    return !value || !json_object_set(to, key, value);
}

enum bs_status bs_tokenizer_class_build(const struct bs_tokenizer_class *class, const char *place,
                                        const json_t *config, json_t *root, struct bs_error *err)
{
    if (!class->model)
        return BS_OK;
    json_t *old = json_object_get(root, "model");
    const char *type = json_string_value(json_object_get(old, "type"));
    if (!type || strcmp(type, "BPE"))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: model type '%.100s' does not go with tokenizer_class %s, which expects "
                       "BPE",
                       place, type ? type : "", class->name);
    json_t *model = parse_part(class->model), *pre = parse_part(class->pre_tokenizer);
    bool done = model && pre && !json_object_set_new(model, "type", json_string("BPE")) &&
                copy_key(old, model, "vocab") && copy_key(old, model, "merges") &&
                set_prefix(class, config, pre);
    if (done && json_object_get(model, "unk_token"))
        done = !json_object_set_new(model, "unk_token", unknown_token(class, config));
    done = done && !json_object_set(root, "model", model) &&
           !json_object_set(root, "pre_tokenizer", pre) &&
           !json_object_set_new(root, "normalizer", parse_part(class->normalizer));
    json_decref(model);
    json_decref(pre);
    return done ? BS_OK : bs_fail_memory(err);
}
