/* The programs of blocks: each wiring's operations in order, its sites and who reads them, what
 * folds where, and what memory and work follow from it; and programs that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/parallel.h"
#include "eval/model/operations.h"
#include "tests/support/folder.h"
#include "tests/support/slots.h"

enum { TEXT = 2048, HIDDEN = 32, INNER = 20, HEADS = 4, EXPERTS = 4, ACTIVE = 2, EXPERT = 12 };

#define SIZES                                                                                      \
    "\"hidden_size\": 32, \"intermediate_size\": 20, \"num_hidden_layers\": 2, "                   \
    "\"num_attention_heads\": 4, \"vocab_size\": 50"

static struct bs_architecture read_sound(const char *model_type, const char *keys)
{
    struct bs_architecture a;
    struct bs_error err;
    char text[1024];
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", %s}", model_type, keys);
    folder_write_text(&folder, "config.json", text);
    if (bs_architecture_read(folder.path, NULL, &a, NULL, &err))
        fail_msg("%s", err.message);
    return a;
}

/* --- what a program is, as text --- */

static void append(char text[TEXT], const char *part)
{
    size_t used = strlen(text);
    assert_true(used + strlen(part) < TEXT);
    snprintf(text + used, TEXT - used, "%s", part);
}

/* What is no site goes by a dot; the block's input is x. */
static const char *name_of(const struct bs_program *p, int value)
{
    return value == 0 ? "x" : p->values[value].name ? p->values[value].name : ".";
}

/* "attn_input = norm x" a line, of linears the slots too. */
static void print_ops(const struct bs_program *p, char text[TEXT])
{
    text[0] = '\0';
    for (int i = 0; i < p->num_ops; i++) {
        const struct bs_op *op = &p->ops[i];
        append(text, name_of(p, op->out));
        append(text, " = ");
        append(text, bs_op_types[op->kind].name);
        for (int k = 0; k < 3 && op->in[k] >= 0; k++) {
            append(text, " ");
            append(text, name_of(p, op->in[k]));
        }
        for (int s = op->slot; s < op->slot + op->num_slots; s++) {
            append(text, " ");
            append(text, p->slots[s].name);
        }
        append(text, "\n");
    }
}

/* "o_input: self_attn.o_proj; folds into linear self_attn.v_proj; looked at alone" a line. */
static void print_inputs(const struct bs_program *p, char text[TEXT])
{
    text[0] = '\0';
    for (int k = 0; k < p->num_inputs; k++) {
        int site = p->inputs[k], slots[BS_MAX_SLOTS], count = bs_program_readers(p, site, slots);
        struct bs_part part;
        append(text, name_of(p, site));
        append(text, ":");
        for (int i = 0; i < count; i++) {
            append(text, " ");
            append(text, p->slots[slots[i]].name);
        }
        append(text, "; into ");
        const struct bs_fold fold = p->folds[site];
        append(text, fold.op < 0 ? "nothing" : bs_op_types[p->ops[fold.op].kind].name);
        if (fold.op >= 0 && fold.slot >= 0) {
            append(text, " ");
            append(text, p->slots[fold.slot].name);
        }
        if (bs_program_inspected(p, site, &part)) {
            append(text, "; seen from ");
            append(text, name_of(p, part.from));
            append(text, " to ");
            append(text, name_of(p, part.to));
        }
        append(text, "\n");
    }
}

static void assert_program(const struct bs_architecture *a, const char *ops, const char *inputs)
{
    char text[TEXT];
    print_ops(&a->programs[0], text);
    assert_string_equal(text, ops);
    print_inputs(&a->programs[0], text);
    assert_string_equal(text, inputs);
}

/* --- the wirings --- */

