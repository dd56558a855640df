#include "eval/command/arguments.h"

#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/option.h"
#include "eval/base/printable.h"
#include "eval/command/duration.h"
#include "eval/config/report.h"
#include "eval/linalg/numerics.h"

static int usage_error(const struct bs_command *command, const char *what, const char *word)
{
    bs_print_line(stderr, "bitsweep %s: %s '%s'; see --help", command->name, what, word);
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
                         struct bs_arguments *args)
{
    struct bs_limits *limits = &args->limits;
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
    bs_names_add_rows(&names, &bs_numerics_registry);
    bs_names_print(&names, name, list, sizeof list);
    snprintf(what, sizeof what, "--numerics takes %s, not", list);
    return usage_error(command, what, name);
}

static int take_writer(const struct bs_command *command, const char *text,
                       struct bs_arguments *args)
{
    char what[320], list[256];
    struct bs_names names = {0};
    args->writer = bs_writer_find(text);
    if (args->writer)
        return BS_EXIT_DONE;
    bs_names_add_rows(&names, &bs_writer_registry);
    bs_names_print(&names, text, list, sizeof list);
    snprintf(what, sizeof what, "--as takes %s, not", list);
    return usage_error(command, what, text);
}

static int take_setting(const struct bs_command *command, const char *setting,
                        struct bs_arguments *args)
{
    if (args->num_settings == BS_MOST_SETTINGS)
        return usage_error(command, "one --set too many:", setting);
    args->settings[args->num_settings++] = setting;
    return BS_EXIT_DONE;
}

static int take_memory(const struct bs_command *command, const char *text,
                       struct bs_arguments *args)
{
    args->limits.memory = parse_size(text);
    return args->limits.memory > 0
               ? BS_EXIT_DONE
               : usage_error(command, "--memory takes a size such as 900M, not", text);
}

static int take_threads(const struct bs_command *command, const char *text,
                        struct bs_arguments *args)
{
    args->threads = parse_count(text);
    return args->threads
               ? BS_EXIT_DONE
               : usage_error(command, "--threads takes a number from 1 to 4096, not", text);
}

/* "2/8". */
static int take_shard(const struct bs_command *command, const char *text, struct bs_arguments *args)
{
    char number[8];
    const char *slash = strchr(text, '/');
    snprintf(number, sizeof number, "%.*s", slash ? (int)(slash - text) : 0, text);
    args->shard = (struct bs_shard){parse_count(number), slash ? parse_count(slash + 1) : 0};
    return args->shard.number && args->shard.number <= args->shard.count
               ? BS_EXIT_DONE
               : usage_error(command, "--shard takes a number of so many, such as 2/8, not", text);
}

static int take_nodes(const struct bs_command *command, const char *text, struct bs_arguments *args)
{
    args->nodes = parse_count(text);
    return args->nodes ? BS_EXIT_DONE
                       : usage_error(command, "--nodes takes a number from 1 to 4096, not", text);
}

/* As Slurm has it: a bare number is minutes. */
static int take_job_time(const struct bs_command *command, const char *text,
                         struct bs_arguments *args)
{
    const double minute = 60, least = 10;
    args->job_time = bs_duration(text, minute);
    return args->job_time >= least
               ? BS_EXIT_DONE
               : usage_error(command,
                             "--time takes minutes or a time such as 12h or 2-00:00:00, not", text);
}

static int take_time_limit(const struct bs_command *command, const char *text,
                           struct bs_arguments *args)
{
    args->time_limit = bs_duration(text, 0);
    return args->time_limit > 0
               ? BS_EXIT_DONE
               : usage_error(command,
                             "--time-limit takes a time such as 30m, 12h or 2-00:00:00, not", text);
}

static int take_shards(const struct bs_command *command, const char *text,
                       struct bs_arguments *args)
{
    args->shard = (struct bs_shard){0, parse_count(text)};
    return args->shard.count
               ? BS_EXIT_DONE
               : usage_error(command, "--shards takes a number from 1 to 4096, not", text);
}

static int take_progress(const struct bs_command *command, const char *text,
                         struct bs_arguments *args)
{
    for (int i = 0; bs_telling_styles[i]; i++)
        if (!strcmp(bs_telling_styles[i], text)) {
            args->telling.style = (enum bs_telling_style)i;
            return BS_EXIT_DONE;
        }
    return usage_error(command, "--progress takes auto, lines or jsonl, not", text);
}

