/* The pages of the manual, in the language of man, from the tables of commands and options. */
#include "eval/command/manual.h"

#include <ctype.h>
#include <string.h>

#include "eval/command/arguments.h"

/* Text of a page: what roff would read as its own is escaped. `code` in backquotes becomes bold. */
static void print_text(const char *text, FILE *out)
{
    bool code = false, start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        start = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '`')
            fputs((code = !code) ? "\\fB" : "\\fR", out);
        else
            fputc(*text, out);
    }
}

static void print_section(const char *title, FILE *out) { fprintf(out, ".SH %s\n", title); }

static void print_flag(const struct bs_flag *flag, FILE *out)
{
    fputs(".TP\n\\fB", out);
    if (flag->letter)
        fprintf(out, "\\-%c\\fR, \\fB", flag->letter);
    fputs("\\-\\-", out);
    print_text(flag->name, out);
    fputs("\\fR", out);
    if (flag->argument)
        fprintf(out, " \\fI%s\\fR", flag->argument);
    fputc('\n', out);
    print_text(flag->help, out);
    fputc('\n', out);
}

static void print_title(const char *name, const char *command, const char *summary, FILE *out)
{
    fputs(".TH \"", out);
    for (const char *c = name; *c; c++)
        fputc(toupper((unsigned char)*c), out);
    fprintf(out, "\" 1 \"\" \"bitsweep %s\" \"bitsweep\"\n", BS_VERSION);
    print_section("NAME", out);
    print_text(name, out);
    fputs(" \\- ", out);
    print_text(summary, out);
    fputc('\n', out);
    print_section("SYNOPSIS", out);
    fprintf(out, "\\fBbitsweep %s\\fR", command);
}

static void print_exit_status(FILE *out)
{
    print_section("EXIT STATUS", out);
    fputs(
        ".TP\n0\ndone\n.TP\n1\na trial failed, and the others ran; or a condition of "
        "\\fB\\-\\-fail\\-if\\fR holds; or "
        "\\fBchoose\\fR finds none that holds\n.TP\n2\nthe input is wrong, or the output cannot be "
        "written\n.TP\n75\nstopped by \\fB\\-\\-time\\-limit\\fR or SIGUSR1, with what was done "
        "kept: the same command goes on\n",
        out);
}

static void print_page_names(FILE *out)
{
    print_section("SEE ALSO", out);
    for (int i = 0; bs_commands[i]; i++)
        fprintf(out, "%s\\fBbitsweep\\-%s\\fR(1)", i ? ",\n" : "", bs_commands[i]->name);
    fputc('\n', out);
}

static void print_environment(FILE *out)
{
    static const char *const variables[][2] = {
        {"TMPDIR", "where streams go that memory has no room for"},
        {"OMP_NUM_THREADS", "how many threads, where `--threads` does not say"},
        {"HF_HOME",
         "where models, texts and tasks of the hub are kept; HF_HUB_CACHE goes before it"},
        {"HF_TOKEN", "what `fetch` shows the hub for what it does not give to everybody"},
        {"HF_ENDPOINT", "another hub"},
        {"HF_HUB_OFFLINE", "1: `fetch` fetches nothing"},
        {"BITSWEEP_ISA", "base, fma, v3, v4: nothing newer than these instructions"},
        {"COLUMNS", "how wide the terminal is"},
    };
    print_section("ENVIRONMENT", out);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        fprintf(out, ".TP\n\\fB%s\\fR\n", variables[i][0]);
        print_text(variables[i][1], out);
        fputc('\n', out);
    }
}

static void print_overview(FILE *out)
{
    print_title("bitsweep", "\\fICOMMAND\\fR [options] ...",
                "measures what quantization costs a language model", out);
    fputc('\n', out);
    print_section("DESCRIPTION", out);
    fputs("A YAML file names a model, texts, tasks and a grid of settings. bitsweep quantizes the "
          "model in every\nway the grid names, measures each against the unquantized model, stores "
          "every number in one HDF5\nfile, prints the tables and draws the charts.\n",
          out);
    print_section("COMMANDS", out);
    for (int i = 0; bs_commands[i]; i++) {
        fprintf(out, ".TP\n\\fB%s\\fR %s\n", bs_commands[i]->name, bs_commands[i]->operands);
        print_text(bs_commands[i]->summary, out);
        fputc('\n', out);
    }
    print_section("OPTIONS", out);
    fputs(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nprint the commands\n"
          ".TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nprint which program this is\n",
          out);
    print_exit_status(out);
    print_environment(out);
    print_page_names(out);
}

void bs_manual_print(const struct bs_command *command, FILE *out)
{
    char name[64];
    if (!command) {
        print_overview(out);
        return;
    }
    snprintf(name, sizeof name, "bitsweep-%s", command->name);
    print_title(name, command->name, command->summary, out);
    fprintf(out, " [options] %s\n", command->operands);
    print_section("DESCRIPTION", out);
    print_text(command->details, out);
    fputc('\n', out);
    print_section("OPTIONS", out);
    for (const struct bs_flag *flag = bs_flags; flag->name; flag++)
        if (bs_command_takes(command, flag->name))
            print_flag(flag, out);
    print_exit_status(out);
    print_section("SEE ALSO", out);
    fputs("\\fBbitsweep\\fR(1)\n", out);
}