static void llama_is_pre_norm_and_gated(void **state)
{
    (void)state;
    struct bs_architecture a = read_sound("llama", SIZES);
    assert_program(
        &a,
        "attn_input = norm x\n"
        "q = linear attn_input self_attn.q_proj\n"
        "k = linear attn_input self_attn.k_proj\n"
        "v = linear attn_input self_attn.v_proj\n"
        "query = rotary q\n"
        "key = rotary k\n"
        "value = copy v\n"
        "o_input = attend query key value\n"
        "attn_output = linear o_input self_attn.o_proj\n"
        "resid_mid = add x attn_output\n"
        "mlp_input = norm resid_mid\n"
        ". = linear mlp_input mlp.gate_proj\n"
        ". = linear mlp_input mlp.up_proj\n"
        "down_input = activate . .\n"
        "mlp_output = linear down_input mlp.down_proj\n"
        "resid_post = add resid_mid mlp_output\n",
        "attn_input: self_attn.q_proj self_attn.k_proj self_attn.v_proj; into norm; seen "
        "from attn_input to attn_output\n"
        "o_input: self_attn.o_proj; into linear self_attn.v_proj\n"
        "mlp_input: mlp.gate_proj mlp.up_proj; into norm; seen from mlp_input to "
        "mlp_output\n"
        "down_input: mlp.down_proj; into linear mlp.up_proj\n");
}

static void qwen3_norms_queries_and_keys(void **state)
{
    (void)state;
    struct bs_architecture a = read_sound("qwen3", SIZES ", \"num_key_value_heads\": 2");
    char text[TEXT];
    print_ops(&a.programs[0], text);
    assert_non_null(strstr(text, ". = norm q\n"
                                 ". = norm k\n"
                                 "query = rotary .\n"
                                 "key = rotary .\n"
                                 "value = copy v\n"));
    const struct bs_value *key = &a.programs[0].values[bs_program_find(&a.programs[0], "key")];
    assert_int_equal(key->heads, 2);
    assert_int_equal(key->kind, BS_SITE_CACHE);
}

static void opt_in_post_norm_reads_the_stream_itself(void **state)
{
    (void)state;
    struct bs_architecture a =
        read_sound("opt", "\"hidden_size\": 32, \"ffn_dim\": 20, \"num_hidden_layers\": 2, "
                          "\"num_attention_heads\": 4, \"vocab_size\": 50, "
                          "\"word_embed_proj_dim\": 16, \"do_layer_norm_before\": false");
    assert_program(&a,
                   "attn_input = copy x\n"
                   "q = linear attn_input self_attn.q_proj\n"
                   "k = linear attn_input self_attn.k_proj\n"
                   "v = linear attn_input self_attn.v_proj\n"
                   "query = copy q\n"
                   "key = copy k\n"
                   "value = copy v\n"
                   "o_input = attend query key value\n"
                   "attn_output = linear o_input self_attn.out_proj\n"
                   ". = add attn_input attn_output\n"
                   "mlp_input = norm .\n"
                   ". = linear mlp_input fc1\n"
                   "down_input = activate .\n"
                   "mlp_output = linear down_input fc2\n"
                   ". = add mlp_input mlp_output\n"
                   "resid_post = norm .\n",
                   "attn_input: self_attn.q_proj self_attn.k_proj self_attn.v_proj; into nothing; "
                   "seen from attn_input to attn_output\n"
                   "o_input: self_attn.out_proj; into linear self_attn.v_proj\n"
                   "mlp_input: fc1; into nothing\n"
                   "down_input: fc2; into linear fc1\n");
    assert_true(a.programs[0].values[bs_program_find(&a.programs[0], "attn_input")].residual);
}

