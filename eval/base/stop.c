#include "eval/base/stop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "eval/base/parallel.h"
#include "eval/base/printable.h"

enum { LINE = 512 };

/* Handlers and the thread that waits have no context, so that what they look at is global. Two
 * lines take turns: one is written while the other may be printed. */
static atomic_int asked, holding, gained;
static double limit; /* on the clock of bs_seconds; 0 = none. Set before the thread is there */
static char lines[2][LINE] = {"nothing is kept\n", ""};
static atomic_int line_at;
static atomic_int log_file = -1;

/* Those that come from outside. They are blocked in every thread, and one of our own waits for
 * them: a handler would run on the stack of whichever thread computes, and oneDNN's kernels let the
 * stack pointer point into their heap memory while they multiply, which the handler's frame would
 * overwrite. SIGPIPE comes from a write of our own, where a handler does no harm. */
static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
static sigset_t waited;

static void say(int file, const char *text)
{
    /* Nothing can be done where nobody reads. */
    if (write(file, text, strlen(text)) < 0)
        return;
}

static void put_digits(char *at, int digits, long value)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
}

/* "2026-11-29T18:30:05Z ", as the log's other lines begin; by hand, for the library's functions
 * take locks. The days of 400 years come again (the Gregorian calendar), years begin in March, so
 * that the day that may be missing is the last one. */
static void put_moment(char out[24])
{
    long now = (long)time(NULL), second = now % 86400;
    long days = now / 86400 + 719468, era = days / 146097, day = days % 146097;
    long year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    long month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5 - 1;
    month += month < 10 ? 3 : -9;
    memcpy(out, "0000-00-00T00:00:00Z ", 22);
    put_digits(out, 4, 400 * era + year + (month < 3));
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day);
    put_digits(out + 11, 2, second / 3600);
    put_digits(out + 14, 2, second / 60 % 60);
    put_digits(out + 17, 2, second % 60);
}

/* A line of the log, where there is one. */
static void note(const char *before, const char *text)
{
    char moment[24];
    int log = atomic_load(&log_file);
    if (log < 0)
        return;
    put_moment(moment);
    say(log, moment);
    say(log, before);
    say(log, text);
}

/* True for what announces an end that comes later, or by itself. */
static bool is_patient(int signal_number)
{
    return signal_number == SIGUSR1 || signal_number == BS_STOP_LIMIT;
}

/* Only what a handler may do: SIGPIPE's is one. */
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
    note("stopped: ", lines[atomic_load(&line_at)]);
    bool in_vain = signal_number == BS_STOP_LIMIT && !atomic_load(&gained);
    if (in_vain) {
        const char *why = "nothing was gained within --time-limit: it takes a longer one, or more "
                          "memory or fewer recipes\n";
        say(STDERR_FILENO, "bitsweep: ");
        say(STDERR_FILENO, why);
        note("", why);
    }
    if (is_patient(signal_number))
        _exit(in_vain ? BS_STOP_IN_VAIN : BS_STOP_STATUS);
    sigaction(signal_number, &standard, NULL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal_number);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    raise(signal_number);
    _exit(128 + signal_number); /* not reached, as the standard action of each of them ends us */
}

static void on_pipe(int signal_number)
{
    int none = 0;
    if (!atomic_load(&holding) || !atomic_compare_exchange_strong(&asked, &none, signal_number))
        end_by(signal_number);
}

/* The next signal; BS_STOP_LIMIT at a moment of the clock (0 = never). */
static int next_signal(double until)
{
    int signal_number = 0;
    while (!until && sigwait(&waited, &signal_number))
        ;
    while (until) {
        double left = until - bs_seconds();
        if (left <= 0)
            return BS_STOP_LIMIT;
        struct timespec wait = {.tv_sec = (time_t)left};
        wait.tv_nsec = (long)((left - (double)wait.tv_sec) * 1e9);
        signal_number = sigtimedwait(&waited, NULL, &wait);
        if (signal_number > 0)
            break; /* else the time is over, or it was a debugger's doing: it waits anew */
    }
    return signal_number;
}

static void *wait_for_signals(void *context)
{
    (void)context;
    for (;;) {
        int before = 0, signal_number = next_signal(limit);
        if (signal_number == BS_STOP_LIMIT || !atomic_load(&holding))
            end_by(signal_number);
        bool first = atomic_compare_exchange_strong(&asked, &before, signal_number);
        if (!first && !is_patient(before))
            end_by(signal_number);
        if (is_patient(signal_number))
            continue;
        next_signal(bs_seconds() + BS_STOP_SECONDS);
        end_by(atomic_load(&asked));
    }
}

void bs_stop_log(int file) { atomic_store(&log_file, file); }

enum bs_status bs_stop_watch(struct bs_error *err)
{
    struct sigaction action, before;
    pthread_t thread;
    sigemptyset(&waited);
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++)
        if (!sigaction(watched[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaddset(&waited, watched[i]);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_pipe;
    action.sa_flags = SA_RESTART; /* reads and writes under way go on */
    sigemptyset(&action.sa_mask);
    if (!sigaction(SIGPIPE, NULL, &before) && before.sa_handler != SIG_IGN)
        sigaction(SIGPIPE, &action, NULL);
    int failed = pthread_sigmask(SIG_BLOCK, &waited, NULL);
    if (!failed)
        failed = pthread_create(&thread, NULL, wait_for_signals, NULL);
    if (!failed)
        failed = pthread_detach(thread);
    if (failed)
        return bs_fail(err, BS_EIO, "no thread can be had that waits for signals: %s",
                       strerror(failed));
    return BS_OK;
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
    size_t length = strlen(lines[other]);
    snprintf(lines[other] + length, LINE - length, "\n");
    atomic_store(&line_at, other);
}

void bs_stop_hold(bool held) { atomic_store(&holding, held); }

int bs_stop_asked(void) { return atomic_load(&asked); }

void bs_stop_limit(double seconds) { limit = bs_seconds() + seconds; }

void bs_stop_gained(void) { atomic_store(&gained, 1); }

bool bs_stop_due(double seconds)
{
    int none = 0;
    if (limit > 0 && bs_seconds() + seconds >= limit)
        atomic_compare_exchange_strong(&asked, &none, BS_STOP_LIMIT);
    return bs_stop_asked();
}

void bs_stop_ask(int signal_number) { atomic_store(&asked, signal_number); }

void bs_stop_now(void) { end_by(atomic_load(&asked)); }
