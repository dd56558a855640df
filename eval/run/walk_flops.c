/* What a walk multiplies for its figures. */
#include "eval/run/apply.h"
#include "eval/run/walk_cost.h"

double bs_walk_text_flops(const struct bs_walk *walk, int text)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *windows = &walk->texts[text];
    double flops = 0;
    for (int w = 0; windows->lengths && w < windows->windows; w++)
        flops += bs_total_flops(a, windows->lengths[w]);
    if (!windows->lengths)
        flops = windows->windows * bs_total_flops(a, windows->tokens);
    return flops;
}

double bs_walk_text_logits(const struct bs_walk *walk, int text)
{
    return (double)walk->texts[text].num_scored * bs_model_architecture(walk->model)->vocab_size;
}

double bs_walk_evaluation_flops(const struct bs_walk *walk)
{
    double flops = 0;
    for (int t = 0; t < walk->num_texts; t++)
        flops +=
            bs_walk_text_flops(walk, t) +
            2 * bs_walk_text_logits(walk, t) * bs_model_architecture(walk->model)->embedding_size;
    return flops;
}

double bs_walk_own_share(const struct bs_walk *walk, const struct bs_recipe *recipe)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct bs_reach reach = bs_apply_reach(recipe, a);
    int tokens = bs_walk_longest_window(walk);
    double own = 0;
    for (int l = reach.first < 0 ? 0 : reach.first; l < a->num_layers; l++)
        own += bs_block_flops(a, l, tokens);
    return own / bs_total_flops(a, tokens);
}

/* Weights that a token is multiplied by: of experts those it goes to. */
static double active_weights(const struct bs_program *p)
{
    double weights = 0;
    for (int s = 0; s < p->num_slots; s++)
        weights +=
            (double)p->slots[s].out * p->slots[s].in * bs_value_rows(p, p->slots[s].input, 1);
    return weights;
}

/* Of taking channels' largest values in one version of the model. */
static double channel_flops(const struct bs_walk *walk)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    if (!walk->num_channel_sites || !walk->num_texts)
        return 0;
    int all = walk->texts[0].windows, tokens = walk->texts[0].tokens;
    double flops = 0;
    for (int l = 0; l < a->num_layers; l++) {
        double most = 0;
        for (int i = 0; i < walk->num_channel_sites; i++) {
            const struct bs_program *p = bs_program_of(a, l);
            int site = bs_program_find(p, walk->channel_sites[i]);
            double own = site < 0 ? 0 : bs_flops_until(p, site, tokens);
            most = own > most ? own : most;
        }
        flops += most;
    }
    return flops * (walk->channel_windows < all ? walk->channel_windows : all);
}

double bs_walk_probe_flops(const struct bs_walk *walk, const struct bs_recipe *recipe)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    int windows = bs_walk_probe_windows(walk);
    if (!windows)
        return channel_flops(walk);
    int tokens = walk->texts[0].tokens;
    double flops = 0;
    for (int l = 0; l < a->num_layers; l++) {
        const struct bs_program *p = bs_program_of(a, l);
        if (!recipe)
            flops += bs_flops_until(p, p->inputs[p->num_inputs - 1], tokens);
        else if (!bs_apply_leaves(recipe, a, l))
            flops += 2 * 2.0 * tokens * active_weights(p);
    }
    return windows * flops + channel_flops(walk);
}
