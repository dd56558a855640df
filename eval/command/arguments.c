#include "eval/command/arguments.h"

#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/option.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/config/report.h"

enum { MOST_COMMANDS = 16 };

/* One table for parsing and for help. */
static const struct flag {
    const char *name, *argument;
    char letter;
    const char *help;
} flags[] = {
    {"output", "PATH", 'o',
     "the result file of run and plan, else results/CONFIG.h5; the folder of plot's charts, else "
     "the result file's name without its ending"},
    {"model", "NAME", 'l', "only this one of the config's models; may be given several times"},
    {"accept-unknown", "KEY", 'u',
     "pass over this key of a config.json although it is not understood; several times"},
    {"memory", "SIZE", 'm',
     "memory a walk may use, such as 900M or 8G; by default half of what the machine, its cgroup "
     "and limits leave"},
    {"scratch", "FOLDER", 'c',
     "where streams go that memory has no room for (TMPDIR, else /tmp) and checkpoints (beside "
     "results)"},
    {"checkpoint", "SECONDS", 'k',
     "how often a walk is kept, or off; by default so that it takes at most a fortieth of the "
     "time"},
    {"threads", "N", 't',
     "threads; OMP_NUM_THREADS, else every available core. Results do not depend on it"},
    {"numerics", "NAME", 'x',
     "by what matrices are multiplied: portable, native (`describe numerics`); goes before the "
     "config's key"},
    {"format", "NAME", 'f', "terminal, markdown, csv, latex, json or jsonl (an object a line)"},
    {"columns", "NAMES", 'n',
     "values and fields to show, parted by commas, by their names in --format csv"},
    {"where", "CONDITION", 'W',
     "only trials of which this holds: 'bits <= 4 and label = *g128*'; names are columns of "
     "--format csv; = != < <= > >=, and, or, not, brackets; * and ? stand for letters of a text"},
    {"sort", "NAMES", 'S', "by these columns, ascending; -NAME: descending"},
    {"group-by", "NAMES", 'G', "what agrees in these columns stands together"},
    {"top", "N", 'T',
     "so many of each model and text, or of each group; first in the order of --sort"},
    {"fail-if", "CONDITION", 'F',
     "exit with status 1 where this holds of a row that is shown, or one has failed: "
     "'perplexity_delta > 0.1'"},
    {"items", NULL, 'j',
     "the items of tasks that turned from the unquantized model to a trial; --columns acc_norm: by "
     "that"},
    {"positions", NULL, 'b',
     "perplexity by how many tokens of its window a prediction has before it; --columns kld (nll, "
     "same_top): that"},
    {"between", "TRIAL TRIAL", 'w',
     "compare trials of one file, each called by its label or id; a star stands for any letters, a "
     "recipe for its trials of all seeds"},
    {"plots", "FOLDER", 'p',
     "where the chart templates are; ./plots, else those of the project or prefix that the program "
     "stands in"},
    {"recipe", "LABEL", 'e',
     "the recipe that is written, as tables call it; the only one there is"},
    {"as", "LAYOUT", 'z', "how it is written (`describe writer`)"},
    {"set", "KEY=VALUE", 'v', "an option of the layout; may be given several times"},
    {"verify", NULL, 'y',
     "read back what was written, compare all weights, and measure it on the config's texts"},
    {"revision", "NAME", 'r', "branch, tag or commit; main, or what follows @ in a name"},
    {"markdown", NULL, 'd', "print Markdown"},
    {"quiet", NULL, 'q', "no progress; of a plan, no time, which takes a second or two to measure"},
    {"places", NULL, 'a', "print the places of the models that a config's rules may name"},
    {"ids", NULL, 'i', "print the ids alone, on one line"},
    {"no-special", NULL, 's', "without the special tokens around the text"},
    {"help", NULL, 'h', "print this help"},
};
enum { NUM_FLAGS = sizeof flags / sizeof *flags };

