/* Work in a child process, watched from outside. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAMPLE_MILLISECONDS = 20 };

static volatile sig_atomic_t interrupted, at_work; /* at_work: the child's id, or 0 */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
    if (at_work)
        kill((pid_t)at_work, SIGTERM);
}

static void handle_interrupts(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void bench_catch_interrupts(void) { handle_interrupts(on_interrupt); }

struct peaks {
    double all, private, mapped; /* bytes */
};

static void sample(pid_t child, struct peaks *peaks)
{
    char path[64], line[256];
    double file_pages = 0, shared_pages = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)child);
    FILE *status = fopen(path, "r");
    while (status && fgets(line, sizeof line, status)) {
        const char *colon = strchr(line, ':');
        double bytes = colon ? 1024 * strtod(colon + 1, NULL) : 0;
        if (!strncmp(line, "RssAnon:", 8) && bytes > peaks->private)
            peaks->private = bytes;
        else if (!strncmp(line, "RssFile:", 8))
            file_pages = bytes;
        else if (!strncmp(line, "RssShmem:", 9))
            shared_pages = bytes;
    }
    if (file_pages + shared_pages > peaks->mapped)
        peaks->mapped = file_pages + shared_pages;
    if (status)
        fclose(status);
}

/* In the child: writes the object, and after it the peak of resident memory. */
static void __attribute__((noreturn))
work_and_tell(json_t *(*work)(const void *context), const void *context, int to)
{
    /* Products of oneDNN 2.6 (row by row, neither transposed) do not survive a handler. */
    handle_interrupts(SIG_DFL);
    json_t *made = work(context);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    json_object_set_new(made, "peak", json_real(1024.0 * (double)usage.ru_maxrss));
    _exit(json_dumpfd(made, to, 0) ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Reads until the child closes its end; sampling meanwhile. In new memory, ended by a zero. */
static char *read_all(int from, pid_t child, struct peaks *peaks)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        bench_fail("memory ran out");
    for (;;) {
        struct pollfd ready = {.fd = from, .events = POLLIN};
        char part[4096];
        if (poll(&ready, 1, SAMPLE_MILLISECONDS) <= 0) {
            sample(child, peaks);
            continue;
        }
        ssize_t count = read(from, part, sizeof part);
        if (count > 0)
            fwrite(part, 1, (size_t)count, out);
        else if (!count || errno != EINTR)
            break;
    }
    fclose(out);
    return text;
}

static json_t *parse(char *text, int status)
{
    json_t *made = json_loads(text, 0, NULL);
    free(text);
    if (interrupted)
        bench_fail("interrupted");
    if (WIFSIGNALED(status))
        bench_fail("a measurement was ended by signal %d", WTERMSIG(status));
    if (!made || WEXITSTATUS(status))
        bench_fail("a measurement ended without a result");
    const char *error = json_string_value(json_object_get(made, "error"));
    if (error)
        bench_fail("%s", error);
    return made;
}

json_t *bench_in_child(json_t *(*work)(const void *context), const void *context)
{
    int ends[2], status;
    if (interrupted)
        bench_fail("interrupted");
    if (pipe(ends))
        bench_fail("pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork: %s", strerror(errno));
    if (!child) {
        close(ends[0]);
        work_and_tell(work, context, ends[1]);
    }
    at_work = child;
    close(ends[1]);
    struct peaks peaks = {0};
    char *text = read_all(ends[0], child, &peaks);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            bench_fail("waitpid: %s", strerror(errno));
    at_work = 0;
    json_t *made = parse(text, status);
    peaks.all = json_number_value(json_object_get(made, "peak"));
    json_object_del(made, "peak");
    json_object_set_new(made, "memory",
                        json_pack("{s:f, s:f, s:f}", "peak", peaks.all, "peak_private",
                                  peaks.private, "peak_mapped", peaks.mapped));
    return made;
}
