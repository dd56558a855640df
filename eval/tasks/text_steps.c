#include "eval/tasks/text_steps.h"

#include <stdbool.h>
#include <string.h>

#include <utf8proc.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/data/text.h"

static char *copy(const char *text, size_t size)
{
    char *made = bs_alloc(size + 1, 1);
    if (made) {
        memcpy(made, text, size);
        made[size] = '\0';
    }
    return made;
}

/* str.strip() */
static char *strip(const char *text, const char **why)
{
    (void)why;
    size_t size = strlen(text);
    const char *from = bs_strip(text, &size);
    return copy(from, size);
}

/* ---- capital and small letters ---- */

/* Title forms of more than one letter (SpecialCasing.txt): all that a word can begin with in
 * Latin, Armenian and Greek letters without an iota below. */
static const struct {
    uint32_t letter;
    const char *title;
} long_titles[] = {
    {0xdf, "Ss"},
    {0x149, "\xca\xbcN"},
    {0x1f0, "J\xcc\x8c"},
    {0x587, "\xd4\xb5\xd6\x82"},
    {0x1e96, "H\xcc\xb1"},
    {0x1e97, "T\xcc\x88"},
    {0x1e98, "W\xcc\x8a"},
    {0x1e99, "Y\xcc\x8a"},
    {0x1e9a, "A\xca\xbe"},
    {0xfb00, "Ff"},
    {0xfb01, "Fi"},
    {0xfb02, "Fl"},
    {0xfb03, "Ffi"},
    {0xfb04, "Ffl"},
    {0xfb05, "St"},
    {0xfb06, "St"},
    {0x390, "\xce\x99\xcc\x88\xcc\x81"},
    {0x3b0, "\xce\xa5\xcc\x88\xcc\x81"},
};

static size_t put_title(uint32_t letter, char *out)
{
    for (size_t i = 0; i < sizeof long_titles / sizeof *long_titles; i++)
        if (long_titles[i].letter == letter) {
            size_t size = strlen(long_titles[i].title);
            memcpy(out, long_titles[i].title, size);
            return size;
        }
    return bs_utf8_encode((uint32_t)utf8proc_totitle((utf8proc_int32_t)letter), out);
}

static bool is_cased(uint32_t letter)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)letter);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

/* What the rule for a final sigma looks past: marks, and what stands within words. */
static bool is_ignored(uint32_t letter)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)letter);
    return letter == '\'' || letter == '.' || letter == ':' || letter == 0xb7 || letter == 0x2019 ||
           letter == 0xad || category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
           category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_LM ||
           category == UTF8PROC_CATEGORY_SK;
}

/* Whether a capital sigma at `at` ends a word: a letter stands before it and none after. */
static bool is_final(const char *text, const char *at)
{
    const char *before = at, *after = at + bs_utf8_bytes(*at);
    bool letter_before = false;
    while (before > text && !letter_before) {
        do
            before--;
        while (before > text && (*before & 0xc0) == 0x80);
        uint32_t letter = bs_utf8_decode(before);
        if (!is_ignored(letter) && !is_cased(letter))
            return false;
        letter_before = is_cased(letter) && !is_ignored(letter);
    }
    while (*after && is_ignored(bs_utf8_decode(after)))
        after += bs_utf8_bytes(*after);
    return letter_before && !(*after && is_cased(bs_utf8_decode(after)));
}

static size_t put_lower(const char *text, const char *at, char *out)
{
    enum { SIGMA = 0x3a3, FINAL_SIGMA = 0x3c2, I_WITH_DOT = 0x130 };
    uint32_t letter = bs_utf8_decode(at);
    if (letter == SIGMA && is_final(text, at))
        return bs_utf8_encode(FINAL_SIGMA, out);
    if (letter == I_WITH_DOT) { /* keeps its dot as a mark */
        memcpy(out, "i\xcc\x87", 3);
        return 3;
    }
    return bs_utf8_encode((uint32_t)utf8proc_tolower((utf8proc_int32_t)letter), out);
}

/* The text in small letters, its first letter but where `title` is a title letter. */
static char *change_case(const char *text, bool title)
{
    enum { MOST = 6 }; /* bytes that a letter becomes */
    char *made = bs_alloc(strlen(text) + 1, MOST);
    size_t size = 0;
    for (const char *at = text; made && *at; at += bs_utf8_bytes(*at))
        size += at == text && title ? put_title(bs_utf8_decode(at), made + size)
                                    : put_lower(text, at, made + size);
    if (made)
        made[size] = '\0';
    return made;
}

