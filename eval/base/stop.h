/* Being asked to stop by a signal: by the terminal (SIGINT, SIGHUP), by another program (SIGTERM),
 * by a batch system that announces an end (SIGUSR1), or because nobody reads what is written
 * (SIGPIPE); or by a time limit. */
#ifndef BS_EVAL_BASE_STOP_H
#define BS_EVAL_BASE_STOP_H

#include <stdbool.h>

#include "eval/base/error.h"

/* BS_STOP_SECONDS: that whoever holds on has, once it is asked to stop. BS_STOP_LIMIT stands for a
 * signal where it is the time limit that asks. Exit statuses by that and by SIGUSR1: BS_STOP_STATUS
 * where the same command goes on from there (EX_TEMPFAIL of sysexits.h), BS_STOP_IN_VAIN where it
 * would not, for nothing was gained within the limit. */
enum { BS_STOP_SECONDS = 10, BS_STOP_LIMIT = 1000, BS_STOP_STATUS = 75, BS_STOP_IN_VAIN = 2 };

/* Ends the program so many seconds from now. To be called before bs_stop_watch. */
void bs_stop_limit(double seconds);

/* Something was kept that a later run goes on from. */
void bs_stop_gained(void);

/* From now on these signals end the program with one line on stderr that says what is kept, and by
 * the signal itself, so that a shell sees the usual status. A signal that was ignored before stays
 * so. To be called before there are other threads: they take over that the signals are blocked, and
 * a process that is started must be given its own mask. BS_EIO where no thread can be had. */
enum bs_status bs_stop_watch(struct bs_error *err);

/* What the line says; "nothing is kept" until it is told. Cut at 500 bytes. */
void bs_stop_keep(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A file that the line goes to as well, by its descriptor; -1 = none. */
void bs_stop_log(int file);

/* While held, the first signal only asks: the holder looks every now and then and returns when it
 * is asked. A second signal, or BS_STOP_SECONDS, end the program at once. After SIGUSR1 the holder
 * has the time that it needs, up to the limit. */
void bs_stop_hold(bool held);

/* The signal that asked, or 0. */
int bs_stop_asked(void);

/* The same, and true where the time limit is no more than so many seconds away, which asks then. */
bool bs_stop_due(double seconds);

/* Asks as a signal would that found the program holding on; 0 takes it back. */
void bs_stop_ask(int signal);

/* Says the line and ends the program by the signal that asked. */
void bs_stop_now(void) __attribute__((noreturn));

#endif
