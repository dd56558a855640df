# What all charts share: the colours of Okabe and Ito, which the colour-blind can tell apart, with a
# shape of its own for each, so that a chart still reads in grey.
set encoding utf8
set termoption noenhanced
set datafile separator "\t"
set datafile missing 'nan'

# What the script says of the picture before: PICTURES, WIDTH (dots; a letter is 32 high), INCHES on paper,
# SINGLE (one column wide), DARK.
INK = DARK ? '#e8e8e8' : '#000000'
SOFT = DARK ? '#b4b4b4' : '#555555'
LINE = DARK ? '#a0a0a0' : '#777777'
FINE = DARK ? '#606060' : '#bbbbbb'
GRID = DARK ? '#3c3f45' : '#dddddd'
PAPER = DARK ? '#16181d' : '#ffffff'
array PALETTE[9]
array LIGHT[9] = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#999999', '#8B5A2B']
array DARKER[9] = ['#3FA0E8', '#FF7F3F', '#1FC28F', '#E08BB8', '#F2B31B', '#9CD6FF', '#F0F0F0', '#999999', '#C48A4A']
do for [i = 1 : 9] { PALETTE[i] = DARK ? DARKER[i] : LIGHT[i] }
array FILLED[8] = [7, 5, 9, 13, 11, 15, 7, 5]
array OPEN[8] = [6, 4, 8, 12, 10, 14, 6, 4]

# Of number 0, what belongs to no colour.
wrap(i, n) = (int(i) - 1) % n + 1
colour(i) = int(i) == 0 ? LINE : PALETTE[wrap(i, 9)]
shape(i, dash) = int(dash) % 2 == 1 ? FILLED[wrap(i, 8)] : OPEN[wrap(i, 8)]

set style line 100 linecolor rgb GRID linewidth 0.7
set style line 101 linecolor rgb LINE linewidth 1.3 dashtype (12, 8)
set style line 102 linecolor rgb SOFT linewidth 0.8
set border linestyle 102
set tics textcolor rgb INK
set title textcolor rgb INK
set xlabel textcolor rgb INK
set ylabel textcolor rgb INK

FONT = 'DejaVu Sans'
DOT = 72.0 * INCHES / WIDTH
on_screen(kind, size, width, height, lines) = sprintf("set terminal %s noenhanced size %d,%d font '%s,%d' linewidth %g background rgb '%s'", \
  kind, width, height, FONT, size, lines, PAPER)
on_paper(kind, width, height) = sprintf("set terminal %s noenhanced color size %.4fin,%.4fin font '%s,%.3f' fontscale 1 linewidth %.4f background rgb '%s'", \
  kind, DOT * width / 72, DOT * height / 72, FONT, 24 * DOT, 4.2 * DOT, PAPER)
terminal(format, width, height) = format eq 'png' ? on_screen('pngcairo', 24, width, height, 2.4) : \
  format eq 'svg' ? on_screen('svg', 32, width, height, 2.6) : \
  format eq 'pdf' ? on_paper('pdfcairo', width, height) : on_paper('epscairo', width, height)

# Points and heights of text differ between terminals: with these, set for each picture, all look the
# same.
scale_for(format) = format eq 'svg' ? "POINT = 0.37; RAISE = 0.75" : \
  format eq 'png' ? "POINT = 1.0; RAISE = 0.3" : sprintf("POINT = %.4f; RAISE = 0.3", 1.3 * DOT)

# The outline of an open point, in parts of the point: gnuplot's SVG gives it a third of that, whatever
# the width of lines, which is pale beside them. To be called once the picture is written.
OUTLINES = "sed -i '/<defs>/,/<.defs>/s/\\(gpPt.*stroke-width=.\\)[0-9.]*/\\10.250/' '%s.svg'"
outline(format) = format eq 'svg' ? system(sprintf(OUTLINES, BASE)) : ''