static int take_top(const struct bs_command *command, const char *text, struct bs_arguments *args)
{
    args->selection.top = parse_count(text);
    return args->selection.top
               ? BS_EXIT_DONE
               : usage_error(command, "--top takes a number from 1 to 4096, not", text);
}

/* "0.1" or "1%". */
static int take_loss(const struct bs_command *command, const char *text, struct bs_arguments *args)
{
    struct bs_choice_limits *wish = &args->wish;
    char *end;
    wish->max_delta = strtod(text, &end);
    wish->is_relative = *end == '%';
    wish->max_delta /= wish->is_relative ? 100 : 1;
    end += wish->is_relative;
    return end != text && !*end && wish->max_delta > 0 && wish->max_delta < 1e9
               ? BS_EXIT_DONE
               : usage_error(command, "--max-delta takes a loss such as 0.1 or 1%, not", text);
}

static int take_bits(const struct bs_command *command, const char *text, struct bs_arguments *args)
{
    args->wish.bits = parse_count(text);
    return args->wish.bits ? BS_EXIT_DONE
                           : usage_error(command, "--bits takes a number from 1, not", text);
}

/* "png,pdf" */
static int take_pictures(const struct bs_command *command, const char *text,
                         struct bs_arguments *args)
{
    args->chart.pictures = 0;
    for (const char *word = text; *word;) {
        size_t length = strcspn(word, ",");
        int i = 0;
        while (bs_picture_names[i] && (strlen(bs_picture_names[i]) != length ||
                                       strncmp(bs_picture_names[i], word, length)))
            i++;
        if (!bs_picture_names[i])
            return usage_error(command, "--pictures takes png, svg, pdf and eps, not", word);
        args->chart.pictures |= 1u << i;
        word += length + (word[length] == ',');
    }
    return args->chart.pictures
               ? BS_EXIT_DONE
               : usage_error(command, "--pictures takes png, svg, pdf and eps, not", text);
}

static int take_size(const struct bs_command *command, const char *text, struct bs_arguments *args)
{
    args->chart.is_single = !strcmp(text, "single");
    return args->chart.is_single || !strcmp(text, "double")
               ? BS_EXIT_DONE
               : usage_error(command, "--size takes single or double, not", text);
}

static int take_scratch(const struct bs_command *command, const char *folder,
                        struct bs_arguments *args)
{
    args->limits.scratch = args->limits.checkpoints = folder;
    return *folder ? BS_EXIT_DONE : usage_error(command, "--scratch takes a folder, not", folder);
}

static int take_output(const struct bs_command *command, const char *path,
                       struct bs_arguments *args)
{
    args->output = path;
    return *path ? BS_EXIT_DONE : usage_error(command, "--output takes a path, not", path);
}

static int take_model(const struct bs_command *command, const char *name, struct bs_arguments *args)
{
    if (args->num_models == BS_MAX_MODELS)
        return usage_error(command, "one --model too many:", name);
    args->models[args->num_models++] = name;
    return BS_EXIT_DONE;
}

static int take_accepted(const struct bs_command *command, const char *key,
                         struct bs_arguments *args)
{
    if (args->num_accepted == BS_MOST_ACCEPTED)
        return usage_error(command, "one --accept-unknown too many:", key);
    args->accepted[args->num_accepted++] = key;
    return BS_EXIT_DONE;
}

/* One table for parsing, help, completion and the manual. The value goes to the text or the truth
 * value at this offset of the arguments, or to `take`, which says what is wrong with it. */
