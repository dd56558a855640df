/* What a bit per weight buys: the increase of perplexity against the bits a file needs, with the
 * front of the trials that no smaller one beats.
 *
 * The increase is on a logarithmic axis, since it spans three decades between 2 and 8 bits. One
 * that is within two of its own paired standard errors of zero, on either side, has an open symbol.
 * The axis reaches as far down as the smallest increase that is not; what lies below it, or is no
 * increase at all, stands at the lower edge with an arrow, and the data hold what was measured. */
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/quant/format.h"
#include "eval/report/chart_internal.h"

/* The picture in dots, its legend below the axes: where a label goes is worked out here. */
enum {
    LETTER = 19,
    LINE = 34,
    TITLE_LINE = 48,
    PLOT_LEFT = 185,
    BESIDE = 35,
    ABOVE = 75,
    BELOW = 125,
    NOTE = 50 /* what open points and arrows mean, below the legend */
};

/* Of the axis; what is less is of no account. */
enum { MOST_RANGE = 100000 };

static const char open_note[] = "open: within 2 s.e. of zero";
static const char edge_note[] = "arrow: below the axis";
enum { NOTE_COLUMNS = sizeof open_note + sizeof edge_note, EDGE = 44 /* dots above it */ };

struct point {
    const struct bs_row *row;
    const char *label;
    char few_words[96]; /* the label where the row's own is too wide, if they say enough */
    int series;
    bool is_open, on_front, off_axis, has_label;
    double x, y;              /* dots */
    double bar_low, bar_high; /* ends of its standard error; dots */
    double bits, increase;    /* as measured */
    double label_x, label_y;  /* left end, middle; dots */
};

struct pareto {
    int num_points;
    struct point *points;                  /* by bits per weight, ascending */
    double bits_low, bits_high, low, high; /* axes */
    struct bs_series_list list;
    int num_keys;
    struct bs_key *keys;
    int bottom;        /* the lower axis, dots above the picture's edge */
    int right, height; /* of the axes */
    int label_columns;
};

struct box {
    double left, right, bottom, top;
};

static double overlap(struct box a, struct box b)
{
    double width = fmin(a.right, b.right) - fmax(a.left, b.left);
    double height = fmin(a.top, b.top) - fmax(a.bottom, b.bottom);
    return width > 0 && height > 0 ? width * height : 0;
}

static int by_size(const void *left, const void *right)
{
    const struct bs_row *a = ((const struct point *)left)->row;
    const struct bs_row *b = ((const struct point *)right)->row;
    double bits_a = ((const struct point *)left)->bits,
           bits_b = ((const struct point *)right)->bits;
    double rise_a = ((const struct point *)left)->increase;
    double rise_b = ((const struct point *)right)->increase;
    if (bits_a != bits_b)
        return bits_a < bits_b ? -1 : 1;
    if (rise_a != rise_b)
        return rise_a < rise_b ? -1 : 1;
    return (a > b) - (a < b);
}

static double bits_of(const struct bs_row *row) { return bs_row_number(row, "bits_per_weight"); }

static double increase_of(const struct bs_plot *plot, const struct bs_row *row)
{
    double level = bs_plot_value(plot, plot->unquantized); /* NaN of what is itself a difference */
    double change = bs_plot_value(plot, row) - (isfinite(level) ? level : 0);
    return plot->value->direction > 0 ? -change : change;
}

static bool is_significant(const struct bs_plot *plot, const struct bs_row *row)
{
    return fabs(increase_of(plot, row)) > 2 * bs_plot_se(plot, row);
}

static bool is_drawn(const struct bs_row *row)
{
    return bs_is_weight_only(row) && isfinite(bits_of(row)) && bits_of(row) > 0;
}

