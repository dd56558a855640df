/* Text from outside (keys, names, headers, labels of files) on its way to a terminal or a message:
 * what would steer the terminal, end a line or turn its direction is printed as an escape. */
#ifndef BS_EVAL_BASE_PRINTABLE_H
#define BS_EVAL_BASE_PRINTABLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* False for control characters (C0, DEL, C1), line and paragraph separators, marks that turn the
 * direction of writing, and what is never seen (byte order mark, tags). */
bool bs_is_printable(uint32_t letter);

/* True where bs_escape would change nothing. */
bool bs_is_plain(const char *text);

/* Copies `text` with an escape for all that is not printable: \n, \t, \r, \x1b, \u202e, and \xff
 * for a byte that is no UTF-8. Cut to `size` bytes with the zero byte, never within a letter or
 * escape; returns the length it would have whole. */
size_t bs_escape(const char *text, char *out, size_t size);

/* The same in new memory; NULL when memory runs out. */
char *bs_escaped(const char *text);

/* The formatted text, escaped, in new memory; NULL when memory runs out. */
char *bs_print_escaped(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* Prints a line: the formatted text, escaped, and its end. */
void bs_print_line(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Places that a letter, or bytes of a text, take on a terminal. */
int bs_letter_width(uint32_t letter);
int bs_text_width(const char *text, size_t bytes);

/* Bytes of the first line of `text` folded to `width` places: up to the last blank that fits, else
 * after the last sign that parts words, else as many letters as fit, one at least. */
size_t bs_line_bytes(const char *text, int width);

/* Prints formatted text, escaped, in lines of at most `width` places (0 = no limit), those after
 * the first indented by two. */
void bs_print_folded(FILE *out, int width, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies `text`, its middle left out ("…") where it takes more than `columns` places. Returns the
 * length it has whole, as snprintf. */
size_t bs_shorten(const char *text, int columns, char *out, size_t size);

/* Bytes of `text` that are whole letters within the first `most`: for "%.*s". */
int bs_cut(const char *text, int most);

#endif