static const struct bs_flag flags[] = {
    {"output", "PATH", 'o',
     "the config of init, else MODEL.yaml; the result file of run and plan, else "
     "results/CONFIG.h5; the new file of merge; the page of "
     "report, else the result file with .html for its ending; the folder "
     "of plot's charts, else the result file's name without its ending; an importance matrix, else "
     "results/CONFIG.imatrix.gguf, of llama.cpp's older layout where a name ends in .dat",
     .take = take_output},
    {"model", "NAME", 0, "only this one of the config's models; may be given several times",
     .take = take_model},
    {"accept-unknown", "KEY", 0,
     "pass over this key of a config.json although it is not understood; several times",
     .take = take_accepted},
    {"memory", "SIZE", 0,
     "memory a walk may use, such as 900M or 8G; by default half of what the machine, its cgroup "
     "and limits leave. Of choose: what the model may take",
     .take = take_memory},
    {"scratch", "FOLDER", 0,
     "where streams go that memory has no room for (TMPDIR, else /tmp) and checkpoints (beside "
     "results)",
     .take = take_scratch},
    {"checkpoint", "SECONDS", 0,
     "how often a walk is kept, or off; by default so that it takes at most a fortieth of the "
     "time",
     .take = take_interval},
    {"threads", "N", 0,
     "threads; OMP_NUM_THREADS, else every available core. Results do not depend on it",
     .take = take_threads},
    {"numerics", "NAME", 0,
     "by what matrices are multiplied: portable, native (`describe numerics`); goes before the "
     "config's key",
     .take = take_numerics},
    {"shard", "K/N", 0,
     "the K-th of N parts of the sweep alone, into a result file of its own: results/CONFIG.K-of-"
     "N.h5",
     .take = take_shard},
    {"time-limit", "TIME", 0,
     "stop before so much time is over (30m, 12h, 2-00:00:00) with what is done kept, and exit "
     "with "
     "status 75; the same command goes on",
     .take = take_time_limit},
    {"slurm", NULL, 0, "by Slurm's sbatch", .set = offsetof(struct bs_arguments, slurm)},
    {"nodes", "N", 0, "how many nodes share the sweep; 1", .take = take_nodes},
    {"time", "TIME", 0,
     "what a job asks for, as sbatch takes it (minutes, 12:00:00, 2-0) or 12h; without it the "
     "partition's own limit holds",
     .take = take_job_time},
    {"partition", "NAME", 0, "where jobs run; Slurm's default",
     .text = offsetof(struct bs_arguments, partition)},
    {"dry-run", NULL, 0, "print the batch scripts, and submit nothing",
     .set = offsetof(struct bs_arguments, dry_run)},
    {"shards", "N", 0, "which trials each of N parts has, as --shard runs them",
     .take = take_shards},
    {"format", "NAME", 0,
     "terminal, markdown, csv, latex, html (a part of a page), json or jsonl (an object a line)",
     .text = offsetof(struct bs_arguments, format)},
    {"columns", "NAMES", 0,
     "values and fields to show, parted by commas, by their names in --format csv",
     .text = offsetof(struct bs_arguments, columns)},
    {"where", "CONDITION", 0,
     "only trials of which this holds: 'bits <= 4 and label = *g128*'; names are columns of "
     "--format csv; = != < <= > >=, and, or, not, brackets; * and ? stand for letters of a text",
     .text = offsetof(struct bs_arguments, selection.where)},
    {"sort", "NAMES", 0, "by these columns, ascending; -NAME: descending",
     .text = offsetof(struct bs_arguments, selection.sort)},
    {"group-by", "NAMES", 0, "what agrees in these columns stands together",
     .text = offsetof(struct bs_arguments, selection.group_by)},
    {"top", "N", 0,
     "so many of each model and text, or of each group; first in the order of --sort",
     .take = take_top},
    {"pivot", "WHAT", 0,
     "as papers have it, a row for each recipe and side by side the models (model) or the texts "
     "(text); --columns: the values of each",
     .text = offsetof(struct bs_arguments, pivot)},
    {"fail-if", "CONDITION", 0,
     "exit with status 1 where this holds of a trial that is shown, or one has failed: "
     "'perplexity_delta > 0.1'; of diff 'delta_perplexity > 0.1 and p_corrected < 0.05'",
     .text = offsetof(struct bs_arguments, selection.fail_if)},
    {"max-delta", "LOSS", 0,
     "what may be lost of perplexity, or of the share of right items: 0.1, or 1% of the "
     "unquantized "
     "model's",
     .take = take_loss},
    {"bits", "N", 0, "of a weight's code at most", .take = take_bits},
    {"items", NULL, 0,
     "the items of tasks that turned from the unquantized model to a trial; --columns acc_norm: by "
     "that",
     .set = offsetof(struct bs_arguments, items)},
    {"positions", NULL, 0,
     "perplexity by how many tokens of its window a prediction has before it; --columns kld (nll, "
     "same_top): that",
     .set = offsetof(struct bs_arguments, positions)},
    {"layers", NULL, 0,
     "the values of every linear; --where and the others may name block, name and these values",
     .set = offsetof(struct bs_arguments, layers)},
    {"values", NULL, 0,
     "every value with its standard error in a row of its own, for programs; --columns: these",
     .set = offsetof(struct bs_arguments, values)},
    {"split", NULL, 0,
     "columns of what the recipes vary in, as algorithm, bits and group, in the place of their "
     "labels",
     .set = offsetof(struct bs_arguments, split)},
    {"between", "TRIAL TRIAL", 0,
     "compare trials of one file, each called by its label or id; a star stands for any letters, a "
     "recipe for its trials of all seeds",
     .pair = offsetof(struct bs_arguments, between)},
    {"plots", "FOLDER", 0,
     "where the chart templates are; ./plots, else those of the project or prefix that the program "
     "stands in",
     .text = offsetof(struct bs_arguments, chart.plots)},
    {"pictures", "NAMES", 0, "png, svg, pdf, eps, parted by commas; png,svg unless told otherwise",
     .take = take_pictures},
    {"size", "WIDTH", 0,
     "as wide as one column of a paper (single: 3.3 inches) or as two (double: 7); letters are as "
     "large in both. One for a single column is called NAME_single",
     .take = take_size},
    {"dark", NULL, 0, "light on dark; NAME_dark",
     .set = offsetof(struct bs_arguments, chart.is_dark)},
    {"x", "NAME", 0,
     "of the charts xy and heatmap: a value or number of the trials, by its name in --format csv; "
     "unless told otherwise bits_per_weight, and activation_bits",
     .text = offsetof(struct bs_arguments, chart.x)},
    {"y", "NAME", 0,
     "the same of the other axis; unless told otherwise the first value of what was measured, such "
     "as perplexity, and of heatmap bits",
     .text = offsetof(struct bs_arguments, chart.y)},
    {"lines", "NAMES", 0,
     "of the charts xy and kv_cache: trials that agree in these columns are a line; unless told "
     "otherwise those whose labels differ in the bits alone",
     .text = offsetof(struct bs_arguments, chart.lines)},
    {"panels", "NAMES", 0,
     "of the same and heatmap: trials that agree in these columns have a panel; model and text, "
     "where there are several, and of heatmap algorithm and kv_code_bits",
     .text = offsetof(struct bs_arguments, chart.panels)},
    {"recipe", "LABEL", 0, "the recipe that is written, as tables call it; the only one there is",
     .text = offsetof(struct bs_arguments, recipe)},
    {"as", "LAYOUT", 0, "how it is written (`describe writer`)", .take = take_writer},
    {"set", "KEY=VALUE", 0,
     "a key of the config, or of each of its grids: weights.bits=3,4 is an axis; of export an "
     "option of the layout; may be given several times",
     .take = take_setting},
    {"verify", NULL, 0,
     "read back what was written, compare all weights, and measure it on the config's texts",
     .set = offsetof(struct bs_arguments, verify)},
    {"revision", "NAME", 0, "branch, tag or commit; main, or what follows @ in a name",
     .text = offsetof(struct bs_arguments, revision)},
    {"markdown", NULL, 0, "print Markdown", .set = offsetof(struct bs_arguments, markdown)},
    {"quiet", NULL, 'q', "no progress; of a plan, no time, which takes a second or two to measure",
     .set = offsetof(struct bs_arguments, quiet)},
    {"progress", "HOW", 0,
     "auto (a line on a terminal, else a line every tenth), lines, or jsonl: an object a line on "
     "stderr, for programs",
     .take = take_progress},
    {"verbose", NULL, 'v', "tell of every block and trial",
     .set = offsetof(struct bs_arguments, telling.verbose)},
    {"log", "FILE", 0, "add to this file all that happens, with times",
     .text = offsetof(struct bs_arguments, log)},
    {"places", NULL, 0, "print the places of the models that a config's rules may name",
     .set = offsetof(struct bs_arguments, places)},
    {"process-output", NULL, 0, "of what the head is multiplied with too",
     .set = offsetof(struct bs_arguments, process_output)},
    {"ids", NULL, 0, "print the ids alone, on one line", .set = offsetof(struct bs_arguments, ids)},
    {"no-special", NULL, 0, "without the special tokens around the text",
     .set = offsetof(struct bs_arguments, no_special)},
    {"man", NULL, 0, "as a page of the manual", .set = offsetof(struct bs_arguments, man)},
    {"help", NULL, 'h', "print this help", .set = offsetof(struct bs_arguments, help)},
    {.name = NULL},
};
enum { NUM_FLAGS = sizeof flags / sizeof *flags - 1 };

