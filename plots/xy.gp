# Any value of the trials against any other: a panel for each model or text, a line for each algorithm, or what
# else was asked for. Points stand where they were measured; bars are one standard error, of the paired
# difference to the unquantized model where the value has one. A line joins the points of a series
# where each has an x of its own. Crosses are what was published for a trial.
COLUMNS = PANELS == 1 ? 1 : SINGLE ? (PANELS <= 3 ? 1 : 2) : PANELS <= 4 ? 2 : 3
ROWS = int(ceil(1.0 * PANELS / COLUMNS))
PANEL_HEIGHT = PANELS == 1 ? (SINGLE ? 600 : 760) : SINGLE ? 420 : 500
KEY_HEIGHT = KEYS > 0 ? ROW_HEIGHT * KEY_ROWS + 30 : 0
NOTE_HEIGHT = LEVELS || PUBLISHED ? 50 : 0
TITLE_HEIGHT = strlen(SECTION) ? 62 + TITLE_MORE : 20
GAP = PANELS > 1 ? 56.0 : 14.0
HEIGHT = TITLE_HEIGHT + (PANEL_HEIGHT + GAP) * ROWS + 125 + KEY_HEIGHT + NOTE_HEIGHT
LEFT = 190.0 / WIDTH
RIGHT = 1 - 28.0 / WIDTH
TOP = 1 - 1.0 * TITLE_HEIGHT / HEIGHT
BOTTOM = (125.0 + KEY_HEIGHT + NOTE_HEIGHT) / HEIGHT
CELL_X = (RIGHT - LEFT) / COLUMNS
CELL_Y = (TOP - BOTTOM) / ROWS
KEY_X = (LEFT + RIGHT) / 2
KEY_TOP = (KEY_HEIGHT + NOTE_HEIGHT - 30.0) / HEIGHT
ticks(low, high, numbers, bits) = bits ? (numbers ? BITS : BITS_BARE) : high < 8 * low ? (numbers ? DENSE : DENSE_BARE) : high < 200 * low ? (numbers ? LABELLED : BARE) : (numbers ? DECADES : DECADES_BARE)
Y_LABEL = Y_NAME . (BARS ? (PAIRED ? (SINGLE ? ' ± paired s.e.' : ' ± s.e. of the paired difference') : ' ± s.e.') : '')
NOTE = (LEVELS ? '╌╌ unquantized' : '') . (LEVELS && PUBLISHED ? '    ' : '') . (PUBLISHED ? '✕ published' : '')

CROSSES = PUBLISHED ? ", for [s = 1 : N] DATA index at(N + 1) using ($4 == s ? $1 : NaN):3 with points linecolor rgb colour(COLOURS[s]) pointtype 2 linewidth 1.6 pointsize 2 * POINT" : ""

do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  set output BASE . '.' . format
  set multiplot
  set label 1 SECTION at screen KEY_X, screen 1 - 34.0 / HEIGHT center textcolor rgb INK
  set label 2 Y_LABEL at screen 34.0 / WIDTH, screen (TOP + BOTTOM) / 2 center rotate textcolor rgb INK
  set label 3 X_NAME at screen KEY_X, screen BOTTOM - 92.0 / HEIGHT center textcolor rgb INK
  set label 4 NOTE at screen KEY_X, screen 34.0 / HEIGHT center textcolor rgb SOFT
  do for [k = 1 : KEYS] {
    eval(key_arrow(k))
    eval(key_point(k))
    eval(key_name(k))
  }
  if (LOG_X) { set logscale x } else { unset logscale x }
  if (LOG_Y) { set logscale y } else { unset logscale y }
  set xrange [X_LOW : X_HIGH]
  set yrange [Y_LOW : Y_HIGH]
  set grid xtics ytics linestyle 100
  unset key
  do for [p = 1 : PANELS] {
    row = (p - 1) / COLUMNS
    column = (p - 1) % COLUMNS
    first = column == 0
    last = p + COLUMNS > PANELS
    set lmargin at screen LEFT + column * CELL_X + (first ? 0 : 52.0 / WIDTH)
    set rmargin at screen LEFT + (column + 1) * CELL_X
    set tmargin at screen TOP - row * CELL_Y - GAP / HEIGHT
    set bmargin at screen TOP - (row + 1) * CELL_Y
    set title (PANELS > 1 ? PANEL[p] : '') offset 0, -0.7
    # Numbers stand at the outer panels alone: all have the same axes.
    if (LOG_X) { eval('set xtics (' . ticks(X_LOW, X_HIGH, last, X_IS_BITS) . ')') } else { set xtics autofreq; if (last) { set xtics format '%g' } else { set xtics format '' } }
    if (LOG_Y) { eval('set ytics (' . ticks(Y_LOW, Y_HIGH, first, Y_IS_BITS) . ')') } else { set ytics autofreq; if (first) { set ytics format '%g' } else { set ytics format '' } }
    at(s) = (p - 1) * (N + 1) + s - 1
    plot LEVEL[p] with lines linestyle 101, \
      for [s = 1 : N] DATA index at(s) using 1:($4 > 0 ? $3 : NaN):4 with yerrorbars \
        linecolor rgb colour(COLOURS[s]) linewidth 0.8 pointtype -1, \
      for [s = 1 : N] DATA index at(s) using 1:($2 > 0 ? $3 : NaN):2 with xerrorbars \
        linecolor rgb colour(COLOURS[s]) linewidth 0.8 pointtype -1, \
      for [s = 1 : N] DATA index at(s) using 1:(LINED[s] ? $3 : NaN) with lines linecolor rgb colour(COLOURS[s]), \
      for [s = 1 : N] DATA index at(s) using 1:3 with points \
        linecolor rgb colour(COLOURS[s]) pointtype shape(SHAPES[s], DASHES[s]) pointsize 1.6 * POINT @CROSSES
    unset label
    unset arrow
  }
  unset multiplot
  unset output
  DONE = outline(format)
  unset logscale
}