/* str.capitalize() */
static char *capitalize(const char *text, const char **why)
{
    (void)why;
    return change_case(text, true);
}

/* str.lower() */
static char *lower(const char *text, const char **why)
{
    (void)why;
    return change_case(text, false);
}

/* ---- words and blanks ---- */

/* " ".join(text.split("_")) */
static char *words(const char *text, const char **why)
{
    (void)why;
    char *made = bs_strdup(text);
    for (char *at = made; at && *at; at++)
        *at = *at == '_' ? ' ' : *at;
    return made;
}

static char *before_blank(const char *text, const char **why)
{
    const char *blank = strchr(text, '_');
    if (!blank)
        *why = "has no '_'";
    return blank ? copy(text, (size_t)(blank - text)) : NULL;
}

static char *after_blank(const char *text, const char **why)
{
    const char *blank = strchr(text, '_');
    if (!blank)
        *why = "has no '_'";
    return blank ? bs_strdup(blank + 1) : NULL;
}

/* " ".join(text.split(" ")[:-1]) */
static char *but_last_word(const char *text, const char **why)
{
    (void)why;
    const char *last = strrchr(text, ' ');
    return copy(text, last ? (size_t)(last - text) : 0);
}

/* text.split(" ")[-1] */
static char *last_word(const char *text, const char **why)
{
    (void)why;
    const char *last = strrchr(text, ' ');
    return bs_strdup(last ? last + 1 : text);
}

/* ---- HellaSwag's artifacts ---- */

/* text.replace(from, to) in place; `to` is no longer than `from`. */
static void replace(char *text, const char *from, const char *to)
{
    size_t cut = strlen(from), put = strlen(to);
    char *out = text;
    for (const char *at = text; *at;) {
        if (strncmp(at, from, cut)) {
            *out++ = *at++;
            continue;
        }
        memcpy(out, to, put);
        out += put;
        at += cut;
    }
    *out = '\0';
}

/* re.sub(r"\[.*?\]", "", text), where the dot is no newline. */
static void drop_brackets(char *text)
{
    char *out = text;
    for (const char *at = text; *at;) {
        size_t inside = *at == '[' ? strcspn(at, "]\n") : 0;
        if (*at == '[' && at[inside] == ']')
            at += inside + 1;
        else
            *out++ = *at++;
    }
    *out = '\0';
}

/* preprocess() of its task in lm-evaluation-harness: marks of WikiHow go. */
static char *hellaswag(const char *text, const char **why)
{
    char *made = strip(text, why);
    if (!made)
        return NULL;
    replace(made, " [title]", ". ");
    drop_brackets(made);
    replace(made, "  ", " ");
    return made;
}

const struct bs_text_step bs_text_steps[] = {
    {"strip", "without white space at its ends", strip},
    {"capitalize", "its first letter a capital, all others small", capitalize},
    {"lower", "in small letters", lower},
    {"words", "with a blank for each _", words},
    {"before_blank", "what stands before the first _", before_blank},
    {"after_blank", "what stands after the first _", after_blank},
    {"but_last_word", "up to its last blank", but_last_word},
    {"last_word", "what stands after its last blank", last_word},
    {"hellaswag", "stripped, without HellaSwag's marks of titles and what is in brackets",
     hellaswag},
    {.name = NULL},
};

const struct bs_text_step *bs_text_step(const char *name, size_t length)
{
    for (const struct bs_text_step *step = bs_text_steps; step->name; step++)
        if (strlen(step->name) == length && !strncmp(step->name, name, length))
            return step;
    return NULL;
}

enum bs_status bs_text_step_take(const struct bs_text_step *step, char **text, struct bs_error *err)
{
    const char *why = NULL;
    char *made = step->make(*text, &why);
    if (why)
        return bs_fail(err, BS_EDATA, "%s", why);
    if (!made)
        return bs_fail_memory(err);
    bs_free(*text);
    *text = made;
    return BS_OK;
}

enum bs_status bs_text_steps_take(const char *const *names, char **text, struct bs_error *err)
{
    for (int i = 0; names[i]; i++)
        if (bs_text_step_take(bs_text_step(names[i], strlen(names[i])), text, err))
            return err->status;
    return BS_OK;
}