static void falcon_is_parallel_over_one_norm(void **state)
{
    (void)state;
    struct bs_architecture a =
        read_sound("falcon", "\"hidden_size\": 32, \"num_hidden_layers\": 2, "
                             "\"num_attention_heads\": 4, \"vocab_size\": 50, \"alibi\": false");
    assert_program(
        &a,
        "attn_input = norm x\n"
        "qkv = linear attn_input self_attention.query_key_value.q "
        "self_attention.query_key_value.k self_attention.query_key_value.v\n"
        ". = part qkv\n"
        ". = part qkv\n"
        "value = part qkv\n"
        "query = rotary .\n"
        "key = rotary .\n"
        "o_input = attend query key value\n"
        "attn_output = linear o_input self_attention.dense\n"
        ". = add x attn_output\n"
        ". = linear attn_input mlp.dense_h_to_4h\n"
        ". = activate .\n"
        "down_input = divide .\n"
        "mlp_output = linear down_input mlp.dense_4h_to_h\n"
        "resid_post = add . mlp_output\n",
        "attn_input: self_attention.query_key_value.q self_attention.query_key_value.k "
        "self_attention.query_key_value.v mlp.dense_h_to_4h; into norm; seen from x to resid_post\n"
        "o_input: self_attention.dense; into nothing\n"
        "down_input: mlp.dense_4h_to_h; into divide\n");
}

static void gemma2_norms_what_branches_give(void **state)
{
    (void)state;
    struct bs_architecture a =
        read_sound("gemma2", SIZES ", \"num_key_value_heads\": 2, \"head_dim\": 8");
    char text[TEXT];
    print_ops(&a.programs[0], text);
    assert_non_null(strstr(text, "attn_output = linear o_input self_attn.o_proj\n"
                                 ". = norm attn_output\n"
                                 "resid_mid = add x .\n"
                                 "mlp_input = norm resid_mid\n"));
    assert_non_null(strstr(text, "mlp_output = linear down_input mlp.down_proj\n"
                                 ". = norm mlp_output\n"
                                 "resid_post = add resid_mid .\n"));
}

static void mpt_clips_what_one_tensor_makes(void **state)
{
    (void)state;
    struct bs_architecture a =
        read_sound("mpt", "\"d_model\": 32, \"n_layers\": 2, \"n_heads\": 4, \"vocab_size\": 50, "
                          "\"attn_config\": {\"clip_qkv\": 2.5}");
    char text[TEXT];
    print_ops(&a.programs[0], text);
    assert_non_null(strstr(text, ". = clip qkv\nquery = part .\nkey = part .\nvalue = part .\n"));
    assert_int_equal(a.programs[0].slots[SLOT_K].first, SLOT_Q);
    assert_int_equal(a.programs[0].slots[SLOT_K].last, SLOT_V);
    assert_int_equal(a.programs[0].folds[bs_program_find(&a.programs[0], "o_input")].op, -1);
    /* MPT's is among the fused tensors that v folds into; through the clip nothing does. */
    a = read_sound("mpt", "\"d_model\": 32, \"n_layers\": 2, \"n_heads\": 4, \"vocab_size\": 50, "
                          "\"attn_config\": null");
    assert_int_equal(a.programs[0].folds[bs_program_find(&a.programs[0], "o_input")].slot, SLOT_V);
}

static void without_norms_before_them_branches_read_a_copy(void **state)
{
    (void)state;
    struct bs_architecture a = read_sound("olmo2", SIZES);
    char text[TEXT];
    print_ops(&a.programs[0], text);
    assert_ptr_equal(strstr(text, "attn_input = copy x\n"), text);
    assert_non_null(strstr(text, "resid_mid = add x .\nmlp_input = copy resid_mid\n"));
    assert_non_null(strstr(text, "resid_post = add resid_mid .\n"));
}

static void bloom_can_add_to_what_was_normed(void **state)
{
    (void)state;
    struct bs_architecture a =
        read_sound("bloom", "\"hidden_size\": 32, \"n_layer\": 2, \"n_head\": 4, \"vocab_size\": "
                            "50, \"apply_residual_connection_post_layernorm\": true");
    char text[TEXT];
    print_ops(&a.programs[0], text);
    assert_non_null(strstr(text, "resid_mid = add attn_input attn_output\n"
                                 "mlp_input = norm resid_mid\n"));
    assert_non_null(strstr(text, "resid_post = add mlp_input mlp_output\n"));
    for (int k = 0; k < 2; k++) /* what folds into the norms would reach the stream */
        assert_false(bs_folds_into(&a.programs[0], a.programs[0].inputs[k], BS_OP_NORM));
}

