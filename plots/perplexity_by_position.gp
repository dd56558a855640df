# A figure of predictions (perplexity) over the tokens of their window that they have before them, a
# line for each trial; below it what is added to the unquantized model's at the same tokens. The noise
# of the text is common to all upper lines and drawn once, as a band of one standard error around
# the unquantized model's; lower bars are one standard error of the paired difference.
KEY_HEIGHT = ROW_HEIGHT * KEY_ROWS + 30
VALUE_HEIGHT = SINGLE ? 440 : CHANGES ? 560 : 760
CHANGE_HEIGHT = CHANGES ? (SINGLE ? 380 : 440) : 0
HEIGHT = 110 + TITLE_MORE + VALUE_HEIGHT + CHANGE_HEIGHT + 120 + KEY_HEIGHT
LEFT = 200.0 / WIDTH
RIGHT = 1 - 24.0 / WIDTH
KEY_X = (LEFT + RIGHT) / 2
KEY_TOP = (KEY_HEIGHT - 30.0) / HEIGHT
# The axis has a meaning: every point and bar stands at its own position, over those of other lines.
# Positions double: ticks at powers of two, fewer where there are many.
OCTAVES = ceil(log(X_HIGH / X_LOW) / log(2))
TICK_STEP = int(ceil(OCTAVES / (SINGLE ? 6.0 : 12.0)))
TICKS = ''
UNNAMED = ''
do for [e = 0 : 30 : TICK_STEP] {
  UNNAMED = UNNAMED . (e ? ', ' : '') . sprintf("'' %d", 2 ** e)
  TICKS = TICKS . (e ? ', ' : '') . sprintf("'%d' %d", 2 ** e, 2 ** e)
}

do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  set output BASE . '.' . format
  set multiplot
  set lmargin at screen LEFT
  set rmargin at screen RIGHT
  set label 1 FORMAT . "\n" . SECTION at screen KEY_X, screen 1 - 34.0 / HEIGHT center textcolor rgb INK
  set logscale x 2
  set xrange [X_LOW : X_HIGH]
  set grid xtics ytics linestyle 100
  unset key
  do for [k = 1 : KEYS] {
    eval(key_arrow(k))
    eval(key_point(k))
    eval(key_name(k))
  }

  set tmargin at screen 1 - (110.0 + TITLE_MORE) / HEIGHT
  set bmargin at screen 1 - (110.0 + TITLE_MORE + VALUE_HEIGHT) / HEIGHT
  set yrange [Y_LOW : Y_HIGH]
  if (LOG_Y) {
    set logscale y
    eval('set ytics (' . (Y_HIGH < 8 * Y_LOW ? DENSE : Y_HIGH < 200 * Y_LOW ? LABELLED : DECADES) . ')')
  } else { set ytics autofreq }
  set ylabel POSITION_VALUE . (CHANGES ? '' : ' ± s.e.') offset 0, 0
  AXIS = SINGLE ? 'tokens before, in the window' : 'tokens of the window before the predicted one'
  eval('set xtics (' . (CHANGES ? UNNAMED : TICKS) . ')')
  if (CHANGES) { unset xlabel } else { set xlabel AXIS offset 0, RAISE }
  plot DATA index 0 using 1:6:7 with filledcurves linecolor rgb GRID fillstyle solid, \
    DATA index 0 using 1:4 with linespoints linestyle 101 pointtype -1, \
    for [s = 1 : CHANGES ? 0 : N] DATA index s using 1:4:6:7 with yerrorbars \
      linecolor rgb colour(COLOURS[s]) linewidth 0.8 pointtype -1, \
    for [s = 1 : N] DATA index s using 1:4 with linespoints \
      linecolor rgb colour(COLOURS[s]) dashtype DASHES[s] pointtype shape(SHAPES[s], DASHES[s]) \
      pointsize 1.3 * POINT
  unset label
  unset arrow

  if (CHANGES) {
    unset logscale y
    set tmargin at screen 1 - (110.0 + TITLE_MORE + VALUE_HEIGHT + 34) / HEIGHT
    set bmargin at screen (KEY_HEIGHT + 120.0) / HEIGHT
    set yrange [CHANGE_LOW : CHANGE_HIGH]
    set ytics autofreq
    eval('set xtics (' . TICKS . ')')
    set xlabel AXIS offset 0, RAISE
    set ylabel 'Δ ' . CHANGE_VALUE . (SINGLE ? ' ± s.e.' : ' ± paired s.e.') offset 0, 0
    plot 0 with lines linestyle 101, \
      for [s = 1 : N] DATA index s using 1:8:9 with yerrorbars \
        linecolor rgb colour(COLOURS[s]) linewidth 0.8 pointtype -1, \
      for [s = 1 : N] DATA index s using 1:8 with linespoints \
        linecolor rgb colour(COLOURS[s]) dashtype DASHES[s] pointtype shape(SHAPES[s], DASHES[s]) \
        pointsize 1.3 * POINT
  }
  unset multiplot
  unset output
  DONE = outline(format)
  unset logscale
  unset xlabel
  unset ylabel
}
