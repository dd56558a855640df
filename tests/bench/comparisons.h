/* What is compared in one walk. */
#ifndef BS_TESTS_BENCH_COMPARISONS_H
#define BS_TESTS_BENCH_COMPARISONS_H

/* Two evaluations of the same rounded weights in one walk, and what their times' ratios, the first
 * by the second, are called. A list ends with no chain. */
struct comparison {
    const char *chain, *settings[2];
    const char *labels[2], *whole, *blocks;
};

/* A faster arithmetic against float32. */
static const struct comparison w8a8[] = {
    {.chain = "smoothquant",
     .settings = {"bits=8", "bits=8 a.bits=8"},
     .labels = {"w8 evaluation", "w8a8 evaluation"},
     .whole = "float32 by W8A8 evaluation time, head included",
     .blocks = "float32 by W8A8 evaluation time, blocks alone"},
    {.chain = NULL},
};

/* The same. */
static const struct comparison bfloat16[] = {
    {.chain = "rtn",
     .settings = {"bits=4 group_size=128", "bits=4 group_size=128 compute=bfloat16"},
     .labels = {"w4 evaluation", "w4 in bfloat16"},
     .whole = "float32 by bfloat16 evaluation time, head's share equal",
     .blocks = "float32 by bfloat16 evaluation time, blocks alone"},
    {.chain = NULL},
};

/* With values quantized at a site against without. */
static const struct comparison sites[] = {
    {.chain = "rtn",
     .settings = {"bits=8 a.bits=4 a.where=down_input a.grid=awq a.symmetric=false", "bits=8"},
     .labels = {"down_input by token", "without"},
     .whole = "evaluation time with down_input by token by without",
     .blocks = "the same, blocks alone: down_input by token"},
    {.chain = "rtn",
     .settings = {"bits=8 a.bits=8 a.where=attn_input a.grid=bitsandbytes a.threshold=6", "bits=8"},
     .labels = {"attn_input but columns", "without"},
     .whole = "evaluation time with attn_input but columns by without",
     .blocks = "the same, blocks alone: attn_input but columns"},
    {.chain = "rtn",
     .settings = {"bits=8 a.bits=4 a.where=key a.sharing=channel a.group_size=32 a.grid=kivi",
                  "bits=8"},
     .labels = {"key by channel", "without"},
     .whole = "evaluation time with key by channel by without",
     .blocks = "the same, blocks alone: key by channel"},
    {.chain = "rtn",
     .settings = {"bits=8 a.bits=4 a.where=value a.grid=kvquant a.keep=0.01", "bits=8"},
     .labels = {"value but outliers", "without"},
     .whole = "evaluation time with value but outliers by without",
     .blocks = "the same, blocks alone: value but outliers"},
    {.chain = "rtn",
     .settings = {"bits=8 kv.bits=2 kv.group_size=32 kv.when=store kv.residual=32", "bits=8"},
     .labels = {"cache as stored", "without"},
     .whole = "evaluation time with cache as stored by without",
     .blocks = "the same, blocks alone: cache as stored"},
    {.chain = "rtn",
     .settings = {"bits=8 a.bits=8 a.where=attn_probs a.sharing=head", "bits=8"},
     .labels = {"attn_probs by head", "without"},
     .whole = "evaluation time with attn_probs by head by without",
     .blocks = "the same, blocks alone: attn_probs by head"},
    {.chain = NULL},
};

#endif