/* Two columns, the second folded where the terminal ends. */
static void print_pair(const char *left, int width, const char *right, FILE *out)
{
    int limit = bs_terminal_limit(out) - width - 3;
    fprintf(out, "  %-*s ", width, left);
    for (const char *line = right; *line;) {
        size_t bytes = limit > 0 ? bs_line_bytes(line, limit) : strlen(line);
        fprintf(out, "%*s%.*s\n", line > right ? width + 3 : 0, "", (int)bytes, line);
        line += bytes;
        line += strspn(line, " ");
    }
}

static void print_flags(const struct bs_command *command, FILE *out)
{
    for (int i = 0; i < NUM_FLAGS; i++) {
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", flags[i].name, flags[i].argument ? " " : "",
                 flags[i].argument ? flags[i].argument : "");
        if (strchr(command->options, flags[i].letter))
            print_pair(left, 20, flags[i].help, out);
    }
}

void bs_help_print(const struct bs_command *commands, const struct bs_command *command, FILE *out)
{
    int limit = bs_terminal_limit(out);
    if (command) {
        fprintf(out, "usage: bitsweep %s [options] %s\n\n", command->name, command->operands);
        bs_print_folded(out, limit, "%s", command->summary);
        fputc('\n', out);
        print_flags(command, out);
        return;
    }
    fputs("usage: bitsweep COMMAND [options] ...\n\n"
          "measures what quantization costs a language model\n\n",
          out);
    for (int i = 0; commands[i].name; i++) {
        char left[40];
        snprintf(left, sizeof left, "%-9s %s", commands[i].name, commands[i].operands);
        print_pair(left, 26, commands[i].summary, out);
    }
    fputc('\n', out);
    bs_print_folded(out, limit,
                    "`bitsweep COMMAND --help` lists a command's options, `bitsweep --version` "
                    "says which program this is.");
    bs_print_folded(out, limit,
                    "exit status: 0 done, 1 a trial failed (the others ran) or --fail-if holds, 2 "
                    "the input is wrong "
                    "or the output cannot be written");
}

static int usage_error(const struct bs_command *command, const char *what, const char *word)
{
    bs_print_line(stderr, "bitsweep%s%s: %s '%s'; see --help", command ? " " : "",
                  command ? command->name : "", what, word);
    return BS_EXIT_INPUT;
}

