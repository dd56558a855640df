/* Adding a number format is its file and one line here. */
#include "eval/quant/format.h"
#include "eval/quant/formats/mix_formats.h"

#ifndef BS_MORE_FORMATS /* a test's plug-ins */
#define BS_MORE_FORMATS(X)
#endif

#define FORMATS(X)                                                                                 \
    X(int)                                                                                         \
    X(codebook)                                                                                    \
    X(nf4)                                                                                         \
    X(fp4)                                                                                         \
    BS_MIX_FORMATS(X)                                                                              \
    X(gguf_mxfp4)                                                                                  \
    X(gguf_nvfp4)                                                                                  \
    X(fp16)                                                                                        \
    X(bf16)                                                                                        \
    X(fp8_e4m3)                                                                                    \
    X(fp8_e5m2)                                                                                    \
    X(float)                                                                                       \
    X(mxfp4)                                                                                       \
    X(mxfp6_e2m3)                                                                                  \
    X(mxfp6_e3m2)                                                                                  \
    X(mxfp8_e4m3)                                                                                  \
    X(mxfp8_e5m2)                                                                                  \
    X(mxint8)                                                                                      \
    X(nvfp4)                                                                                       \
    BS_MORE_FORMATS(X)

#define DECLARE(f) extern const struct bs_format bs_format_##f;
#define ENTRY(f) &bs_format_##f.plugin,

FORMATS(DECLARE)

static const struct bs_plugin *const rows[] = {FORMATS(ENTRY) NULL};

const char *const bs_format_families[BS_NUM_FAMILIES] = {
    [BS_FAMILY_NONE] = "",
    [BS_FAMILY_INT] = "int",
    [BS_FAMILY_FLOAT] = "float",
    [BS_FAMILY_MX] = "mx",
    [BS_FAMILY_LOOKUP] = "lookup",
    [BS_FAMILY_GGUF_LEGACY] = "gguf legacy",
    [BS_FAMILY_GGUF_K] = "gguf k",
    [BS_FAMILY_GGUF_IQ] = "gguf iq",
    [BS_FAMILY_GGUF_TERNARY] = "gguf ternary",
};

static void print_facts(const struct bs_plugin *plugin, FILE *out)
{
    fprintf(out, "family: %s\n", bs_format_families[((const struct bs_format *)plugin)->family]);
}

const struct bs_registry bs_format_registry = {
    .kind = "format",
    .summary = "what numbers are rounded to: levels, who shares a scale, how it is fitted",
    .rows = rows,
    .print_facts = print_facts,
};