static void choose_ranges(struct pareto *pareto, const struct bs_plot *plot)
{
    double smallest = (double)INFINITY, largest = 0;
    pareto->bits_low = (double)INFINITY;
    pareto->bits_high = 0;
    for (int i = 0; i < pareto->num_points; i++) {
        const struct bs_row *row = pareto->points[i].row;
        pareto->bits_low = fmin(pareto->bits_low, bits_of(row));
        pareto->bits_high = fmax(pareto->bits_high, bits_of(row));
        largest = fmax(largest, increase_of(plot, row) + bs_plot_se(plot, row));
        if (is_significant(plot, row) && increase_of(plot, row) > 0)
            smallest = fmin(smallest, increase_of(plot, row));
    }
    if (isinf(smallest)) { /* nothing to be told from the unquantized model */
        smallest = largest > 0 ? largest / 10 : 0.1;
        largest = largest > 0 ? largest : 1;
    }
    smallest = fmax(smallest, largest / MOST_RANGE);
    double room = pow(largest / smallest, 0.06) * 1.1;
    pareto->low = smallest / (room * room * 1.6);
    pareto->high = largest * room;
    pareto->bits_low /= 1.12;
    pareto->bits_high *= 1.06;
}

static double dots_x(const struct pareto *pareto, double bits)
{
    double share = log(bits / pareto->bits_low) / log(pareto->bits_high / pareto->bits_low);
    return PLOT_LEFT + share * (pareto->right - PLOT_LEFT);
}

static double dots_y(const struct pareto *pareto, double increase)
{
    double share = log(increase / pareto->low) / log(pareto->high / pareto->low);
    return pareto->bottom + share * pareto->height;
}

static double bits_at(const struct pareto *pareto, double x)
{
    double share = (x - PLOT_LEFT) / (pareto->right - PLOT_LEFT);
    return pareto->bits_low * pow(pareto->bits_high / pareto->bits_low, share);
}

static double increase_at(const struct pareto *pareto, double y)
{
    double share = (y - pareto->bottom) / pareto->height;
    return pareto->low * pow(pareto->high / pareto->low, share);
}

/* Points in the order of their size; the front are those lower than all before them. */
static void place_points(struct pareto *pareto, const struct bs_plot *plot)
{
    for (int i = 0; i < pareto->num_points; i++) {
        pareto->points[i].bits = bits_of(pareto->points[i].row);
        pareto->points[i].increase = increase_of(plot, pareto->points[i].row);
    }
    qsort(pareto->points, (size_t)pareto->num_points, sizeof *pareto->points, by_size);
    double best = (double)INFINITY;
    for (int i = 0; i < pareto->num_points; i++) {
        struct point *point = &pareto->points[i];
        point->is_open = !is_significant(plot, point->row);
        point->off_axis = !(point->increase >= pareto->low);
        point->on_front = point->increase < best;
        best = fmin(best, point->increase);
        point->x = dots_x(pareto, point->bits);
        point->y = point->off_axis ? pareto->bottom + EDGE : dots_y(pareto, point->increase);
        double se = bs_plot_se(plot, point->row);
        double low = fmax(point->increase - se, pareto->low);
        point->bar_low = point->off_axis ? pareto->bottom : dots_y(pareto, low);
        point->bar_high = point->off_axis ? point->y : dots_y(pareto, point->increase + se);
    }
}

static double label_width(const struct pareto *pareto, const struct point *point)
{
    return LETTER * bs_chart_columns(point->label, pareto->label_columns);
}

static struct box label_box(const struct pareto *pareto, const struct point *point, double x,
                            double y)
{
    double width = label_width(pareto, point);
    return (struct box){x, x + width, y - LINE / 2.0, y + LINE / 2.0};
}