# Ticks of a logarithmic axis at 1, 2 and 5, with their numbers and without; more where it is short;
# and at decades.
DECADES = ''
LABELLED = ''
DENSE = ''
BARE = ''
DENSE_BARE = ''
DECADES_BARE = ''
do for [e = -7 : 7] {
  do for [m in '1 1.5 2 3 4 5 7'] {
    value = sprintf('%g', m * 10.0 ** e)
    DENSE = DENSE . (strlen(DENSE) ? ', ' : '') . sprintf("'%s' %s", value, value)
    DENSE_BARE = DENSE_BARE . (strlen(DENSE_BARE) ? ', ' : '') . sprintf("'' %s", value)
  }
  DECADES = DECADES . (strlen(DECADES) ? ', ' : '') . sprintf("'%g' %g", 10.0 ** e, 10.0 ** e)
  DECADES_BARE = DECADES_BARE . (strlen(DECADES_BARE) ? ', ' : '') . sprintf("'' %g", 10.0 ** e)
  do for [m in '1 2 5'] {
    value = sprintf('%g', m * 10.0 ** e)
    LABELLED = LABELLED . (strlen(LABELLED) ? ', ' : '') . sprintf("'%s' %s", value, value)
    BARE = BARE . (strlen(BARE) ? ', ' : '') . sprintf("'' %s", value)
  }
}

# Of bits, which are powers of two and what stands between them.
BITS = ''
BITS_BARE = ''
do for [b in '0.5 1 1.5 2 3 4 6 8 12 16 24 32 64'] {
  BITS = BITS . (strlen(BITS) ? ', ' : '') . sprintf("'%s' %s", b, b)
  BITS_BARE = BITS_BARE . (strlen(BITS_BARE) ? ', ' : '') . sprintf("'' %s", b)
}

# The legend: KEYS entries in KEY_COLUMNS columns of KEY_ROWS, centred at KEY_X, the first row at
# KEY_TOP (parts of the picture). Arrows and labels with a point, since gnuplot's own legend has fewer
# rows than it is given room for. An entry has a line, a point on it, or a patch of its colour.
LETTER = 19.5
ROW_HEIGHT = 44.0
KEY_WIDTH = 130 + LETTER * LONGEST_NAME
KEY_COLUMNS = int((WIDTH - 60) / KEY_WIDTH)
KEY_COLUMNS = KEY_COLUMNS < 1 ? 1 : KEY_COLUMNS > 4 ? 4 : KEY_COLUMNS
KEY_ROWS = KEYS > 0 ? int(ceil(1.0 * KEYS / KEY_COLUMNS)) : 0
KEY_COLUMNS = KEYS > 0 ? int(ceil(1.0 * KEYS / KEY_ROWS)) : 1
LINES = 1
key_left(k) = KEY_X + ((k - 1) / KEY_ROWS - KEY_COLUMNS / 2.0) * KEY_WIDTH / WIDTH
key_height(k) = KEY_TOP - ((k - 1) % KEY_ROWS) * ROW_HEIGHT / HEIGHT
key_line(k) = KEY_SHAPES[k] == 0 && KEY_COLOURS[k] > 0 ? 6 : KEY_SHAPES[k] == 0 ? 1.4 : 1
key_is_lined(k) = LINES || KEY_SHAPES[k] == 0
key_arrow(k) = sprintf("set arrow %d from screen %.6f, screen %.6f rto screen %.6f, screen 0 nohead linewidth %g linecolor rgb '%s' dashtype %d", \
  200 + k, key_left(k) + 15.0 / WIDTH, key_height(k), (key_is_lined(k) ? 70.0 : 0) / WIDTH, key_line(k), colour(KEY_COLOURS[k]), KEY_DASHES[k] > 0 ? KEY_DASHES[k] : 1)
key_point(k) = KEY_SHAPES[k] == 0 ? '' : sprintf("set label %d '' at screen %.6f, screen %.6f point pointtype %d pointsize %g linecolor rgb '%s'", \
  200 + k, key_left(k) + 50.0 / WIDTH, key_height(k), shape(KEY_SHAPES[k], KEY_DASHES[k]), 1.8 * POINT, colour(KEY_COLOURS[k]))
key_name(k) = sprintf('set label %d KEY_NAMES[%d] at screen %.6f, screen %.6f left textcolor rgb INK', 400 + k, k, key_left(k) + 105.0 / WIDTH, key_height(k))
