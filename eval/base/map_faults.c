#define _DEFAULT_SOURCE /* sigaction's flags */
#include "eval/base/map_faults.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/printable.h"

enum { MOST_MAPS = 256, PATH = 512, EXIT_INPUT = 2 };

/* Handlers have no context, so that what they look at is global. */
static struct watched {
    _Atomic(uintptr_t) start; /* 0 = free; set last */
    size_t size;
    char path[PATH];
} maps[MOST_MAPS];

void bs_map_faults_add(const void *data, size_t size, const char *path)
{
    for (int i = 0; i < MOST_MAPS; i++) {
        if (atomic_load(&maps[i].start))
            continue;
        maps[i].size = size;
        bs_escape(path, maps[i].path, sizeof maps[i].path);
        atomic_store(&maps[i].start, (uintptr_t)data);
        return;
    }
}

void bs_map_faults_remove(const void *data)
{
    for (int i = 0; i < MOST_MAPS; i++)
        if (atomic_load(&maps[i].start) == (uintptr_t)data)
            atomic_store(&maps[i].start, 0);
}

static const char *path_at(uintptr_t address)
{
    for (int i = 0; i < MOST_MAPS; i++) {
        uintptr_t start = atomic_load(&maps[i].start);
        if (start && address >= start && address - start < maps[i].size)
            return maps[i].path;
    }
    return "a mapped file";
}

static void say(const char *text)
{
    /* Nothing can be done where nobody reads. */
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

/* Threads may meet it together: one speaks. */
static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    static atomic_flag spoken = ATOMIC_FLAG_INIT;
    (void)signal_number, (void)context;
    if (atomic_flag_test_and_set(&spoken))
        for (;;)
            pause();
    say("bitsweep: ");
    say(path_at((uintptr_t)info->si_addr));
    say(": cut short while it was read, or its disk fails; nothing of this was stored\n");
    _exit(EXIT_INPUT);
}

void bs_map_watch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