/* --- what holds for every family --- */

/* Sizes of no meaning in the way of every row. */
static struct bs_architecture of_row(const struct bs_family *family, enum bs_wiring wiring)
{
    struct bs_error err;
    struct bs_architecture a = {.family = family,
                                .stored = *family,
                                .hidden_size = HIDDEN,
                                .intermediate_size = INNER,
                                .num_heads = HEADS,
                                .num_kv_heads = 2,
                                .head_dim = 8,
                                .rotary_dim = 8,
                                .norm = family->norm,
                                .norms = bs_family_norms(family),
                                .wiring = wiring};
    if (family->experts)
        a.experts = (struct bs_experts){.count = EXPERTS, .per_token = ACTIVE, .size = EXPERT};
    if (bs_programs_build(&a, &err))
        fail_msg("%s: %s", family->model_type, err.message);
    return a;
}

static void for_every_program(void (*check)(const struct bs_architecture *a))
{
    const struct bs_family *family;
    for (int f = 0; (family = bs_family_at(f)); f++) /* latent ones: test_latent.c */
        for (int w = 0; !family->norms[BS_NORM_KEY_VALUE_LATENT] && w <= BS_NORMED_RESIDUAL; w++) {
            struct bs_architecture a = of_row(family, (enum bs_wiring)w);
            check(&a);
        }
}

static void assert_sites(const struct bs_architecture *a)
{
    static const char *const names[] = {"attn_input",  "query",      "key",        "value",
                                        "o_input",     "resid_post", "mlp_output", "down_input",
                                        "attn_output", "q",          "k",          "v"};
    const struct bs_program *p = &a->programs[0];
    bool fused = a->family->fused_qkv != NULL;
    for (int i = 0; i < (fused ? 9 : 12); i++)
        assert_true(bs_program_find(p, names[i]) > 0 || (a->family->experts && i == 7));
    assert_int_equal(bs_program_find(p, "qkv") >= 0, fused);
    assert_int_equal(bs_program_find(p, "nothing"), -1);
    assert_int_equal(p->values[bs_program_find(p, "key")].width, 16);
    assert_int_equal(p->values[bs_program_find(p, "resid_post")].width, HIDDEN);
    assert_true(p->values[p->output].residual);
}

static void every_family_has_its_sites(void **state)
{
    (void)state;
    for_every_program(assert_sites);
}

/* No two homes that are in use overlap, and no place is left between them for nothing. */
static void assert_layout(const struct bs_architecture *a)
{
    enum { TOKENS = 5 };
    const struct bs_program *p = &a->programs[0];
    struct bs_frame_layout layout;
    size_t most = 0;
    bs_program_lay(p, TOKENS, &layout);
    for (int i = 0; i < p->num_ops; i++) {
        bool begun[BS_MAX_VALUES] = {false}, used[BS_MAX_VALUES] = {false};
        bool coded[BS_MAX_VALUES] = {false};
        for (int v = 1; v < p->num_values; v++) {
            const struct bs_value *value = &p->values[v];
            coded[value->home] |= bs_is_input(value);
            begun[value->home] |= value->made_by <= i;
            used[value->home] |= begun[value->home] && value->last_read >= i;
        }
        size_t sum = 0;
        for (int v = 1; v < p->num_values; v++) {
            if (!used[v])
                continue;
            size_t floats = bs_scratch_floats((size_t)(TOKENS * p->values[v].width));
            floats += coded[v] ? bs_kernels_room_floats(TOKENS, p->values[v].width) : 0;
            sum += floats;
            assert_true(layout.at[v] + floats <= layout.floats);
            for (int w = 1; w < v; w++)
                assert_true(!used[w] || layout.at[v] != layout.at[w]);
            for (int w = 1; w < p->num_values; w++)
                assert_true(!used[w] || w == v || layout.at[w] < layout.at[v] ||
                            layout.at[w] >= layout.at[v] + floats);
        }
        most = sum > most ? sum : most;
    }
    assert_int_equal(layout.floats, most);
}

