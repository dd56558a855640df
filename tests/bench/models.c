/* Model directories of real shapes with random weights. The tensors are listed from the family's
 * row, as the program itself looks for them. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/model/model.h"

const struct bench_model bench_models[] = {
    {.name = "opt-125m",
     .summary = "OPT 125M",
     .config = "{\"model_type\": \"opt\", \"architectures\": [\"OPTForCausalLM\"],"
               " \"hidden_size\": 768, \"ffn_dim\": 3072, \"num_attention_heads\": 12,"
               " \"word_embed_proj_dim\": 768, \"max_position_embeddings\": 2048,"
               " \"vocab_size\": 50272, \"activation_function\": \"relu\","
               " \"do_layer_norm_before\": true, \"tie_word_embeddings\": true,"
               " \"torch_dtype\": \"float16\", \"bos_token_id\": 2, \"eos_token_id\": 2,"
               " \"pad_token_id\": 1}",
     .layers = 12,
     .quantize_layers = 12,
     .windows = 16,
     .usual = true,
     .further = true},
    {.name = "pythia-410m",
     .summary = "Pythia 410M (GPT-NeoX)",
     .config = "{\"model_type\": \"gpt_neox\", \"architectures\": [\"GPTNeoXForCausalLM\"],"
               " \"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_attention_heads\": 16,"
               " \"max_position_embeddings\": 2048, \"vocab_size\": 50304,"
               " \"rotary_pct\": 0.25, \"rotary_emb_base\": 10000, \"hidden_act\": \"gelu\","
               " \"layer_norm_eps\": 1e-05, \"use_parallel_residual\": true,"
               " \"tie_word_embeddings\": false, \"torch_dtype\": \"float16\","
               " \"bos_token_id\": 0, \"eos_token_id\": 0}",
     .layers = 24,
     .quantize_layers = 4,
     .windows = 2,
     .usual = true},
    {.name = "llama-1b",
     .summary = "Llama 3.2 1B",
     .config = "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"],"
               " \"hidden_size\": 2048, \"intermediate_size\": 8192, \"num_attention_heads\": 32,"
               " \"num_key_value_heads\": 8, \"head_dim\": 64, \"vocab_size\": 128256,"
               " \"max_position_embeddings\": 131072, \"hidden_act\": \"silu\","
               " \"rms_norm_eps\": 1e-05, \"rope_theta\": 500000.0,"
               " \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32.0,"
               " \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
               " \"original_max_position_embeddings\": 8192},"
               " \"tie_word_embeddings\": true, \"torch_dtype\": \"bfloat16\","
               " \"bos_token_id\": 128000, \"eos_token_id\": 128001}",
     .bfloat16 = true,
     .layers = 16,
     .quantize_layers = 1,
     .windows = 2,
     .usual = true},
    {.name = "llama-7b-blocks",
     .summary = "4 blocks of Llama 7B, for the memory they take",
     .config = "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"],"
               " \"hidden_size\": 4096, \"intermediate_size\": 11008,"
               " \"num_attention_heads\": 32, \"num_key_value_heads\": 32,"
               " \"vocab_size\": 32000, \"max_position_embeddings\": 2048,"
               " \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-06,"
               " \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\","
               " \"bos_token_id\": 1, \"eos_token_id\": 2}",
     .bfloat16 = true,
     .layers = 4,
     .quantize_layers = 1,
     .windows = 32},
};
const int bench_num_models = sizeof bench_models / sizeof *bench_models;

enum { MOST_DIMENSIONS = 2, NAME_BYTES = 128, CHUNK = 1 << 18 };

/* One tensor of the file. */
struct tensor {
    char name[NAME_BYTES];
    int rank, shape[MOST_DIMENSIONS];
};

struct writing {
    const struct bench_checkpoint *checkpoint;
    struct bs_architecture architecture;
    int num_tensors;
    struct tensor *tensors;
    /* Of the tensor that is being filled: */
    uint64_t key;
    float middle, spread;
    uint16_t *values;
    size_t count;
};

/* --- the list of tensors --- */

