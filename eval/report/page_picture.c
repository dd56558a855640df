#include "eval/report/page_picture.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"

/* ---- colours ---- */

/* The bytes of the three numbers "31, 119, 180)" that begin here; 0 where there are others. */
static size_t numbers_bytes(const char *at, unsigned *colour)
{
    const char *from = at;
    *colour = 0;
    for (int i = 0; i < 3; i++) {
        char *end;
        *colour = *colour << 8 | (unsigned)(strtoul(from, &end, 10) & 255);
        if (end == from || *end != (i < 2 ? ',' : ')'))
            return 0;
        from = end + 1;
    }
    return (size_t)(from - at);
}

/* The bytes of the colour that begins here, "#1f77b4" or "rgb( 31, 119, 180)" as gnuplot writes
 * them; 0 where none does. */
static size_t colour_bytes(const char *at, unsigned *colour)
{
    if (*at == '#' && strspn(at + 1, "0123456789abcdefABCDEF") == 6) {
        *colour = (unsigned)strtoul(at + 1, NULL, 16);
        return 7;
    }
    size_t word = strlen("rgb("), numbers = 0;
    if (!strncmp(at, "rgb(", word))
        numbers = numbers_bytes(at + word, colour);
    return numbers ? word + numbers : 0;
}

/* The number of a pair, new where it was not there; -1 without memory. */
static int find_pair(struct bs_page_colours *colours, unsigned light, unsigned dark)
{
    for (int i = 0; i < colours->count; i++)
        if (colours->pairs[i].light == light && colours->pairs[i].dark == dark)
            return i;
    if (colours->count == colours->room) {
        int room = 2 * colours->room + 32;
        struct bs_page_colour *longer =
            bs_realloc(colours->pairs, (size_t)colours->room, (size_t)room, sizeof *colours->pairs);
        if (!longer)
            return -1;
        colours->pairs = longer;
        colours->room = room;
    }
    colours->pairs[colours->count] = (struct bs_page_colour){light, dark};
    return colours->count++;
}

void bs_page_colours_release(struct bs_page_colours *colours)
{
    bs_free(colours->pairs);
    *colours = (struct bs_page_colours){.count = 0};
}

/* Prints the picture with variables in the place of colours. *is_same is false where the two differ
 * in anything else. */
static enum bs_status print_merged(const char *light, const char *dark,
                                   struct bs_page_colours *colours, bool *is_same, FILE *out,
                                   struct bs_error *err)
{
    while (*light && *dark) {
        unsigned colour, other;
        size_t bytes = colour_bytes(light, &colour), others = colour_bytes(dark, &other);
        if (!bytes != !others || (!bytes && *light != *dark))
            break;
        int pair = bytes && colour != other ? find_pair(colours, colour, other) : 0;
        if (pair < 0)
            return bs_fail_memory(err);
        if (!bytes)
            fputc(*light, out);
        else if (colour != other)
            fprintf(out, "var(--c%d)", pair);
        else
            fprintf(out, "#%06x", colour);
        light += bytes ? bytes : 1;
        dark += others ? others : 1;
    }
    *is_same = !*light && !*dark;
    return BS_OK;
}

/* What the variables from `first` on are: those before are an earlier picture's. */
static void print_style(const struct bs_page_colours *colours, int first, FILE *out)
{
    if (first == colours->count)
        return;
    fputs("<style>:root{", out);
    for (int i = first; i < colours->count; i++)
        fprintf(out, "--c%d:#%06x;", i, colours->pairs[i].light);
    fputs("}@media screen and (prefers-color-scheme:dark){:root{", out);
    for (int i = first; i < colours->count; i++)
        fprintf(out, "--c%d:#%06x;", i, colours->pairs[i].dark);
    fputs("}}</style>\n", out);
}

/* ---- what a page needs of a picture ---- */

/* The element that begins here where it is the one, whole, with its end; else NULL. */
static const char *end_of_element(const char *at, const char *begin, const char *end)
{
    const char *found = strncmp(at, begin, strlen(begin)) ? NULL : strstr(at, end);
    return found ? found + strlen(end) : NULL;
}

/* What a name of the picture stands after. */
static bool is_before_name(const char *tag, const char *at)
{
    static const char *const marks[] = {" id='", " id=\"", "href='#", "href=\"#", "url(#"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t length = strlen(marks[i]);
        if ((size_t)(at - tag) >= length && !strncmp(at - length, marks[i], length))
            return true;
    }
    return false;
}

/* Bytes of what begins here and shows nothing: groups with nothing in them, of which gnuplot writes
 * many, and what holds in any SVG unless it is told otherwise. */
static size_t idle_bytes(const char *at)
{
    static const char *const idle[] = {" stroke-linecap=\"butt\" stroke-linejoin=\"miter\"",
                                       " class=\"gridline\""};
    static const char empty[] = ">\n</g>\n";
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (!strncmp(at, idle[i], strlen(idle[i])))
            return strlen(idle[i]);
    const char *end = strncmp(at, "<g ", 3) ? NULL : strchr(at, '>');
    bool is_empty = end && !strncmp(end, empty, strlen(empty));
    return is_empty ? (size_t)(end - at) + strlen(empty) : 0;
}

/* Prints what stands within the SVG's own tag, and its end. Its title and description are gnuplot's
 * own, "Gnuplot". */
static void print_inner(const char *svg, int number, FILE *out)
{
    const char *tag = NULL;
    for (const char *at = svg; *at; at++) {
        const char *after = end_of_element(at, "<title>", "</title>");
        after = after ? after : end_of_element(at, "<desc>", "</desc>");
        if (after)
            at = after;
        for (size_t idle = idle_bytes(at); idle; idle = idle_bytes(at))
            at += idle;
        if (!*at)
            break;
        tag = *at == '<' ? at : tag;
        if (tag && is_before_name(tag, at))
            fprintf(out, "c%d-", number);
        tag = *at == '>' ? NULL : tag;
        if (*at != '\t' && !(*at == '\n' && (at[1] == '\n' || at[1] == '\t')))
            fputc(*at, out);
    }
}

enum bs_status bs_page_picture(const char *light, const char *dark, int number,
                               struct bs_page_colours *colours, FILE *out, struct bs_error *err)
{
    const char *svg = strstr(light, "<svg"), *other = strstr(dark, "<svg");
    struct bs_print printing;
    int before = colours->count;
    bool is_same = false;
    if (!svg)
        return bs_fail(err, BS_EDATA, "gnuplot's SVG has no <svg>");
    FILE *merging = bs_print_begin(&printing);
    if (!merging)
        return bs_fail_memory(err);
    enum bs_status status = print_merged(svg, other ? other : "", colours, &is_same, merging, err);
    char *merged = bs_print_end(&printing);
    if (!status && !merged)
        status = bs_fail_memory(err);
    if (!status) {
        const char *shown = is_same ? merged : svg, *inner = strchr(shown, '>');
        inner = inner ? inner + 1 : shown + strlen(shown);
        fwrite(shown, 1, (size_t)(inner - shown), out);
        colours->count = is_same ? colours->count : before;
        print_style(colours, before, out);
        print_inner(inner, number, out);
    }
    bs_free(merged);
    return status;
}