/* "900M", "8G", "1.5e9": bytes, or 0 where it is none of these. */
static double parse_size(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    static const char units[] = "KMGT";
    const char *unit = *end ? strchr(units, *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        value *= 1000;
    if (unit)
        end++;
    if (*end == 'B')
        end++;
    return *end || end == text || !(value > 0) ? 0 : value;
}

static int parse_count(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return *end || end == text || value < 1 || value > 4096 ? 0 : (int)value;
}

/* "off", or seconds. */
static int take_interval(const struct bs_command *command, const char *text,
                         struct bs_limits *limits)
{
    char *end;
    double seconds = strtod(text, &end);
    limits->no_checkpoints = !strcmp(text, "off");
    limits->checkpoint_interval = seconds;
    bool is_number = end != text && !*end && seconds >= 0 && seconds <= 1e9;
    return limits->no_checkpoints || is_number
               ? BS_EXIT_DONE
               : usage_error(command, "--checkpoint takes seconds or off, not", text);
}

static int take_numerics(const struct bs_command *command, const char *name,
                         struct bs_arguments *args)
{
    char what[160], list[96];
    struct bs_names names = {0};
    args->numerics = bs_numerics_find(name);
    if (args->numerics)
        return BS_EXIT_DONE;
    for (int i = 0; bs_numerics_registry.rows[i]; i++)
        bs_names_add(&names, bs_numerics_registry.rows[i]->name);
    bs_names_print(&names, name, list, sizeof list);
    snprintf(what, sizeof what, "--numerics takes %s, not", list);
    return usage_error(command, what, name);
}

/* A writer's name; a hyphen in it is as good as an underscore. */
static int take_writer(const struct bs_command *command, const char *text,
                       struct bs_arguments *args)
{
    char what[320], list[256], name[64];
    struct bs_names names = {0};
    snprintf(name, sizeof name, "%s", text);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    args->writer = (const struct bs_writer *)bs_registry_find(&bs_writer_registry, name);
    if (args->writer)
        return BS_EXIT_DONE;
    for (int i = 0; bs_writer_registry.rows[i]; i++)
        bs_names_add(&names, bs_writer_registry.rows[i]->name);
    bs_names_print(&names, name, list, sizeof list);
    snprintf(what, sizeof what, "--as takes %s, not", list);
    return usage_error(command, what, text);
}

/* Flags that set a text as it is given, and those without a value. */
#define FIELD(member) offsetof(struct bs_arguments, member)
static const struct {
    char letter;
    size_t offset;
} texts[] = {{'f', FIELD(format)},
             {'n', FIELD(columns)},
             {'p', FIELD(plots)},
             {'r', FIELD(revision)},
             {'e', FIELD(recipe)},
             {'W', FIELD(selection.where)},
             {'S', FIELD(selection.sort)},
             {'G', FIELD(selection.group_by)},
             {'F', FIELD(selection.fail_if)}},
  switches[] = {{'d', FIELD(markdown)},  {'j', FIELD(items)},      {'a', FIELD(places)},
                {'i', FIELD(ids)},       {'s', FIELD(no_special)}, {'q', FIELD(quiet)},
                {'b', FIELD(positions)}, {'y', FIELD(verify)}};

/* False where the flag is none of these. */
static bool take_plain(char letter, const char *value, struct bs_arguments *args)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].letter == letter) {
            memcpy((char *)args + texts[i].offset, &value, sizeof value);
            return true;
        }
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (switches[i].letter == letter) {
            *((bool *)((char *)args + switches[i].offset)) = true;
            return true;
        }
    return false;
}

static int take_flag(const struct bs_command *command, char letter, const char *value,
                     struct bs_arguments *args)
{
    if (take_plain(letter, value, args))
        return BS_EXIT_DONE;
    switch (letter) {
    case 'o':
        args->output = value;
        return *value ? BS_EXIT_DONE : usage_error(command, "--output takes a path, not", value);
    case 'l':
        if (args->num_models == BS_MAX_MODELS)
            return usage_error(command, "one --model too many:", value);
        args->models[args->num_models++] = value;
        return BS_EXIT_DONE;
    case 'u':
        if (args->num_accepted == BS_MOST_ACCEPTED)
            return usage_error(command, "one --accept-unknown too many:", value);
        args->accepted[args->num_accepted++] = value;
        return BS_EXIT_DONE;
    case 'z':
        return take_writer(command, value, args);
    case 'v':
        if (args->num_settings == BS_MOST_SETTINGS)
            return usage_error(command, "one --set too many:", value);
        args->settings[args->num_settings++] = value;
        return BS_EXIT_DONE;
    case 'T':
        args->selection.top = parse_count(value);
        return args->selection.top
                   ? BS_EXIT_DONE
                   : usage_error(command, "--top takes a number from 1 to 4096, not", value);
    case 'm':
        args->limits.memory = parse_size(value);
        return args->limits.memory > 0
                   ? BS_EXIT_DONE
                   : usage_error(command, "--memory takes a size such as 900M, not", value);
    case 'c':
        args->limits.scratch = args->limits.checkpoints = value;
        return *value ? BS_EXIT_DONE : usage_error(command, "--scratch takes a folder, not", value);
    case 'k':
        return take_interval(command, value, &args->limits);
    case 't':
        args->threads = parse_count(value);
        return args->threads
                   ? BS_EXIT_DONE
                   : usage_error(command, "--threads takes a number from 1 to 4096, not", value);
    case 'x':
        return take_numerics(command, value, args);
    default:
        return BS_EXIT_DONE;
    }
}