static void memory_is_what_is_alive_at_a_time(void **state)
{
    (void)state;
    for_every_program(assert_layout);
}

static void assert_flops(const struct bs_architecture *a)
{
    enum { TOKENS = 6 };
    const struct bs_program *p = &a->programs[0];
    double q = HIDDEN * 32, kv = HIDDEN * 16, mlp = HIDDEN * INNER;
    double attention = 2 * TOKENS * (2 * q + 2 * kv) + 2 * TOKENS * TOKENS * 32;
    double inner = 2 * TOKENS * (a->family->gated ? 3 : 2) * mlp;
    if (a->family->experts) /* those that a token goes to */
        inner = 2 * TOKENS * HIDDEN * (EXPERTS + ACTIVE * 3 * EXPERT);
    assert_true(bs_block_flops(a, 0, TOKENS) == attention + inner);
    if (a->family->experts)
        return;
    assert_true(bs_program_weights(p) == 2 * q + 2 * kv + (a->family->gated ? 3 : 2) * mlp);
    /* up to o_proj, and up to down_proj */
    int o = bs_program_find(p, "o_input"), down = bs_program_find(p, "down_input");
    assert_true(bs_flops_until(p, o, TOKENS) == attention - 2 * TOKENS * q);
    assert_true(bs_flops_until(p, down, TOKENS) == attention + inner - 2 * TOKENS * mlp);
    assert_true(bs_site_weights(p, down) == mlp);
    for (int k = 0; k < p->num_inputs; k++) {
        struct bs_part part;
        if (!bs_program_inspected(p, p->inputs[k], &part) || part.from == 0)
            continue;
        bool of_attention = part.to == bs_program_find(p, "attn_output");
        assert_true(bs_part_flops(p, part, TOKENS) == (of_attention ? attention : inner));
    }
}

static void work_is_counted_from_the_operations(void **state)
{
    (void)state;
    for_every_program(assert_flops);
}

static void places_are_weights_and_sites(void **state)
{
    (void)state;
    struct bs_architecture a = read_sound("llama", SIZES);
    struct bs_place places[BS_MAX_PLACES];
    int count = bs_program_places(a.programs, places);
    static const struct {
        const char *name, *kind;
        int out, width;
    } want[] = {
        {"self_attn.q_proj", "weight", 32, 32},
        {"self_attn.k_proj", "weight", 32, 32},
        {"self_attn.v_proj", "weight", 32, 32},
        {"self_attn.o_proj", "weight", 32, 32},
        {"mlp.gate_proj", "weight", 20, 32},
        {"mlp.up_proj", "weight", 20, 32},
        {"mlp.down_proj", "weight", 32, 20},
        {"attn_input", "input", 0, 32},
        {"q", "qkv", 0, 32},
        {"k", "qkv", 0, 32},
        {"v", "qkv", 0, 32},
        {"query", "query", 0, 32},
        {"key", "cache", 0, 32},
        {"value", "cache", 0, 32},
        {"attn_probs", "probabilities", 0, 0},
        {"o_input", "input", 0, 32},
        {"attn_output", "output", 0, 32},
        {"resid_mid", "residual", 0, 32},
        {"mlp_input", "input", 0, 32},
        {"down_input", "input", 0, 20},
        {"mlp_output", "output", 0, 32},
        {"resid_post", "residual", 0, 32},
    };
    assert_int_equal(count, sizeof want / sizeof *want);
    for (int i = 0; i < count; i++) {
        assert_string_equal(places[i].name, want[i].name);
        assert_string_equal(places[i].kind, want[i].kind);
        assert_true(places[i].out == want[i].out && places[i].width == want[i].width);
        assert_ptr_equal(places[i].name, places[i].out ? a.programs->slots[places[i].index].name
                                                       : a.programs->values[places[i].index].name);
    }
}