static enum bs_status add(struct writing *w, const char *prefix, const char *place,
                          const char *name, const char *ending, int rows, int columns,
                          struct bs_error *err)
{
    struct tensor *grown = bs_realloc(w->tensors, (size_t)w->num_tensors,
                                      (size_t)w->num_tensors + 1, sizeof *w->tensors);
    if (!grown)
        return bs_fail_memory(err);
    w->tensors = grown;
    struct tensor *tensor = &w->tensors[w->num_tensors++];
    *tensor = (struct tensor){.rank = rows ? 2 : 1, .shape = {rows ? rows : columns, columns}};
    snprintf(tensor->name, sizeof tensor->name, "%s%s%s%s", prefix, place, name, ending);
    return BS_OK;
}

static enum bs_status add_norm(struct writing *w, const char *place, const char *name,
                               struct bs_error *err)
{
    const struct bs_family *f = w->architecture.family;
    int width = w->architecture.hidden_size;
    if (!name)
        return BS_OK;
    if (add(w, f->prefix, place, name, ".weight", 0, width, err))
        return err->status;
    return w->architecture.norm == BS_LAYER_NORM
               ? add(w, f->prefix, place, name, ".bias", 0, width, err)
               : BS_OK;
}

/* The tensors that the linear stands in, once for all that stand in them. */
static enum bs_status add_linear(struct writing *w, const char *place, int s, struct bs_error *err)
{
    const struct bs_program *p = &w->architecture.programs[0];
    const struct bs_slot *slot = &p->slots[s];
    const char *prefix = w->architecture.family->prefix;
    int out = 0;
    if (s != slot->first)
        return BS_OK;
    for (int i = slot->first; i <= slot->last; i++)
        out += p->slots[i].out;
    if (add(w, prefix, place, slot->tensor, ".weight", out, slot->in, err))
        return err->status;
    return slot->biased ? add(w, prefix, place, slot->tensor, ".bias", 0, out, err) : BS_OK;
}

static enum bs_status add_block(struct writing *w, int block, struct bs_error *err)
{
    const struct bs_family *f = w->architecture.family;
    char place[NAME_BYTES / 2];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(place, sizeof place, f->block, block); /* the format is a family's row */
#pragma GCC diagnostic pop
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (add_norm(w, place, f->norms[n], err))
            return err->status;
    for (int s = 0; s < w->architecture.programs[0].num_slots; s++)
        if (add_linear(w, place, s, err))
            return err->status;
    return BS_OK;
}

static enum bs_status list_tensors(struct writing *w, struct bs_error *err)
{
    const struct bs_architecture *a = &w->architecture;
    const struct bs_family *f = a->family;
    int hidden = a->hidden_size;
    if (add(w, f->prefix, "", f->embedding, ".weight", a->vocab_size, hidden, err) ||
        (f->positions && add(w, f->prefix, "", f->positions, ".weight",
                             a->max_positions + f->position_offset, hidden, err)))
        return err->status;
    for (int b = 0; b < a->num_layers; b++)
        if (add_block(w, b, err))
            return err->status;
    if (add_norm(w, "", f->final_norm, err))
        return err->status;
    return a->tied_head ? BS_OK : add(w, "", "", f->head, ".weight", a->vocab_size, hidden, err);
}

static size_t count_of(const struct tensor *tensor)
{
    return (size_t)tensor->shape[0] * (size_t)(tensor->rank == 2 ? tensor->shape[1] : 1);
}

/* --- values --- */

static uint16_t to_bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Of |x| below 65504. Below 2^-14 a half counts in units of 2^-24. */
static uint16_t to_float16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (fabsf(x) < 0x1p-14f)
        return (uint16_t)(sign | (uint16_t)lrintf(fabsf(x) * 0x1p24f));
    bits -= (127u - 15u) << 23;
    return (uint16_t)(sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13);
}

/* The mixing function of SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Four values a draw, each uniform in middle +- spread. */
static enum bs_status fill_chunk(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct writing *w = context;
    bool bfloat16 = w->checkpoint->model->bfloat16;
    size_t first = (size_t)index * CHUNK, end = first + CHUNK;
    end = end < w->count ? end : w->count;
    uint64_t drawn = 0;
    for (size_t i = first; i < end; i++, drawn >>= 16) {
        if (i % 4 == 0)
            drawn = mix(w->key + i * 0x9e3779b97f4a7c15u);
        float unit = ((float)(drawn & 0xffff) + 0.5f) * 0x1p-15f - 1;
        float value = w->middle + w->spread * unit;
        w->values[i] = bfloat16 ? to_bfloat16(value) : to_float16(value);
    }
    return BS_OK;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && !strcmp(text + length - tail, ending);
}

