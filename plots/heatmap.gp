# A value over two columns, as a map: a cell for each pair of values that was measured, with its number, the further
# from the paper's colour the more is lost; one scale of colours for all panels. Cells that are not there were not measured.
COLUMNS = PANELS < 2 ? 1 : SINGLE ? 1 : PANELS < 5 ? 2 : 3
ROWS = int(ceil(1.0 * PANELS / COLUMNS))
# Names of rows have the room that they need.
LONGEST = 0
do for [i = 1 : Y_STEPS] { LONGEST = strlen(Y_STEP[i]) > LONGEST ? strlen(Y_STEP[i]) : LONGEST }
LEFT = LONGEST * LETTER + 86.0 > 150.0 ? LONGEST * LETTER + 86.0 : 150.0
CELL_WIDTH = (WIDTH - LEFT - 24 - 40 * (COLUMNS - 1)) / COLUMNS / X_STEPS
# Numbers stand upright where they have no room to lie.
UPRIGHT = CELL_WIDTH < 7 * LETTER
CELL_HEIGHT = UPRIGHT ? 7 * LETTER : 74
PANEL_TITLE = PANELS > 1 ? 64.0 : 10.0
HEIGHT = 116 + TITLE_MORE + ROWS * (PANEL_TITLE + CELL_HEIGHT * Y_STEPS + 64) + 70
TOP = HEIGHT - 116.0 - TITLE_MORE
ROW_SPAN = PANEL_TITLE + CELL_HEIGHT * Y_STEPS + 64
# From the paper's colour to that of loss.
set palette defined (0 DARK ? '#20242c' : '#fdf6ec', 0.35 DARK ? '#6b4a1f' : '#f6c36b', 0.7 DARK ? '#c4622d' : '#d55e00', 1 DARK ? '#ffd9a8' : '#6b1d00')
set cbrange [0 : 1]
unset colorbox
# Of black and white letters those that stand out more: by the luminance of the shade, a contrast of 4 or more.
on_shade(s) = DARK ? (s > 0.58 ? 0x000000 : 0xf0f0f0) : (s > 0.78 ? 0xffffff : 0x000000)

do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  set output BASE . '.' . format
  set multiplot
  set label 1 SHOWN . "\n" . SECTION at screen 0.5, screen 1 - 34.0 / HEIGHT center textcolor rgb INK
  set label 2 Y_NAME at screen 34.0 / WIDTH, screen (TOP - ROWS * ROW_SPAN / 2.0) / HEIGHT center rotate textcolor rgb INK
  set label 3 X_NAME at screen 0.5, screen 34.0 / HEIGHT center textcolor rgb INK
  set xrange [-0.5 : X_STEPS - 0.5]
  set yrange [-0.5 : Y_STEPS - 0.5]
  unset key
  set tics scale 0
  do for [p = 1 : PANELS] {
    row = (p - 1) / COLUMNS
    column = (p - 1) % COLUMNS
    set lmargin at screen (LEFT + column * (CELL_WIDTH * X_STEPS + 40)) / WIDTH
    set rmargin at screen (LEFT + column * (CELL_WIDTH * X_STEPS + 40) + CELL_WIDTH * X_STEPS) / WIDTH
    set tmargin at screen (TOP - row * ROW_SPAN - PANEL_TITLE) / HEIGHT
    set bmargin at screen (TOP - row * ROW_SPAN - PANEL_TITLE - CELL_HEIGHT * Y_STEPS) / HEIGHT
    set title (PANELS > 1 ? PANEL[p] : '') offset 0, -0.7
    unset xtics
    unset ytics
    do for [i = 1 : X_STEPS] { eval(sprintf("set xtics %s ('%s' %d) scale 0 nomirror textcolor rgb INK", i > 1 ? 'add' : '', X_STEP[i], i - 1)) }
    do for [i = 1 : Y_STEPS] { eval(sprintf("set ytics %s ('%s' %d) scale 0 nomirror textcolor rgb INK", i > 1 ? 'add' : '', column ? '' : Y_STEP[i], i - 1)) }
    plot DATA index p - 1 using 1:2:(0.5):(0.5):3 with boxxyerror fillstyle solid 1 noborder linecolor palette, \
      DATA index p - 1 using 1:2:4:(on_shade($3)) with labels rotate by (UPRIGHT ? 90 : 0) textcolor rgb variable
    unset label
  }
  unset multiplot
  unset output
  DONE = outline(format)
}