/* --- parts and programs that are refused --- */

static void a_part_has_one_way_in(void **state)
{
    (void)state;
    bool ops[BS_MAX_OPS];
    struct bs_architecture a = read_sound("llama", SIZES);
    const struct bs_program *p = &a.programs[0];
    int in = bs_program_find(p, "attn_input"), out = bs_program_find(p, "attn_output");
    assert_true(bs_program_range(p, (struct bs_part){in, out}, ops));
    assert_true(bs_program_range(p, bs_program_whole(p), ops));
    for (int i = 0; i < p->num_ops; i++)
        assert_true(ops[i]);
    /* The residual stream goes past attention's input. */
    assert_false(bs_program_range(p, (struct bs_part){in, p->output}, ops));
    /* Nothing leads from the output of q to the MLP's input alone. */
    int q = bs_program_find(p, "q"), up = bs_program_find(p, "mlp_input");
    assert_false(bs_program_range(p, (struct bs_part){q, up}, ops));
    assert_false(bs_program_range(p, (struct bs_part){out, in}, ops));
    /* Rotation would write over the caller's q. */
    int query = bs_program_find(p, "query");
    assert_false(bs_program_range(p, (struct bs_part){q, query}, ops));
}

static void read_later(struct bs_program *p) { p->ops[0].in[0] = p->output; }
static void read_nothing(struct bs_program *p) { p->ops[0].in[0] = -1; }
static void read_beyond(struct bs_program *p) { p->ops[0].in[0] = p->num_values; }
static void read_more(struct bs_program *p) { p->ops[0].in[1] = 0; }
static void make_twice(struct bs_program *p) { p->ops[1].out = p->ops[0].out; }
static void make_input(struct bs_program *p) { p->ops[0].out = 0; }
static void make_elsewhere(struct bs_program *p) { p->values[p->ops[0].out].made_by = 3; }
static void compute_nothing(struct bs_program *p) { p->ops[0].kind = BS_NUM_OPS; }
static void narrow_norm(struct bs_program *p) { p->values[p->ops[0].out].width = 31; }
static void narrow_linear(struct bs_program *p) { p->slots[0].in = 31; }
static void short_linear(struct bs_program *p) { p->slots[0].out = 31; }
static void slots_beyond(struct bs_program *p) { p->ops[1].num_slots = BS_MAX_SLOTS; }
static void other_input(struct bs_program *p) { p->slots[0].input = 0; }
static void odd_heads(struct bs_program *p) { p->values[bs_program_find(p, "key")].heads = 3; }
static void lost_output(struct bs_program *p) { p->num_ops--; }
static void same_name(struct bs_program *p) { p->values[bs_program_find(p, "key")].name = "query"; }

/* The norm's output in the memory of the stream's sum, which is read again. */
static void overwrite(struct bs_program *p)
{
    p->values[bs_program_find(p, "mlp_input")].home =
        p->values[bs_program_find(p, "resid_mid")].home;
}

