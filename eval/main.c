/* argv to one subcommand. The only place that ends the program. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "eval/base/isa.h"
#include "eval/base/machine.h"
#include "eval/base/parallel.h"
#include "eval/command/address_space.h"
#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/product_choice.h"

/* The exit status, unless what went to stdout is lost. The reason is known where the last of it
 * fails; what failed before is only remembered. */
static int finish(int code)
{
    bool flushed = !fflush(stdout);
    if (flushed && !ferror(stdout))
        return code;
    fprintf(stderr, "bitsweep: standard output cannot be written%s%s\n", flushed ? "" : ": ",
            flushed ? "" : strerror(errno));
    return BS_EXIT_INPUT;
}

/* Threads of GNU OpenMP spin while they wait, unless told otherwise before the program starts. On a
 * machine with other work that can cost several times the run; waiting passively costs nothing
 * measurable on an idle one. So the program starts itself again with the setting in place. */
static void wait_passively(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (!setenv("OMP_WAIT_POLICY", "passive", 1))
        execv("/proc/self/exe", argv);
}

/* Runs before any library is initialised, so that it may use little of them. */
static void before_libraries(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv, (void)environment;
    bs_address_space_check(2);
}
__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(int, char **, char **) = before_libraries;

/* What the options before a command ask for, else -1. */
static int answer_alone(int argc, char **argv)
{
    const char *first = argc < 2 ? "" : argv[1];
    if (argc < 2 || !strcmp(first, "--help") || !strcmp(first, "-h")) {
        bs_help_print(NULL, argc < 2 ? stderr : stdout);
        return argc < 2 ? BS_EXIT_INPUT : BS_EXIT_DONE;
    }
    if (strcmp(first, "--version") && strcmp(first, "-V"))
        return -1;
    printf("bitsweep %s (%s)\n", BS_VERSION, BS_COMMIT);
    return BS_EXIT_DONE;
}

int main(int argc, char **argv)
{
    wait_passively(argv);
    prctl(PR_SET_NAME,
          "bitsweep"); /* else ps and top say "exe", as which it started itself again */
    int answered = answer_alone(argc, argv);
    if (answered >= 0)
        return finish(answered);
    const struct bs_command *command = bs_command_find(argv[1]);
    if (!command)
        return BS_EXIT_INPUT;
    struct bs_arguments args;
    bs_arguments_start(&args);
    if (bs_arguments_parse(command, argc - 1, argv + 1, &args))
        return BS_EXIT_INPUT;
    if (args.help) {
        bs_help_print(command, stdout);
        return finish(BS_EXIT_DONE);
    }
    struct bs_error err = {0};
    if (bs_isa_check(&err))
        return bs_fail_print(&err);
    bs_set_threads(args.threads ? args.threads : bs_default_threads());
    bs_map_watch();
    bs_address_space_check((size_t)bs_threads());
    bs_blas_init();
    bs_product_choose();
    return finish(command->run(&args));
}
