#include "tests/support/processors.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static const char variable[] = "ONEDNN_MAX_CPU_ISA";

bool told_avx2(void)
{
    const char *isa = getenv(variable);
    return isa && !strcmp(isa, "AVX2");
}

int run_again_with_avx2(char **argv)
{
    pid_t child;
    int status;
    if (getenv(variable))
        return 0;
    printf("with AVX2:\n");
    fflush(stdout);
    setenv(variable, "AVX2", 1);
    int failed = posix_spawn(&child, argv[0], NULL, NULL, argv, environ);
    unsetenv(variable);
    if (failed || waitpid(child, &status, 0) != child)
        return EXIT_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