/* What a label there would cover: the edges, other labels and points above all, then the front. */
static double cost_of(const struct pareto *pareto, int index, double x, double y)
{
    const struct point *point = &pareto->points[index];
    struct box box = label_box(pareto, point, x, y);
    double cost = 0, top = pareto->bottom + pareto->height;
    if (box.left < PLOT_LEFT + 8 || box.right > pareto->right - 8 ||
        box.bottom < pareto->bottom + 8 || box.top > top - 8)
        cost += 1e6;
    double front_x = (double)NAN, front_y = top;
    for (int i = 0; i < pareto->num_points; i++) {
        const struct point *other = &pareto->points[i];
        struct box mark = {other->x - 14, other->x + 14, other->y - 14, other->y + 14};
        cost += overlap(box, mark) > 0 ? 4000 : 0;
        /* as wide as the strokes at its ends */
        struct box bar = {other->x - 12, other->x + 12, other->bar_low, other->bar_high};
        cost += overlap(box, bar) > 0 ? 300 : 0;
        if (other->has_label)
            cost += overlap(box, label_box(pareto, other, other->label_x, other->label_y)) > 0 ? 2e4
                                                                                               : 0;
        if (!other->on_front)
            continue;
        /* the step to this point: along, then down */
        struct box along = {isnan(front_x) ? other->x : front_x, other->x, front_y - 5,
                            front_y + 5};
        struct box down = {other->x - 5, other->x + 5, other->y, front_y};
        cost += overlap(box, along) > 0 ? 1500 : 0;
        cost += overlap(box, down) > 0 ? 1500 : 0;
        front_x = other->x;
        front_y = other->y;
    }
    struct box last = {front_x, pareto->right, front_y - 5, front_y + 5};
    cost += !isnan(front_x) && overlap(box, last) > 0 ? 1500 : 0;
    return cost;
}

/* The end of the line from a label to its point: the nearest place on the label's edge. */
static void leader_end(const struct pareto *pareto, const struct point *point, double *x, double *y)
{
    struct box box = label_box(pareto, point, point->label_x, point->label_y);
    *x = fmin(fmax(point->x, box.left), box.right);
    *y = fmin(fmax(point->y, box.bottom + 4), box.top - 4);
}

/* Tries places around a point, near ones first; the least cost. */
static double place_label(struct pareto *pareto, int index, int rings)
{
    struct point *point = &pareto->points[index];
    double width = label_width(pareto, point), best = (double)INFINITY;
    for (int ring = 0; ring < rings; ring++)
        for (int step = 0; step < 32; step++) {
            double radius = 26 + 22 * ring, angle = step * 3.14159265358979 / 16;
            double x = point->x + radius * cos(angle), y = point->y + radius * sin(angle);
            /* the label hangs on the side of its own that looks to the point */
            x -= width * (1 - cos(angle)) / 2;
            /* below and left of the front nothing is drawn, so lines there cross nothing */
            double uphill = sin(angle) > 0.1 ? 60 : 0;
            double cost = cost_of(pareto, index, x, y) + radius + uphill;
            if (cost < best) {
                best = cost;
                point->label_x = x;
                point->label_y = y;
            }
        }
    return best;
}

/* Every point of the front has a label; of the others those beside which there is room. */
static void place_labels(struct pareto *pareto)
{
    enum { FAR = 14, NEAR = 1, FREE = 150 };
    for (int i = 0; i < pareto->num_points; i++)
        if (pareto->points[i].on_front) {
            place_label(pareto, i, FAR);
            pareto->points[i].has_label = true;
        }
    for (int i = 0; i < pareto->num_points; i++)
        if (!pareto->points[i].on_front)
            pareto->points[i].has_label = place_label(pareto, i, NEAR) < FREE;
}

static void print_labels(const struct pareto *pareto, bool front, FILE *data)
{
    bool any = false;
    for (int i = 0; i < pareto->num_points; i++) {
        const struct point *point = &pareto->points[i];
        if (!point->has_label || point->on_front != front)
            continue;
        any = true;
        double x, y;
        leader_end(pareto, point, &x, &y);
        double away = hypot(x - point->x, y - point->y);
        fprintf(data, "%.8g\t%.8g\t", point->bits, point->increase);
        bs_print_shortened(data, point->label, pareto->label_columns);
        double drawn = increase_at(pareto, point->y);
        fprintf(data, "\t%.8g\t%.8g\t%.8g\t%.8g\t%.8g\n", bits_at(pareto, point->label_x),
                increase_at(pareto, point->label_y), away > 30 ? bits_at(pareto, x) : point->bits,
                away > 30 ? increase_at(pareto, y) : drawn, drawn);
    }
    if (!any) /* gnuplot does not count a block without a line */
        fputs("nan\tnan\t\tnan\tnan\tnan\tnan\tnan\n", data);
}

