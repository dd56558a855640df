/* The model that another one is compared with: `reference:` of a config. */
#include "eval/run/sweep.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/hub/hub.h"
#include "eval/tokenizer/tokenizer.h"

/* What a sweep's model is compared with. */
struct comparing {
    const struct bs_sweep *sweep;
    const char *model, *reference; /* what the config calls them */
};

static enum bs_status fail_size(const struct comparing *c, const char *what, int model,
                                int reference, struct bs_error *err)
{
    return bs_fail(err, BS_EUNSUPPORTED,
                   "'%.100s' has %s %d, but its reference '%.100s' has %d: only models of the same "
                   "shape are compared, place by place",
                   c->model, what, model, c->reference, reference);
}

/* The same linears, of the same shapes, in the same order. */
static enum bs_status check_slots(const struct comparing *c, int layer, struct bs_error *err)
{
    const struct bs_program *a = bs_program_of(bs_model_architecture(c->sweep->model), layer);
    const struct bs_program *b = bs_program_of(bs_model_architecture(c->sweep->reference), layer);
    if (a->num_slots != b->num_slots)
        return fail_size(c, "linears a block:", a->num_slots, b->num_slots, err);
    for (int s = 0; s < a->num_slots; s++) {
        const struct bs_slot *own = &a->slots[s], *other = &b->slots[s];
        if (strcmp(own->name, other->name) || own->out != other->out || own->in != other->in ||
            strcmp(a->values[own->input].name, b->values[other->input].name))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "'%.100s' has %s [%d, %d] where its reference '%.100s' has %s [%d, %d]: "
                           "only models of the same shape are compared, place by place",
                           c->model, own->name, own->out, own->in, c->reference, other->name,
                           other->out, other->in);
    }
    return BS_OK;
}

/* The same steps from values to values: what a walk has room for, and what each place is. */
static enum bs_status check_steps(const struct comparing *c, int layer, struct bs_error *err)
{
    const struct bs_program *a = bs_program_of(bs_model_architecture(c->sweep->model), layer);
    const struct bs_program *b = bs_program_of(bs_model_architecture(c->sweep->reference), layer);
    bool same = a->num_values == b->num_values && a->num_ops == b->num_ops &&
                !memcmp(a->ops, b->ops, (size_t)a->num_ops * sizeof *a->ops);
    for (int v = 0; same && v < a->num_values; v++)
        same = a->values[v].width == b->values[v].width && a->values[v].home == b->values[v].home;
    if (same)
        return BS_OK;
    return bs_fail(err, BS_EUNSUPPORTED,
                   "'%.100s' computes a block in other steps than its reference '%.100s': only "
                   "models of the same shape are compared, place by place",
                   c->model, c->reference);
}

static enum bs_status check_shapes(const struct comparing *c, struct bs_error *err)
{
    const struct bs_architecture *a = bs_model_architecture(c->sweep->model);
    const struct bs_architecture *b = bs_model_architecture(c->sweep->reference);
    if (a->num_layers != b->num_layers)
        return fail_size(c, "num_hidden_layers", a->num_layers, b->num_layers, err);
    if (a->hidden_size != b->hidden_size)
        return fail_size(c, "hidden_size", a->hidden_size, b->hidden_size, err);
    if (a->embedding_size != b->embedding_size)
        return fail_size(c, "an embedding's width of", a->embedding_size, b->embedding_size, err);
    if (a->vocab_size != b->vocab_size)
        return fail_size(c, "vocab_size", a->vocab_size, b->vocab_size, err);
    if (a->num_heads != b->num_heads)
        return fail_size(c, "num_attention_heads", a->num_heads, b->num_heads, err);
    if (a->num_kv_heads != b->num_kv_heads)
        return fail_size(c, "num_key_value_heads", a->num_kv_heads, b->num_kv_heads, err);
    if (a->head_dim != b->head_dim)
        return fail_size(c, "head_dim", a->head_dim, b->head_dim, err);
    for (int l = 0; l < a->num_layers; l++)
        if (check_slots(c, l, err) || check_steps(c, l, err))
            return a->num_kinds + b->num_kinds == 2 ? err->status
                                                    : bs_fail_within(err, "layer %d", l);
    return BS_OK;
}

/* The same tokens of every text: else losses token by token have nothing to do with each other. */
static enum bs_status check_tokens(const struct comparing *c, const struct bs_tokenizer *tokenizer,
                                   struct bs_error *err)
{
    const struct bs_sweep *sweep = c->sweep;
    for (int t = 0; t < sweep->config->num_evaluations; t++) {
        struct bs_windows windows = {.ids = NULL};
        if (bs_sweep_load_text(sweep, tokenizer, t, &windows, err))
            return bs_fail_within(err, "%s", c->reference);
        bool same = !strcmp(windows.digest.hex, sweep->texts[t].digest.hex);
        bs_windows_release(&windows);
        if (!same)
            return bs_fail(err, BS_EUNSUPPORTED,
                           "the tokenizers of '%.100s' and of its reference '%.100s' are not the "
                           "same: '%.100s' becomes other tokens",
                           c->model, c->reference, sweep->config->evaluations[t].text);
    }
    return BS_OK;
}

static struct comparing comparing_of(const struct bs_sweep *sweep)
{
    const struct bs_config *config = sweep->config;
    return (struct comparing){sweep, config->models[sweep->model_index],
                              config->models[config->reference]};
}

static enum bs_status find_reference(const struct bs_sweep *sweep, char **directory,
                                     struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    return bs_hub_model(config->model_places[config->reference], config->folder, directory, err);
}

enum bs_status bs_sweep_open_reference(struct bs_sweep *sweep, struct bs_error *err)
{
    const struct comparing c = comparing_of(sweep);
    char *directory = NULL;
    enum bs_status status = find_reference(sweep, &directory, err);
    if (!status)
        status = bs_model_open(directory, &sweep->config->accept_unknown, &sweep->reference, err);
    bs_free(directory);
    if (status)
        return bs_fail_within(err, "reference");
    return check_shapes(&c, err);
}

enum bs_status bs_sweep_check_tokens(const struct bs_sweep *sweep, struct bs_error *err)
{
    const struct comparing c = comparing_of(sweep);
    struct bs_tokenizer *tokenizer = NULL;
    char *directory = NULL;
    enum bs_status status = find_reference(sweep, &directory, err);
    if (!status)
        status = bs_tokenizer_open(directory, &tokenizer, err);
    bs_free(directory);
    if (status)
        return bs_fail_within(err, "reference");
    status = check_tokens(&c, tokenizer, err);
    bs_tokenizer_free(tokenizer);
    return status;
}
