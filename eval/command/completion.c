/* completion: what a shell offers while a command is typed, from the tables of commands and
 * options. */
#include <stdio.h>
#include <string.h>

#include "eval/base/option.h"
#include "eval/base/plugin.h"
#include "eval/base/printable.h"
#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/config/registries.h"
#include "eval/export/writer.h"
#include "eval/linalg/numerics.h"
#include "eval/report/chart.h"
#include "eval/report/table.h"

static void print_words(const char *const *words, FILE *out)
{
    for (int i = 0; words[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", words[i]);
}

static void print_rows(const struct bs_registry *registry, FILE *out)
{
    for (int i = 0; registry->rows[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", registry->rows[i]->name);
}

/* What may stand for the value of an option; false where it is a file or any text. */
static bool print_values(const struct bs_flag *flag, FILE *out)
{
    if (!strcmp(flag->name, "format"))
        print_words(bs_table_styles, out);
    else if (!strcmp(flag->name, "numerics"))
        print_rows(&bs_numerics_registry, out);
    else if (!strcmp(flag->name, "as"))
        print_rows(&bs_writer_registry, out);
    else
        return false;
    return true;
}

static bool is_path(const struct bs_flag *flag)
{
    return !strcmp(flag->argument, "PATH") || !strcmp(flag->argument, "FOLDER");
}

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

/* What may stand for an operand, beside files. */
static void print_operands(const struct bs_command *command, FILE *out)
{
    if (command == &bs_command_plot)
        print_words(bs_chart_names, out);
    else if (command == &bs_command_completion)
        print_words(shells, out);
    for (int i = 0; command == &bs_command_help && bs_commands[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", bs_commands[i]->name);
    for (int r = 0; command == &bs_command_describe && bs_registries[r]; r++) {
        fprintf(out, "%s%s ", r ? " " : "", bs_registries[r]->kind);
        print_rows(bs_registries[r], out);
    }
}

static void print_options(const struct bs_command *command, FILE *out)
{
    bool first = true;
    for (const struct bs_flag *flag = bs_flags; flag->name; flag++)
        if (bs_command_takes(command, flag->name)) {
            fprintf(out, "%s--%s", first ? "" : " ", flag->name);
            first = false;
        }
}

static void print_bash_values(const struct bs_flag *flag, FILE *out)
{
    fprintf(out, "    --%s) mapfile -t COMPREPLY < <(compgen ", flag->name);
    if (is_path(flag))
        fputs("-f", out);
    else {
        fputs("-W \"", out);
        print_values(flag, out);
        fputc('"', out);
    }
    fputs(" -- \"$word\"); return ;;\n", out);
}

static void print_bash(FILE *out)
{
    fputs("# bash completion of bitsweep, by `bitsweep completion bash`\n"
          "_bitsweep() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options=\n"
          "    local operands=\n"
          "    COMPREPLY=()\n"
          "    case $before in\n",
          out);
    for (const struct bs_flag *flag = bs_flags; flag->name; flag++)
        if (flag->argument)
            print_bash_values(flag, out);
    fputs("    esac\n    if [ \"$COMP_CWORD\" = 1 ]; then\n        operands=\"", out);
    print_operands(&bs_command_help, out);
    fputs("\" options=\"--help --version\"\n    else\n        case ${COMP_WORDS[1]} in\n", out);
    for (int i = 0; bs_commands[i]; i++) {
        fprintf(out, "        %s) options=\"", bs_commands[i]->name);
        print_options(bs_commands[i], out);
        fputs("\" operands=\"", out);
        print_operands(bs_commands[i], out);
        fputs("\" ;;\n", out);
    }
    fputs("        esac\n    fi\n"
          "    case $word in\n"
          "    -*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\") ;;\n"
          "    *) mapfile -t COMPREPLY < <(compgen -W \"$operands\" -- \"$word\")\n"
          "       [ \"$COMP_CWORD\" = 1 ] ||\n"
          "           mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
          "    esac\n}\n"
          "complete -o filenames -F _bitsweep bitsweep\n",
          out);
}

/* Text within single quotes, of which a shell reads only what ends them. */
static void print_quoted(const char *text, const char *special, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr(special, *text))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void print_zsh_option(const struct bs_flag *flag, const char *name, FILE *out)
{
    fprintf(out, "            '*%s[", name);
    print_quoted(flag->help, "[]:", out);
    fputc(']', out);
    if (flag->argument && is_path(flag))
        fprintf(out, ":%s:_files", flag->argument);
    else if (flag->argument) {
        fprintf(out, ":%s:(", flag->argument);
        print_values(flag, out);
        fputc(')', out);
    }
    if (flag->pair)
        fprintf(out, ":%s:()", flag->argument);
    fputs("' \\\n", out);
}

static void print_zsh_names(const struct bs_flag *flag, FILE *out)
{
    const char letter[] = {'-', flag->letter, 0};
    char name[48];
    snprintf(name, sizeof name, "--%s", flag->name);
    print_zsh_option(flag, name, out);
    if (flag->letter)
        print_zsh_option(flag, letter, out);
}

static void print_zsh(FILE *out)
{
    fputs("#compdef bitsweep\n# zsh completion of bitsweep, by `bitsweep completion zsh`\n"
          "_bitsweep() {\n    local -a commands\n    commands=(\n",
          out);
    for (int i = 0; bs_commands[i]; i++) {
        fprintf(out, "        '%s:", bs_commands[i]->name);
        print_quoted(bs_commands[i]->summary, ":", out);
        fputs("'\n", out);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n"
          "        return\n    fi\n    case $words[2] in\n",
          out);
    for (int i = 0; bs_commands[i]; i++) {
        fprintf(out, "    %s)\n        shift words; (( CURRENT-- ))\n        _arguments \\\n",
                bs_commands[i]->name);
        for (const struct bs_flag *flag = bs_flags; flag->name; flag++)
            if (bs_command_takes(bs_commands[i], flag->name))
                print_zsh_names(flag, out);
        fputs("            '*:operand:{ _files; compadd ", out);
        print_operands(bs_commands[i], out);
        fputs(" }'\n        ;;\n", out);
    }
    fputs("    esac\n}\n_bitsweep \"$@\"\n", out);
}

static void print_fish_option(const struct bs_command *command, const struct bs_flag *flag,
                              FILE *out)
{
    fprintf(out, "complete -c bitsweep -n '__fish_seen_subcommand_from %s' -l %s", command->name,
            flag->name);
    if (flag->letter)
        fprintf(out, " -s %c", flag->letter);
    if (flag->argument && is_path(flag))
        fputs(" -r", out);
    else if (flag->argument) {
        fputs(" -x -a '", out);
        print_values(flag, out);
        fputc('\'', out);
    }
    fputs(" -d '", out);
    print_quoted(flag->help, "", out);
    fputs("'\n", out);
}

static void print_fish(FILE *out)
{
    fputs("# fish completion of bitsweep, by `bitsweep completion fish`\n", out);
    for (int i = 0; bs_commands[i]; i++) {
        const struct bs_command *command = bs_commands[i];
        fprintf(out, "complete -c bitsweep -f -n __fish_use_subcommand -a %s -d '", command->name);
        print_quoted(command->summary, "", out);
        fputs("'\n", out);
        for (const struct bs_flag *flag = bs_flags; flag->name; flag++)
            if (bs_command_takes(command, flag->name))
                print_fish_option(command, flag, out);
        fprintf(out, "complete -c bitsweep -n '__fish_seen_subcommand_from %s' -a '",
                command->name);
        print_operands(command, out);
        fputs("'\n", out);
    }
}

static int command_completion(const struct bs_arguments *args)
{
    const char *shell = args->operands[0];
    if (!strcmp(shell, "bash"))
        print_bash(stdout);
    else if (!strcmp(shell, "zsh"))
        print_zsh(stdout);
    else if (!strcmp(shell, "fish"))
        print_fish(stdout);
    else {
        bs_print_line(stderr, "bitsweep completion: expected bash, zsh or fish, not '%s'", shell);
        return BS_EXIT_INPUT;
    }
    return BS_EXIT_DONE;
}

const struct bs_command bs_command_completion = {
    .name = "completion",
    .operands = "SHELL",
    .summary = "print what makes bash, zsh or fish complete commands and options",
    .min_operands = 1,
    .max_operands = 1,
    .details = "Prints a script. In bash: `source <(bitsweep completion bash)`. `make install` "
               "puts all three where the shells look for them.",
    .options = "",
    .run = command_completion,
};
