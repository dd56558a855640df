"""Small trees with faults in them, by which each rule shows that it can find one.

A line that begins with '!' is one the rule must find (the '!' is not part of it); every other it must
leave alone.
"""
from tree import Tree

LONG = "int main(void)\n!{\n" + "    x();\n" * 79 + "}\n"
FITS = "int main(void)\n{\n" + "    x();\n" * 78 + "}\n"

FAULTS = {
    "folder-order": {
        "eval/base/x.c": '#include "eval/base/y.h"\n!#include "eval/quant/x.h"\n!#include "tests/x.h"\n',
        "eval/model/x.c": '#include "eval/quant/x.h"\n!#include "algorithms/x.h"\n!#include "eval/run/x.h"\n',
        "algorithms/x.c": '#include "eval/model/x.h"\n!#include "eval/config/x.h"\n',
        "eval/main.c": '#include "eval/run/x.h"\n',
        "eval/new/x.c": '!\n#include "eval/base/y.h"\n',
    },
    "include-cycle": {
        "eval/a/x.h": '#include "eval/a/y.h"\n',
        "eval/a/y.h": '#include "eval/a/z.h"\n#include "eval/a/w.h"\n',
        "eval/a/z.h": '#include "eval/a/w.h"\n!#include "eval/a/x.h"\n',
        "eval/a/w.h": "",
    },
    "own-header": {
        "eval/a/x.c": '/* x */\n!#include <stdio.h>\n#include "eval/a/x.h"\n', "eval/a/x.h": "",
        "eval/a/y.c": '/* y */\n#include "eval/a/y.h"\n#include <stdio.h>\n', "eval/a/y.h": "",
        "eval/a/z.c": "#include <stdio.h>\n",
    },
    "include-guard": {
        "eval/a/x.h": "!#ifndef X_H\n#define X_H\n#endif\n",
        "eval/a/y.h": "/* y */\n#ifndef BS_EVAL_A_Y_H\n#define BS_EVAL_A_Y_H\n#endif\n",
    },
    "function-length": {
        "eval/a/x.c": LONG, "eval/a/y.c": FITS,
        "tests/x.py": "!def x():\n" + "    x()\n" * 80, "tests/y.py": "def x():\n" + "    x()\n" * 79,
    },
    "file-length": {"eval/a/x.c": "x\n" * 600 + "!x\n", "eval/a/y.c": "x\n" * 600},
    "header-comment": {
        "eval/a/x.h": "/* x */\n#ifndef X\n\n#include <stdio.h>\n\nstruct x;\n\n/* y */\nstruct y {\n    int a;\n\n"
                      "    int b;\n};\n\n!struct z {\n    int a;\n};\n\n!void f(struct x *x,\n       int y);\n\n"
                      "/* g */\nvoid g(void);\nvoid h(void);\n\n!extern const int t[];\n\nenum { A };\n#endif\n",
    },
    "banned-call": {
        "eval/a/x.c": '!    strcpy(a, b);\n!    x = atoi (b);\n    my_strcpy(a, b);\n    /* strcpy(a, b) */\n'
                      '!    p = malloc(2);\n    f("strcpy(a, b)");\n!    y = rand();\n    bs_malloc(2);\n',
        "eval/base/mem.c": "    p = malloc(2);\n", "tests/x.c": "    p = malloc(2);\n!    strcat(a, b);\n",
    },
    "elementary-function": {
        "eval/a/x.c": "!    x = exp(y);\n!    x = powf (y, 2);\n    x = bs_exp(y) + sqrtf(y);\n    /* exp(y) */\n",
        "tests/x.c": "    x = exp(y);\n",
    },
    "exit-and-output": {
        "eval/a/x.c": '!    exit(1);\n!    printf("x");\n!    fputs("x", stdout);\n    fprintf(out, "exit(1)");\n',
        "eval/main.c": '    printf("x");\n    exit(1);\n', "tests/x.c": '    printf("x");\n',
    },
    "dialect": {
        "eval/a/x.c": '!    if (f() == BS_OK)\n!    if (strcmp(f(a), "b)") == 0)\n    if (!strcmp(a, b) && c == 0)\n'
                      "!    if (memcmp(a, b,\n               c) != 0)\n!    while (p != NULL)\n    x |= p != NULL;\n"
                      "!typedef struct x x;\n!#if 0\n!    if (x == true)\n!#pragma omp parallel for reduction(+ : x)\n"
                      "    return BS_OK;\n    /* == BS_OK */\n",
    },
    "line-length": {
        "eval/a/x.c": "/* " + "é" * 97 + "\n!   " + "é" * 98 + " */\n", "eval/a/x.md": "x" * 101 + "\n",
    },
    "left-over": {
        "eval/a/x.c": "!/* TODO: more */\n!/* x = y(z); */\n!/* return f(x); */\n!// if (x) {\nint x;\n"
                      "/* A sentence; and half of one;\n * x = 1, where y(z) holds. */\n!int y; \n/* {a, b}\n * } */\n"
                      "/*\n!  f(x);\n */\n/* As in\n *     f(x);\n */\n",
    },
    "words": {
        "eval/a/x.c": "!/* what stands behind the blocks */\n!    int left_behind;\n    int behinder;\n",
        "README.md": "!Behind it.\nAfter it.\n",
    },
    "readme-size": {"README.md": "!" + "x" * 8193},
    "links": {
        "README.md": "[a](a/b.md) [b](a/) [c](https://x.y/z) [d](#a-head-line)\n# A head-line\n![e](c.png)\n"
                     "![f](#other)\n[g](a/b.md#big-b-c)\n![h](a/b.md#small)\n",
        "a/b.md": "## Big `b`, c\n[x](#big-b-c-1)\n[x](../README.md)\n!![x](README.md)\n### Big b c\n",
    },
    "generated": {
        "README.md": "<!-- bitsweep describe a -->\nabout a\n<!-- end of bitsweep -->\n"
                     "!<!-- bitsweep describe b -->\nabout a\n<!-- end of bitsweep -->\n!<!-- bitsweep describe a -->\n",
    },
    "described": {"README.md": "!<!-- bitsweep describe a -->\n### a\n<!-- end of bitsweep -->\n"},
    "help-printed": {
        "eval/a/x.c": 'const struct bs_option x[] = {\n    BS_OPT(struct x, a, 1, 0, MOST(2, 3), "about "\n           "a"),\n'
                      '!    BS_OPT(struct x, b, 1, 0, 2, "about c"),\n!    BS_OPT(struct x, c, 1, 0, 2, shared),\n};\n'
                      'static const char shared[] = "about "\n    "d";\n'
                      'const struct bs_config_key y[] = {\n    {"a", "text", "about a", true},\n'
                      '!    {"b", "text, {x}", "about f", false},\n    {.name = NULL},\n};\n',
    },
    "algorithm-name": {
        "algorithms/registry.c": "#define ALGORITHMS(X)    \\\n    X(rtn)    \\\n    X(gptq)\n",
        "algorithms/gptq.c": 'const char *name = "gptq";\n',
        "eval/a/x.c": '!    f("rtn");\n!    f("as the gptq paper");\n!    f(bs_alg_gptq);\n    f(BS_GRID_GPTQ);\n    f("A/gptq x.py");\n    /* gptq */\n'
                      "    int returned = rtns;\n",
        "tests/x.c": '    f("rtn");\n',
    },
    "format-name": {
        "eval/quant/formats/registry.c": "#define FORMATS(X)    \\\n    X(int)    \\\n    X(nf4)\n",
        "eval/quant/formats/int.c": 'const char *name = "int";\n',
        "eval/a/x.c": '!    f("int");\n!    f("nf4");\n    int x = f("an int");\n!    nf4(x);\n',
    },
    "figure-name": {
        "eval/tasks/x.c": '    [KLD] = {.name = "kld_mean",\n             .unit = "nats"},\n    {"nll", 1},\n'
                          '    [NLL] = {"nll", 1},\n    {.name = "bytes"},\n',
        "eval/store/x.c": '!    f("kld_mean");\n!    row->nll = 1;\n    f("nats");\n    /* nll */\n    f("%d bytes");\n'
                          '!    f("bytes");\n    size_t bytes = 1;\n',
        "eval/report/x.c": '    f("nll");\n',
    },
    "format": {"eval/a/x.c": "!int   f(void);\nint g(void);\n"},
    "tidy": {
        "eval/a/x.c": "int f(const int *p);\nint f(const int *p)\n{\n    if (!p)\n!        return *p;\n    return 0;\n}\n",
        "eval/a/y.c": "int g(const int *p, struct bs_error *err);\nint g(const int *p, struct bs_error *err)\n{\n"
                      "    int s = p ? 0 : bs_fail_memory(err);\n    return s ? s : *p;\n}\n",
        "eval/a/z.c": "int h(int a);\n!int h(int a)\n{\n" + "    a++;\n" * 80 + "    return a;\n}\n",
    },
}
PRINTED = {
    "bitsweep describe a": "about a\n",
    "bitsweep describe b": "about b\n",
    "bitsweep describe --markdown": "### a\n\n| a | about a |\n\n### b\n",
}


def planted(name):
    """The fixture's tree, and the (path, line) pairs that are to be found."""
    texts, wanted = {}, set()
    for path, text in FAULTS[name].items():
        lines = text.split("\n")
        wanted |= {(path, number) for number, line in enumerate(lines, 1) if line.startswith("!")}
        texts[path] = "\n".join(line[line.startswith("!"):] for line in lines)
    tree = Tree(texts)
    tree.printed = PRINTED.get
    return tree, wanted


def missed(rule, name):
    """Messages about what the rule should have found in its fixture, or should not have."""
    tree, wanted = planted(name)
    found = {(path, number) for path, number, _ in rule(tree)}
    return ([f"tests/lint/faults.py: {name}: does not find {p}:{n}" for p, n in sorted(wanted - found)] +
            [f"tests/lint/faults.py: {name}: finds {p}:{n}, which is right" for p, n in sorted(found - wanted)])
