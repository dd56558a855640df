# What one place costs when it alone is quantized: blocks and kinds of linears, a panel for each candidate.
COLUMNS = SINGLE ? (PANELS < 2 ? 1 : 2) : PANELS < 4 ? PANELS : 4
ROWS = int(ceil(1.0 * PANELS / COLUMNS))
CELL = KINDS > 12 ? 40 : 48
BAR = 176
HEIGHT = 158 + (90 + CELL * KINDS) * ROWS + BAR + 70 + TITLE_MORE
LEFT = (40 + LETTER * LONGEST_KIND) / WIDTH
RIGHT = 1 - 30.0 / WIDTH
TOP = 1 - (100.0 + TITLE_MORE) / HEIGHT
BOTTOM = (BAR + 104.0) / HEIGHT
CELL_X = (RIGHT - LEFT) / COLUMNS
CELL_Y = (TOP - BOTTOM) / ROWS
GAP_X = 16.0 / WIDTH
GAP_Y = 72.0 / HEIGHT
FIT = (WIDTH * (CELL_X - GAP_X)) / BLOCKS
STEP = FIT > 46 ? 1 : FIT > 24 ? 2 : FIT > 10 ? 5 : FIT > 5 ? 10 : 20
shown(v) = v < VALUE_LOW ? VALUE_LOW : v

# Light is little on white, dark is little on black.
if (DARK) {
  set palette defined (0 '#440154', 1 '#3b528b', 2 '#21918c', 3 '#5ec962', 4 '#fde725')
} else {
  set palette defined (0 '#fde725', 1 '#5ec962', 2 '#21918c', 3 '#3b528b', 4 '#440154')
}

do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  set output BASE . '.' . format
  set multiplot
  set label 1 'one place alone' . (LEFT_OUT ? sprintf(' (%d places left out)', LEFT_OUT) : '') . "\n" . SECTION at screen 0.5, screen 1 - 34.0 / HEIGHT center textcolor rgb INK
  set label 3 'block' at screen (LEFT + RIGHT) / 2, screen (BAR + 26.0) / HEIGHT center textcolor rgb INK
  set label 4 CELL_VALUE at screen (LEFT + RIGHT) / 2, screen 24.0 / HEIGHT center textcolor rgb INK
  set cbrange [VALUE_LOW : VALUE_HIGH]
  if (LOG_VALUE) { set logscale cb } else { unset logscale cb }
  set xrange [-0.5 : BLOCKS - 0.5]
  set yrange [0.5 - KINDS : 0.5]
  set xtics STEP scale 0
  set ytics scale 0
  unset grid
  unset key
  unset colorbox
  do for [k = 1 : PANELS] {
    row = (k - 1) / COLUMNS
    column = (k - 1) % COLUMNS
    set lmargin at screen LEFT + column * CELL_X + GAP_X
    set rmargin at screen LEFT + (column + 1) * CELL_X
    set tmargin at screen TOP - row * CELL_Y - GAP_Y
    set bmargin at screen TOP - (row + 1) * CELL_Y
    set title PANEL[k] offset 0, -0.7
    names = ''
    do for [r = 1 : KINDS] {
      names = names . (r > 1 ? ', ' : '') . (column == 0 ? sprintf('KIND[%d] %d', r, 1 - r) : sprintf("'' %d", 1 - r))
    }
    eval('set ytics (' . names . ')')
    if (k + COLUMNS > PANELS) { set xtics format '%g' } else { set xtics format '' }
    if (k == PANELS) {
      set colorbox horizontal user origin screen LEFT + (RIGHT - LEFT) / 4, screen 110.0 / HEIGHT size screen (RIGHT - LEFT) / 2, screen 26.0 / HEIGHT
      if (LOG_VALUE) { eval('set cbtics (' . (VALUE_HIGH > 40 * VALUE_LOW ? DECADES : LABELLED) . ')') } else { set cbtics autofreq }
    }
    plot DATA index k - 1 using 1:2:($1 - 0.47):($1 + 0.47):($2 - 0.47):($2 + 0.47):(shown($3)) with boxxyerror fillstyle solid 1 noborder linecolor palette
    unset label
  }
  unset multiplot
  unset logscale cb
  unset output
  DONE = outline(format)
}