const struct bs_flag *const bs_flags = flags;

static int take(const struct bs_command *command, const struct bs_flag *flag, const char *value,
                struct bs_arguments *args)
{
    if (flag->take)
        return flag->take(command, value, args);
    if (flag->text)
        *(const char **)((char *)args + flag->text) = value;
    if (flag->pair)
        *(const char **)((char *)args + flag->pair) = value;
    if (flag->set)
        *(bool *)((char *)args + flag->set) = true;
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
static int unknown_option(const struct bs_command *command, const char *word)
{
    char name[64], hint[160] = "";
    const char *names[NUM_FLAGS + 1] = {NULL};
    int count = 0;
    const struct bs_flag *known = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + strspn(word, "-"), "="),
             word + strspn(word, "-"));
    for (int i = 0; i < NUM_FLAGS; i++) {
        if (bs_command_takes(command, flags[i].name))
            names[count++] = flags[i].name;
        if (!strcmp(flags[i].name, name))
            known = &flags[i];
    }
    const char *near = bs_nearest_word(name, names);
    if (known && bs_command_takes(command, known->name))
        snprintf(hint, sizeof hint, ": --%s takes no value", known->name);
    else if (near)
        snprintf(hint, sizeof hint, ", did you mean '--%s'?", near);
    for (int i = 0; known && !*hint && bs_commands[i]; i++)
        if (bs_command_takes(bs_commands[i], known->name))
            snprintf(hint, sizeof hint, ": it is one of bitsweep %s", bs_commands[i]->name);
    bs_print_line(stderr, "bitsweep %s: unknown option '%s'%s; see --help", command->name, word,
                  hint);
    return BS_EXIT_INPUT;
}