static void print_data(const struct pareto *pareto, const struct bs_plot *plot)
{
    FILE *data = plot->data;
    fputs("# bits_per_weight\tincrease\tlow\thigh\tis_open\tlabel\toff_axis\tdrawn_at\n", data);
    for (int s = 0; s < pareto->list.count; s++) {
        for (int i = 0; i < pareto->num_points; i++) {
            const struct point *point = &pareto->points[i];
            if (point->series != s)
                continue;
            double se = bs_plot_se(plot, point->row);
            fprintf(data, "%.8g\t%.8g\t%.8g\t%.8g\t%d\t", point->bits, point->increase,
                    point->increase - se, point->increase + se, point->is_open);
            bs_print_field(data, point->row->label);
            fprintf(data, "\t%d\t%.8g\n", point->off_axis, increase_at(pareto, point->y));
        }
        fputs("\n\n", data);
    }
    fputs("# labels of the front: bits_per_weight\tincrease\tlabel\tits place\tthe line to it\t"
          "drawn_at\n",
          data);
    print_labels(pareto, true, data);
    /* where the steps are drawn, from the top edge to the right one */
    fputs("\n\n# the front's steps: bits_per_weight\tdrawn_at\n", data);
    double lowest = pareto->high;
    for (int i = 0; i < pareto->num_points; i++) {
        const struct point *point = &pareto->points[i];
        if (!point->on_front)
            continue;
        if (lowest == pareto->high)
            fprintf(data, "%.8g\t%.8g\n", point->bits, lowest);
        lowest = increase_at(pareto, point->y);
        fprintf(data, "%.8g\t%.8g\n", point->bits, lowest);
    }
    fprintf(data, "%.8g\t%.8g\n", pareto->bits_high, lowest);
    fputs("\n\n# other labels\n", data);
    print_labels(pareto, false, data);
}

/* The place where the word before `from` begins. */
static const char *word_before(const char *label, const char *from)
{
    while (from > label && from[-1] == ' ')
        from--;
    while (from > label && from[-1] != ' ')
        from--;
    return from;
}

/* Of a word and a list, "NAME [-1, 0, 1]" or "NAME 16 levels 73f2fe4d", how many it lists: "3
 * levels"; empty where the label has none. */
static void put_few_words(const char *label, char *out, size_t size)
{
    static const char levels[] = " levels ";
    const char *list = strchr(label, '['), *word = strstr(label, levels), *end = NULL;
    long count = 0;
    *out = 0;
    if (list && (end = strchr(list, ']'))) {
        count = 1;
        for (const char *c = list; c < end; c++)
            count += *c == ',';
        end++;
    } else if (word) {
        list = word_before(label, word);
        count = strtol(list, NULL, 10);
        end = word + strlen(levels) + strcspn(word + strlen(levels), " ");
    }
    if (end && count > 0)
        snprintf(out, size, "%.*s%ld levels%s", (int)(word_before(label, list) - label), label,
                 count, end);
}

/* Points have few words where their labels are too wide, but for those that others would share. */
static void choose_labels(struct pareto *pareto)
{
    for (int i = 0; i < pareto->num_points; i++) {
        struct point *point = &pareto->points[i];
        put_few_words(point->row->label, point->few_words, sizeof point->few_words);
    }
    for (int i = 0; i < pareto->num_points; i++) {
        struct point *point = &pareto->points[i];
        const char *label = point->row->label;
        bool said = *point->few_words && bs_chart_columns(label, INT_MAX) > pareto->label_columns;
        for (int k = 0; k < pareto->num_points && said; k++) {
            const struct point *other = &pareto->points[k];
            said = strcmp(other->few_words, point->few_words) || !strcmp(other->row->label, label);
        }
        point->label = said ? point->few_words : label;
    }
}

/* The height of the picture, by its legend's. */
static void lay_out(struct pareto *pareto, const struct bs_plot *plot)
{
    pareto->right = plot->width - BESIDE;
    pareto->height = plot->how->is_single ? 700 : 850;
    pareto->label_columns = plot->room.point;
    bool noted = false;
    for (int i = 0; i < pareto->num_points; i++) {
        const struct bs_row *row = pareto->points[i].row;
        noted = noted || !is_significant(plot, row) || !(increase_of(plot, row) >= pareto->low);
    }
    pareto->bottom =
        BELOW + 30 + 44 * bs_key_rows(plot, pareto->keys, pareto->num_keys) + (noted ? NOTE : 0);
}

