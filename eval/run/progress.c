#include "eval/run/progress.h"

#include <stdio.h>

#include <jansson.h>

#include "eval/base/parallel.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"

/* Seconds between two lines of a terminal, and between two objects. */
static const double pause_of_line = 0.1, pause_of_object = 1;

void bs_progress_start(struct bs_progress *progress, const struct bs_telling *telling,
                       int total_units)
{
    bool lines = telling->style == BS_TELL_LINES;
    *progress = (struct bs_progress){.telling = telling,
                                     .terminal = !lines && bs_terminal_takes_codes(stderr),
                                     .started = bs_seconds(),
                                     .block_shown = -1,
                                     .total = total_units};
    if (!telling->quiet && telling->style != BS_TELL_JSONL && total_units)
        fputs(progress->terminal ? "\r  0 %  begins\033[K" : "  0 %  begins\n", stderr);
}

void bs_print_seconds(double seconds, char *out, size_t size)
{
    int s = (int)(seconds + 0.5);
    if (s < 60)
        snprintf(out, size, "%d s", s);
    else if (s < 3600)
        snprintf(out, size, "%d min %02d s", s / 60, s % 60);
    else
        snprintf(out, size, "%d h %02d min", s / 3600, s / 60 % 60);
}

void bs_print_about(double seconds, char *out, size_t size)
{
    const double minute = 60, hour = 3600;
    if (seconds < 99.5)
        snprintf(out, size, "%.0f s", seconds < 1 ? 1 : seconds);
    else if (seconds < 99.5 * minute)
        snprintf(out, size, "%.2g min", seconds / minute);
    else if (seconds < 99.5 * hour)
        snprintf(out, size, "%.2g h", seconds / hour);
    else
        snprintf(out, size, "%.0f h", seconds / hour);
}

/* Where a walk is. */
struct whereabouts {
    int block, blocks;  /* from 1; the head is the last */
    const char *recipe; /* that is next; NULL = the unquantized model */
};

static struct whereabouts locate(const struct bs_progress_walk *walk, int done, int total)
{
    struct whereabouts at = {0, walk->layers + 1, NULL};
    int of_layer = total / at.blocks;
    if (!walk->layers || of_layer < 1)
        return (struct whereabouts){0, 0, NULL};
    at.block = done / of_layer + 1;
    at.block = at.block > at.blocks ? at.blocks : at.block;
    if (at.block < at.blocks && done % of_layer < walk->num_recipes)
        at.recipe = walk->recipes[done % of_layer];
    return at;
}

/* "walk 1 of 2, block 3 of 6, gptq w3 g128", as much of it as is known. */
static void print_place(const struct bs_progress *progress, const struct whereabouts *at, char *out,
                        size_t size)
{
    const struct bs_progress_walk *walk = &progress->walk;
    char block[48] = "the head";
    out[0] = '\0';
    if (!at->blocks)
        return;
    if (at->block < at->blocks)
        snprintf(block, sizeof block, "block %d of %d", at->block, at->blocks - 1);
    snprintf(out, size, "walk %d of %d, %s%s%s", walk->number, walk->count, block,
             at->recipe ? ", " : "", at->recipe ? at->recipe : "");
}

/* What is known of how far a run is. */
struct standing {
    double share, spent, left;
};

static void print_object(const struct bs_progress *progress, const struct standing *s,
                         const struct whereabouts *at)
{
    json_t *object = json_pack("{s:s, s:f, s:f, s:f}", "event", "progress", "percent",
                               100 * s->share, "seconds", s->spent, "seconds_left", s->left);
    if (object && at->blocks) {
        json_object_set_new(object, "walk", json_integer(progress->walk.number));
        json_object_set_new(object, "walks", json_integer(progress->walk.count));
        json_object_set_new(object, "block", json_integer(at->block));
        json_object_set_new(object, "blocks", json_integer(at->blocks));
        json_object_set_new(object, "recipe", at->recipe ? json_string(at->recipe) : json_null());
    }
    if (object &&
        !json_dumpf(object, stderr, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6)))
        fputc('\n', stderr);
    json_decref(object);
}

/* The line, and on a terminal as much of the place as fits after it. */
static void print_standing(const struct bs_progress *progress, const struct standing *s,
                           const char *place)
{
    char gone[32], left[32], line[128], shown[256] = "";
    bs_print_seconds(s->spent, gone, sizeof gone);
    bs_print_seconds(s->left, left, sizeof left);
    int width =
        snprintf(line, sizeof line, "%3d %%  %s, about %s left", (int)(100 * s->share), gone, left);
    int room = progress->terminal ? bs_terminal_width(stderr) - width - 3 : 160;
    if (*place && room > 20)
        bs_shorten(place, room, shown, sizeof shown);
    if (progress->terminal)
        fprintf(stderr, "\r%s%s%s\033[K", line, *shown ? "  " : "", shown);
    else
        bs_print_line(stderr, "%s%s%s", line, *shown ? "  " : "", shown);
}

/* Which lines are due that stay: one every tenth, and every block in a log and where everything is
 * wanted. */
struct due {
    bool line, log;
};

static struct due find_due(struct bs_progress *progress, int tenths, int block)
{
    bool tenth = tenths != progress->tenths_shown, next = block != progress->block_shown;
    progress->tenths_shown = tenths;
    progress->block_shown = block;
    return (struct due){tenth || (next && progress->telling->verbose),
                        (tenth || next) && progress->telling->log};
}

static struct standing stand(const struct bs_progress *progress, int done, double now)
{
    struct standing s = {.share = (double)(progress->before + done) / progress->total,
                         .spent = now - progress->started};
    double own = s.share - (double)progress->skipped / progress->total;
    s.left = own > 0 ? s.spent / own * (1 - s.share) : 0;
    return s;
}

void bs_progress_report(void *context, int done, int total)
{
    struct bs_progress *progress = context;
    const struct bs_telling *telling = progress->telling;
    if (!progress->total || (telling->quiet && !telling->log))
        return;
    bool last = progress->before + done == progress->total, jsonl = telling->style == BS_TELL_JSONL;
    double now = bs_seconds(), pause = jsonl ? pause_of_object : pause_of_line;
    struct standing s = stand(progress, done, now);
    struct whereabouts at = locate(&progress->walk, done, total);
    struct due due = find_due(progress, (int)(10 * s.share), at.block);
    char place[300] = "";
    if (!last)
        print_place(progress, &at, place, sizeof place);
    if (due.log)
        bs_tell_log(telling, "%d %%%s%s", (int)(100 * s.share), *place ? ", " : "", place);
    bool often = now - progress->shown >= pause || last;
    if (telling->quiet || !(jsonl || progress->terminal ? often : due.line))
        return;
    progress->shown = now;
    if (jsonl)
        print_object(progress, &s, &at);
    else
        print_standing(progress, &s, place);
}

void bs_progress_end(struct bs_progress *progress)
{
    if (progress->terminal && !progress->telling->quiet &&
        progress->telling->style != BS_TELL_JSONL)
        fputs("\r\033[K", stderr);
}
