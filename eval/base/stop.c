#include "eval/base/stop.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/printable.h"

enum { LINE = 512 };

/* Handlers have no context, so that what they look at is global. Two lines take turns: one is
 * written while a handler may print the other. */
static atomic_int asked, holding;
static char lines[2][LINE] = {"nothing is kept\n", ""};
static atomic_int line_at;

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

static void say(int file, const char *text)
{
    /* Nothing can be done where nobody reads. */
    if (write(file, text, strlen(text)) < 0)
        return;
}

/* Only what a handler may do. */
static void end_by(int signal_number) __attribute__((noreturn));
static void end_by(int signal_number)
{
    struct sigaction standard;
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    /* A pipe that nobody reads would send its signal again, and the status be another's. */
    struct sigaction ignore = standard;
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, NULL);
    if (isatty(STDERR_FILENO))
        say(STDERR_FILENO, "\r\033[K");
    say(STDERR_FILENO, "bitsweep: stopped: ");
    say(STDERR_FILENO, lines[atomic_load(&line_at)]);
    sigaction(signal_number, &standard, NULL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal_number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(signal_number);
    _exit(128 + signal_number); /* not reached, as the standard action of each of them ends us */
}

static void on_signal(int signal_number)
{
    int none = 0;
    if (signal_number != SIGALRM && atomic_load(&holding) &&
        atomic_compare_exchange_strong(&asked, &none, signal_number)) {
        alarm(BS_STOP_SECONDS);
        return;
    }
    end_by(signal_number == SIGALRM ? atomic_load(&asked) : signal_number);
}

void bs_stop_watch(void)
{
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* reads and writes under way go on */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++)
        if (!sigaction(watched[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaction(watched[i], &action, NULL);
    sigaction(SIGALRM, &action, NULL);
}

void bs_stop_keep(const char *format, ...)
{
    int other = !atomic_load(&line_at);
    char text[LINE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bs_escape(text, lines[other], LINE - 1);
    strcat(lines[other], "\n");
    atomic_store(&line_at, other);
}

void bs_stop_hold(bool held) { atomic_store(&holding, held); }

int bs_stop_asked(void) { return atomic_load(&asked); }

void bs_stop_ask(int signal_number) { atomic_store(&asked, signal_number); }

void bs_stop_now(void) { end_by(atomic_load(&asked)); }