static void print_layout(const struct pareto *pareto, const struct bs_plot *plot)
{
    FILE *script = plot->script;
    int lines = plot->title_lines; /* of a title; there is room for one, and some */
    int height = pareto->bottom + pareto->height + ABOVE + (lines > 1 ? LINE : 0) +
                 (lines > 2 ? TITLE_LINE * (lines - 2) : 0);
    bool any_open = false, any_off = false;
    for (int i = 0; i < pareto->num_points; i++) {
        any_open = any_open || pareto->points[i].is_open;
        any_off = any_off || pareto->points[i].off_axis;
    }
    fprintf(script, "X_LOW = %.8g\nX_HIGH = %.8g\nY_LOW = %.8g\nY_HIGH = %.8g\n", pareto->bits_low,
            pareto->bits_high, pareto->low, pareto->high);
    fprintf(script, "HEIGHT = %d\n", height);
    fprintf(script, "LEFT = %.8g\nRIGHT = %.8g\nBOTTOM = %.8g\nTOP = %.8g\nKEY_TOP = %.8g\n",
            (double)PLOT_LEFT / plot->width, (double)pareto->right / plot->width,
            (double)pareto->bottom / height, (double)(pareto->bottom + pareto->height) / height,
            (double)(pareto->bottom - BELOW - 25) / height);
    char note[NOTE_COLUMNS + 4];
    snprintf(note, sizeof note, "%s%s%s", any_open ? open_note : "",
             any_open && any_off ? "; " : "", any_off ? edge_note : "");
    bs_script_text(script, "OPEN_NOTE", note);
}

static void draw(struct pareto *pareto, const struct bs_plot *plot)
{
    pareto->keys[0] = (struct bs_key){.name = "Pareto front"};
    pareto->num_keys = 1 + bs_series_keys(&pareto->list, pareto->keys + 1);
    choose_ranges(pareto, plot);
    lay_out(pareto, plot);
    place_points(pareto, plot);
    choose_labels(pareto);
    place_labels(pareto);
    print_data(pareto, plot);
    bs_script_series(plot, &pareto->list, pareto->keys, pareto->num_keys);
    print_layout(pareto, plot);
}

enum bs_status bs_plot_pareto(struct bs_plot *plot, struct bs_error *err)
{
    if (!plot->unquantized)
        return bs_fail(err, BS_EDATA, "%s: no unquantized model to compare with",
                       plot->results->path);
    if (plot->value->direction > 0 && !isfinite(bs_plot_value(plot, plot->unquantized)))
        return bs_fail(err, BS_EDATA, "%s: no %s of the unquantized model, which is to be lost",
                       plot->results->path, plot->value->name);
    size_t rows = (size_t)plot->num_rows;
    struct pareto pareto = {.list = {.pooled = true, .by_family = bs_plot_has_families(plot)}};
    pareto.points = bs_calloc(rows, sizeof *pareto.points);
    pareto.list.series = bs_calloc(rows, sizeof *pareto.list.series);
    pareto.keys = bs_calloc(rows + BS_NUM_FAMILIES + 1, sizeof *pareto.keys);
    enum bs_status status = BS_OK;
    if (!pareto.points || !pareto.list.series || !pareto.keys)
        status = bs_fail_memory(err);
    for (int i = 0; i < plot->num_rows && !status; i++)
        if (is_drawn(plot->rows[i]))
            pareto.points[pareto.num_points++] = (struct point){
                .row = plot->rows[i], .series = bs_series_of(&pareto.list, plot->rows[i])};
    if (!status && pareto.num_points == 0)
        status =
            bs_fail(err, BS_EDATA, "%s: no trial of weights alone to draw", plot->results->path);
    if (!status)
        draw(&pareto, plot);
    bs_free(pareto.keys);
    bs_free(pareto.list.series);
    bs_free(pareto.points);
    return status;
}