static void a_program_that_computes_something_else_is_refused(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(struct bs_program *p);
        const char *said;
    } cases[] = {
        {read_later, "operation 0 (norm) reads what is not made yet"},
        {read_nothing, "operation 0 (norm) lacks an input"},
        {read_beyond, "operation 0 (norm) lacks an input"},
        {read_more, "operation 0 (norm) has an input that it does not take"},
        {make_twice, "operation 1 (linear) makes what is made elsewhere"},
        {make_input, "operation 0 (norm) makes what is made elsewhere"},
        {make_elsewhere, "operation 0 (norm) makes what is made elsewhere"},
        {compute_nothing, "operation 0 (unknown) is computed by no code"},
        {narrow_norm, "operation 0 (norm) joins widths that do not fit"},
        {narrow_linear, "operation 1 (linear) joins widths that do not fit"},
        {short_linear, "operation 1 (linear) joins widths that do not fit"},
        {slots_beyond, "operation 1 (linear) joins widths that do not fit"},
        {other_input, "operation 1 (linear) joins widths that do not fit"},
        {odd_heads, "operation 7 (attend) joins widths that do not fit"},
        {overwrite, "operation 15 (add) reads what was overwritten"},
        {lost_output, "the block's output is not made"},
        {same_name, "two values have the name 'query'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_architecture a = read_sound("llama", SIZES);
        struct bs_error err;
        assert_int_equal(bs_program_check(&a.programs[0], &err), BS_OK);
        cases[i].spoil(&a.programs[0]);
        assert_int_equal(bs_program_check(&a.programs[0], &err), BS_EDATA);
        assert_string_equal(err.message, cases[i].said);
    }
}

/* A row names linears by the program's words, in any order and with others between them. */
static void a_row_names_the_linears_of_its_program(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_family family = *bs_family_find("llama");
    struct bs_architecture a = {.family = &family,
                                .stored = family,
                                .norms = bs_family_norms(&family),
                                .hidden_size = 8,
                                .intermediate_size = 12,
                                .num_heads = 2,
                                .num_kv_heads = 1,
                                .head_dim = 4};
    struct bs_linear_name gate = family.linears[SLOT_GATE];
    assert_string_equal(gate.role, "gate");
    family.linears[SLOT_GATE] = family.linears[SLOT_Q];
    family.linears[SLOT_Q] = gate;
    family.linears[NUM_SLOTS] = (struct bs_linear_name){"third", "mlp.third_proj"};
    assert_int_equal(bs_programs_build(&a, &err), BS_OK);
    assert_string_equal(a.programs[0].slots[SLOT_Q].tensor, "self_attn.q_proj");
    assert_string_equal(a.programs[0].slots[SLOT_GATE].tensor, "mlp.gate_proj");
    assert_int_equal(a.programs[0].num_slots, NUM_SLOTS);
    family.linears[SLOT_Q].role = "gates";
    assert_int_equal(bs_programs_build(&a, &err), BS_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "no name for the linear 'gate'"));
}

static void every_operation_says_what_it_is(void **state)
{
    (void)state;
    for (int k = 0; k < BS_NUM_OPS; k++) {
        const struct bs_op_type *type = &bs_op_types[k];
        assert_true(type->name && type->summary);
        assert_in_range(type->least_inputs, 1, type->most_inputs);
        for (int j = 0; j < k; j++)
            assert_string_not_equal(type->name, bs_op_types[j].name);
    }
    for (int k = 0; k < BS_NUM_SITES; k++)
        assert_non_null(bs_site_word((enum bs_site)k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_is_pre_norm_and_gated),
        cmocka_unit_test(qwen3_norms_queries_and_keys),
        cmocka_unit_test(opt_in_post_norm_reads_the_stream_itself),
        cmocka_unit_test(falcon_is_parallel_over_one_norm),
        cmocka_unit_test(gemma2_norms_what_branches_give),
        cmocka_unit_test(mpt_clips_what_one_tensor_makes),
        cmocka_unit_test(without_norms_before_them_branches_read_a_copy),
        cmocka_unit_test(bloom_can_add_to_what_was_normed),
        cmocka_unit_test(every_family_has_its_sites),
        cmocka_unit_test(memory_is_what_is_alive_at_a_time),
        cmocka_unit_test(work_is_counted_from_the_operations),
        cmocka_unit_test(places_are_weights_and_sites),
        cmocka_unit_test(a_part_has_one_way_in),
        cmocka_unit_test(a_program_that_computes_something_else_is_refused),
        cmocka_unit_test(a_row_names_the_linears_of_its_program),
        cmocka_unit_test(every_operation_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
