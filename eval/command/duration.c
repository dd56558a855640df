#include "eval/command/duration.h"

#include <stdlib.h>
#include <string.h>

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* "1.5h". */
static double with_unit(const char *text, double bare)
{
    static const char units[] = "smhd";
    static const int seconds[] = {1, MINUTE, HOUR, DAY};
    const double most = 1e9;
    char *end;
    double value = strtod(text, &end), unit = bare;
    const char *found = *end ? strchr(units, *end) : NULL;
    if (end == text || (*end && (!found || end[1])))
        return 0;
    if (found)
        unit = seconds[found - units];
    return value > 0 && value * unit <= most ? value * unit : 0;
}

/* A number of digits alone, at most `most`; -1 where there is none. */
static long part(const char **text, long most)
{
    char *end;
    if (**text < '0' || **text > '9')
        return -1;
    long value = strtol(*text, &end, 10);
    *text = end;
    return value <= most ? value : -1;
}

/* "2-12:30:00", "12:30:00", "30:00": days, then hours, minutes and seconds, of which the first that
 * is there is the largest; without days and with one colon it is minutes. */
static double with_colons(const char *text)
{
    enum { MOST = 3, LARGE = 100000 };
    const char *dash = strchr(text, '-');
    long days = dash ? part(&text, LARGE) : 0, parts[MOST] = {0};
    int count = 0;
    if (days < 0 || (dash && text != dash))
        return 0;
    text += dash ? 1 : 0;
    for (; count < MOST; text++) {
        parts[count] = part(&text, LARGE);
        if (parts[count++] < 0 || *text != ':')
            break;
    }
    if (*text || parts[0] < 0 || parts[1] < 0 || parts[2] < 0)
        return 0;
    if (!dash && count == 2)
        return (double)(parts[0] * MINUTE + parts[1]);
    return (double)days * DAY + (double)(parts[0] * HOUR + parts[1] * MINUTE + parts[2]);
}

double bs_duration(const char *text, double bare)
{
    return strpbrk(text, ":-") && *text != '-' ? with_colons(text) : with_unit(text, bare);
}