/* The option's own word and the one after it. */
static int take_between(const struct bs_command *command, int argc, char **argv,
                        struct bs_arguments *args)
{
    args->between[0] = optarg;
    if (optind == argc)
        return usage_error(command, "a second trial is missing after --between", optarg);
    args->between[1] = argv[optind++];
    return BS_EXIT_DONE;
}

/* The word that getopt has just refused. It goes on to the next one only after the last letter of
 * a word of single letters ("-abc"). */
static const char *unknown_word(int argc, char **argv)
{
    bool within = optopt && optind < argc && argv[optind][0] == '-' && argv[optind][1] == optopt;
    return argv[within ? optind : optind - 1];
}

/* Says what was perhaps meant: the nearest of the command's options, or whose option it is. */
static int unknown_option(const struct bs_command *commands, const struct bs_command *command,
                          const char *word)
{
    char name[64], hint[160] = "";
    const char *names[NUM_FLAGS + 1] = {NULL};
    int count = 0;
    const struct flag *known = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + strspn(word, "-"), "="),
             word + strspn(word, "-"));
    for (int i = 0; i < NUM_FLAGS; i++) {
        if (strchr(command->options, flags[i].letter))
            names[count++] = flags[i].name;
        if (!strcmp(flags[i].name, name))
            known = &flags[i];
    }
    const char *near = bs_nearest_word(name, names);
    if (known && strchr(command->options, known->letter))
        snprintf(hint, sizeof hint, ": --%s takes no value", known->name);
    else if (near)
        snprintf(hint, sizeof hint, ", did you mean '--%s'?", near);
    for (int i = 0; known && !*hint && commands[i].name; i++)
        if (strchr(commands[i].options, known->letter))
            snprintf(hint, sizeof hint, ": it is one of bitsweep %s", commands[i].name);
    bs_print_line(stderr, "bitsweep %s: unknown option '%s'%s; see --help", command->name, word,
                  hint);
    return BS_EXIT_INPUT;
}

int bs_arguments_parse(const struct bs_command *command, const struct bs_command *commands,
                       int argc, char **argv, struct bs_arguments *args, bool *help)
{
    struct option longs[NUM_FLAGS + 1] = {{NULL, 0, NULL, 0}};
    int count = 0, letter;
    for (int i = 0; i < NUM_FLAGS; i++)
        if (strchr(command->options, flags[i].letter))
            longs[count++] =
                (struct option){flags[i].name, flags[i].argument ? required_argument : no_argument,
                                NULL, flags[i].letter};
    opterr = 0;
    while ((letter = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
        if (letter == ':')
            return usage_error(command, "a value is missing after", argv[optind - 1]);
        if (letter == '?')
            return unknown_option(commands, command, unknown_word(argc, argv));
        if (letter == 'h')
            *help = true;
        else if (letter == 'w' && take_between(command, argc, argv, args))
            return BS_EXIT_INPUT;
        else if (letter != 'w' && take_flag(command, (char)letter, optarg, args))
            return BS_EXIT_INPUT;
    }
    for (; optind < argc; optind++) {
        if (args->num_operands == command->max_operands)
            return usage_error(command, "one operand too many:", argv[optind]);
        args->operands[args->num_operands++] = argv[optind];
    }
    if (args->num_operands < command->min_operands && !*help)
        return usage_error(command, "expected", command->operands);
    return BS_EXIT_DONE;
}

const struct bs_command *bs_command_find(const struct bs_command *commands, const char *name)
{
    const char *names[MOST_COMMANDS + 1] = {NULL};
    for (int i = 0; i < MOST_COMMANDS && commands[i].name; i++) {
        names[i] = commands[i].name;
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    }
    const char *near = bs_nearest_word(name, names);
    bs_print_line(stderr, "bitsweep: unknown command '%s'%s%s%s; see --help", name,
                  near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}
