/* The command line of `make bench`. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct flag {
    const char *name, *argument;
    char letter;
    const char *help;
} flags[] = {
    {"model", "NAME,...", 'm', "models to measure (default: the first three)"},
    {"case", "NAME,...", 'c', "cases to measure (default: the first four; on opt-125m all)"},
    {"windows", "N", 'w',
     "windows that are evaluated (default: the model's, at least one a thread)"},
    {"tokens", "N", 't', "tokens of such a window (default: 2048; trials: 256)"},
    {"calibration", "N", 'n',
     "calibration windows (default: 4, w8a8 2, trials 8, at least one a thread)"},
    {"calibration-tokens", "N", 'k', "tokens of such a window"},
    {"layers", "N", 'l', "blocks of the models"},
    {"threads", "N", 'j', "threads (default: one a core)"},
    {"repeat", "N", 'r', "runs of each, of which the median counts (default: 5 where short)"},
    {"seed", "N", 's', "of weights and tokens (default: 0)"},
    {"numerics", "NAME", 'x',
     "portable or native; the case of this name has both (default: portable)"},
    {"scratch", "FOLDER", 'd', "where the models are written (default: TMPDIR)"},
    {"keep", NULL, 'K', "leave the models in the scratch folder, and use those that are there"},
    {"output", "PATH", 'o', "the JSON file (default: build/bench.json)"},
    {"help", NULL, 'h', "print this help"},
};
enum { NUM_FLAGS = sizeof flags / sizeof *flags };

static int print_help(const struct bench_named *cases, int num_cases)
{
    printf("usage: bench [option ...]\n\nmodels (float32 arithmetic, random weights):\n");
    for (int i = 0; i < bench_num_models; i++)
        printf("  %-16s %s\n", bench_models[i].name, bench_models[i].summary);
    printf("\ncases:\n");
    for (int i = 0; i < num_cases; i++)
        printf("  %-16s %s\n", cases[i].name, cases[i].summary);
    printf("\noptions:\n");
    for (int i = 0; i < NUM_FLAGS; i++) {
        char option[64];
        snprintf(option, sizeof option, "--%s %s", flags[i].name,
                 flags[i].argument ? flags[i].argument : "");
        printf("  %-24s %s\n", option, flags[i].help);
    }
    return EXIT_SUCCESS;
}

/* Marks what a comma-separated list names. */
static void choose(const char *list, const char *what, const struct bench_named *named, int count,
                   bool *chosen, bool *any)
{
    while (*list) {
        size_t length = strcspn(list, ",");
        int i = 0;
        while (i < count &&
               (strlen(named[i].name) != length || strncmp(named[i].name, list, length)))
            i++;
        if (i == count)
            bench_fail("no %s is called '%.*s'; --help lists them", what, (int)length, list);
        chosen[i] = *any = true;
        list += length + (list[length] == ',');
    }
}

static int whole_number(const char *text, const char *name, long least)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (*end || end == text || errno || value < least || value > 1 << 20)
        bench_fail("--%s is '%s', expected a whole number of at least %ld", name, text, least);
    return (int)value;
}

static void set_number(struct bench_settings *s, const struct flag *flag, const char *text)
{
    const struct {
        char letter;
        int *to;
    } numbers[] = {{'w', &s->windows},     {'t', &s->tokens},
                   {'n', &s->calibration}, {'k', &s->calibration_tokens},
                   {'l', &s->layers},      {'j', &s->threads},
                   {'r', &s->repeat},      {'s', &s->seed}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].letter == flag->letter) /* a window of one token predicts nothing */
            *numbers[i].to = whole_number(text, flag->name,
                                          flag->letter == 's'   ? 0
                                          : flag->letter == 't' ? 2
                                                                : 1);
}

static void choose_models(struct bench_settings *s, const char *text)
{
    struct bench_named named[BENCH_MOST_MODELS];
    for (int i = 0; i < bench_num_models; i++)
        named[i] = (struct bench_named){bench_models[i].name, bench_models[i].summary};
    choose(text, "model", named, bench_num_models, s->models, &s->any_model);
}

static const struct bs_numerics *numerics_called(const char *name)
{
    const struct bs_numerics *numerics = bs_numerics_find(name);
    if (!numerics)
        bench_fail("no numerics are called '%s'; --help lists them", name);
    return numerics;
}

static void set(struct bench_settings *s, const struct flag *flag, const char *text)
{
    if (flag->letter == 'd')
        s->scratch = text;
    else if (flag->letter == 'x')
        s->numerics = numerics_called(text);
    else if (flag->letter == 'K')
        s->keep = true;
    else if (flag->letter == 'o')
        s->output = text;
    else
        set_number(s, flag, text);
}

struct bench_settings bench_read_command_line(int argc, char **argv,
                                              const struct bench_named *cases, int num_cases)
{
    struct bench_settings s = {.output = "build/bench.json"};
    struct option options[NUM_FLAGS + 1] = {{0}};
    int letter, index;
    for (int i = 0; i < NUM_FLAGS; i++)
        options[i] =
            (struct option){flags[i].name, flags[i].argument ? required_argument : no_argument,
                            NULL, flags[i].letter};
    while ((letter = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (letter == 'h')
            exit(print_help(cases, num_cases));
        if (letter == '?')
            bench_fail("--help lists the options");
        if (letter == 'm')
            choose_models(&s, optarg);
        else if (letter == 'c')
            choose(optarg, "case", cases, num_cases, s.cases, &s.any_case);
        else
            set(&s, &flags[index], optarg);
    }
    if (optind < argc)
        bench_fail("'%s' is no option; --help lists them", argv[optind]);
    return s;
}