void bs_arguments_start(struct bs_arguments *args)
{
    const char *scratch = getenv("TMPDIR");
    *args = (struct bs_arguments){
        .chart = {.pictures = 1u << BS_PNG | 1u << BS_SVG},
        .limits = {.scratch = scratch && *scratch ? scratch : "/tmp", .checkpoint_interval = -1}};
}

/* What getopt knows of the command's options: the long ones, whose value is the place in the table
 * plus 256, and the letters. */
static void fill_options(const struct bs_command *command, struct option *longs, char *letters)
{
    *letters++ = ':';
    for (int i = 0; i < NUM_FLAGS; i++) {
        if (!bs_command_takes(command, flags[i].name))
            continue;
        int argument = flags[i].argument ? required_argument : no_argument;
        *longs++ = (struct option){flags[i].name, argument, NULL, 256 + i};
        if (flags[i].letter) {
            *letters++ = flags[i].letter;
            if (flags[i].argument)
                *letters++ = ':';
        }
    }
    *longs = (struct option){NULL, 0, NULL, 0};
    *letters = 0;
}

static const struct bs_flag *flag_of(int found)
{
    for (int i = 0; i < NUM_FLAGS; i++)
        if (found == 256 + i || found == flags[i].letter)
            return &flags[i];
    return NULL;
}

/* The second of the two words that an option takes. */
static int take_second(const struct bs_command *command, const struct bs_flag *flag, int argc,
                       char **argv, struct bs_arguments *args)
{
    if (optind == argc)
        return usage_error(command, "a second value is missing after", optarg);
    ((const char **)((char *)args + flag->pair))[1] = argv[optind++];
    return BS_EXIT_DONE;
}

static int parse_options(const struct bs_command *command, int argc, char **argv,
                         struct bs_arguments *args)
{
    struct option longs[NUM_FLAGS + 1];
    char letters[2 * NUM_FLAGS + 2];
    int found;
    fill_options(command, longs, letters);
    opterr = 0;
    while ((found = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (found == ':')
            return usage_error(command, "a value is missing after", argv[optind - 1]);
        if (found == '?')
            return unknown_option(command, unknown_word(argc, argv));
        const struct bs_flag *flag = flag_of(found);
        if (take(command, flag, optarg, args))
            return BS_EXIT_INPUT;
        if (flag->pair && take_second(command, flag, argc, argv, args))
            return BS_EXIT_INPUT;
    }
    return BS_EXIT_DONE;
}

int bs_arguments_parse(const struct bs_command *command, int argc, char **argv,
                       struct bs_arguments *args)
{
    if (parse_options(command, argc, argv, args))
        return BS_EXIT_INPUT;
    for (; optind < argc; optind++) {
        if (args->num_operands == command->max_operands)
            return usage_error(command, "one operand too many:", argv[optind]);
        args->operands[args->num_operands++] = argv[optind];
    }
    if (args->num_operands < command->min_operands && !args->help)
        return usage_error(command, "expected", command->operands);
    return BS_EXIT_DONE;
}
