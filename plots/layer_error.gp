# A value of every linear (its relative output error), a panel for each kind, over the blocks of the model.
COLUMNS = SINGLE ? (KINDS < 2 ? KINDS : 2) : KINDS <= 4 ? KINDS : KINDS <= 6 ? 3 : 4
ROWS = int(ceil(1.0 * KINDS / COLUMNS))
# The legend goes into an empty cell where there is one it fits, else below.
IN_CELL = KINDS % COLUMNS > 0 && KEYS <= 6 && KEY_WIDTH - 20 < (WIDTH - 200.0) / COLUMNS
KEY_ROWS = IN_CELL ? KEYS : KEY_ROWS
KEY_COLUMNS = IN_CELL ? 1 : KEY_COLUMNS
KEY_HEIGHT = IN_CELL ? 0 : ROW_HEIGHT * KEY_ROWS + 30
HEIGHT = 220 + 390 * ROWS + KEY_HEIGHT + TITLE_MORE
LEFT = 152.0 / WIDTH
RIGHT = 1 - 24.0 / WIDTH
TOP = 1 - (100.0 + TITLE_MORE) / HEIGHT
BOTTOM = (120.0 + KEY_HEIGHT) / HEIGHT
CELL_X = (RIGHT - LEFT) / COLUMNS
CELL_Y = (TOP - BOTTOM) / ROWS
GAP_X = 14.0 / WIDTH
GAP_Y = 62.0 / HEIGHT
STEP = BLOCKS < 8 ? 1 : BLOCKS < 16 ? 2 : BLOCKS < 32 ? 5 : 10

do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  set output BASE . '.' . format
  set multiplot
  set label 1 FORMAT . "\n" . SECTION at screen (LEFT + RIGHT) / 2, screen 1 - 34.0 / HEIGHT center textcolor rgb INK
  set label 2 LAYER_VALUE at screen 32.0 / WIDTH, screen (TOP + BOTTOM) / 2 center rotate textcolor rgb INK
  set label 3 'block' at screen (LEFT + RIGHT) / 2, screen (KEY_HEIGHT + 34.0) / HEIGHT center textcolor rgb INK
  set logscale y
  set xrange [-0.4 : BLOCKS + 0.4]
  set yrange [Y_LOW : Y_HIGH]
  set xtics STEP
  set grid ytics linestyle 100
  unset key
  do for [k = 1 : KINDS] {
    row = (k - 1) / COLUMNS
    column = (k - 1) % COLUMNS
    set lmargin at screen LEFT + column * CELL_X + GAP_X
    set rmargin at screen LEFT + (column + 1) * CELL_X
    set tmargin at screen TOP - row * CELL_Y - GAP_Y
    set bmargin at screen TOP - (row + 1) * CELL_Y
    set title KIND[k] offset 0, -0.7
    eval('set ytics (' . (column == 0 ? LABELLED : BARE) . ')')
    # Only the lowest panel of a column says which block.
    if (k + COLUMNS > KINDS) { set xtics format '%g' } else { set xtics format '' }
    plot for [s = 1 : N] DATA index (k - 1) * N + s - 1 using 1:2 with linespoints \
      linecolor rgb colour(COLOURS[s]) dashtype DASHES[s] pointtype shape(SHAPES[s], DASHES[s]) pointsize 1.3 * POINT
    unset label
  }
  # A plot of nothing that has the legend.
  row = KINDS / COLUMNS
  column = KINDS % COLUMNS
  KEY_X = IN_CELL ? LEFT + (column + 0.5) * CELL_X + 20.0 / WIDTH : (LEFT + RIGHT) / 2
  KEY_TOP = IN_CELL ? TOP - (row + 0.55) * CELL_Y + 0.5 * (KEYS - 1) * ROW_HEIGHT / HEIGHT : (KEY_HEIGHT - 30.0) / HEIGHT
  do for [k = 1 : KEYS] {
    eval(key_arrow(k))
    eval(key_point(k))
    eval(key_name(k))
  }
  unset title
  unset border
  unset tics
  unset grid
  unset logscale
  plot [0 : 1] [0 : 1] NaN
  unset label
  unset arrow
  unset multiplot
  set border 31 linestyle 102
  set tics textcolor rgb INK
  unset output
  DONE = outline(format)
}