/* Norm weights about 1, biases about 0, matrices with a variance of 1/columns. */
static void choose_values(struct writing *w, const struct tensor *tensor)
{
    w->count = count_of(tensor);
    w->key = (uint64_t)w->checkpoint->seed;
    for (const char *c = tensor->name; *c; c++)
        w->key = mix(w->key + (unsigned char)*c);
    w->middle = tensor->rank == 1 && ends_with(tensor->name, ".weight") ? 1.0f : 0.0f;
    w->spread = tensor->rank == 1 ? 0.1f : sqrtf(3.0f / (float)tensor->shape[1]);
}

/* --- files --- */

static enum bs_status write_config(const struct bench_checkpoint *checkpoint, struct bs_error *err)
{
    json_t *config = json_loads(checkpoint->model->config, 0, NULL);
    char *path = bs_printf("%s/config.json", checkpoint->directory);
    enum bs_status status = config && path ? BS_OK : bs_fail_memory(err);
    if (!status)
        json_object_set_new(config, "num_hidden_layers", json_integer(checkpoint->layers));
    if (!status && json_dump_file(config, path, JSON_INDENT(2)))
        status = bs_fail(err, BS_EIO, "%s: cannot be written", path);
    bs_free(path);
    json_decref(config);
    return status;
}

/* The header of a safetensors file: 8 bytes with its length, then JSON, padded to 8 bytes. */
static bool write_header(const struct writing *w, FILE *file)
{
    const char *dtype = w->checkpoint->model->bfloat16 ? "BF16" : "F16";
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    json_int_t at = 0;
    for (int i = 0; i < w->num_tensors; i++) {
        const struct tensor *tensor = &w->tensors[i];
        json_int_t bytes = (json_int_t)(count_of(tensor) * sizeof(uint16_t));
        json_t *shape = json_array();
        for (int d = 0; d < tensor->rank; d++)
            json_array_append_new(shape, json_integer(tensor->shape[d]));
        json_object_set_new(header, tensor->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape,
                                      "data_offsets", at, at + bytes));
        at += bytes;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text)
        return false;
    uint64_t length = strlen(text), padded = (length + 7) / 8 * 8;
    bool written = fwrite(&padded, sizeof padded, 1, file) == 1 &&
                   fprintf(file, "%s%*s", text, (int)(padded - length), "") == (int)padded;
    free(text);
    return written;
}

static bool write_tensors(struct writing *w, FILE *file, struct bs_error *err)
{
    for (int i = 0; i < w->num_tensors; i++) {
        choose_values(w, &w->tensors[i]);
        bs_parallel((int)((w->count + CHUNK - 1) / CHUNK), fill_chunk, w, err);
        if (fwrite(w->values, sizeof *w->values, w->count, file) != w->count)
            return false;
    }
    return true;
}

static enum bs_status write_weights(struct writing *w, struct bs_error *err)
{
    size_t most = 0;
    for (int i = 0; i < w->num_tensors; i++)
        most = count_of(&w->tensors[i]) > most ? count_of(&w->tensors[i]) : most;
    w->values = bs_alloc(most, sizeof *w->values);
    char *path = bs_printf("%s/model.safetensors", w->checkpoint->directory);
    FILE *file = path ? fopen(path, "wb") : NULL;
    enum bs_status status = w->values && path ? BS_OK : bs_fail_memory(err);
    bool written = !status && file && write_header(w, file) && write_tensors(w, file, err);
    if (file && fclose(file))
        written = false;
    if (!status && !written)
        status = bs_fail(err, BS_EIO, "%s: cannot be written", path);
    bs_free(path);
    bs_free(w->values);
    return status;
}

json_t *bench_write_model(const void *context)
{
    struct bs_error err;
    struct writing w = {.checkpoint = context};
    bs_set_threads(0);
    enum bs_status status = bs_make_directory(w.checkpoint->directory, &err);
    if (!status)
        status = write_config(w.checkpoint, &err);
    if (!status)
        status = bs_architecture_read(w.checkpoint->directory, NULL, &w.architecture, NULL, &err);
    if (!status)
        status = list_tensors(&w, &err);
    if (!status)
        status = write_weights(&w, &err);
    bs_free(w.tensors);
    return status ? json_pack("{s:s}", "error", err.message) : json_object();
}
