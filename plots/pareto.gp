# The increase of perplexity, or of another value what it gets worse by, against bits per weight, with the front of the trials that no smaller
# one beats. Ranges, margins and the places of labels come with the data, for they depend on each
# other.
KEY_X = (LEFT + RIGHT) / 2
LINES = 0
unset key
set lmargin at screen LEFT
set rmargin at screen RIGHT
set bmargin at screen BOTTOM
set tmargin at screen TOP
OVER = SINGLE ? '%s of %s over %.4g' : '%s of %s over unquantized (%.4g)'
RISE = UNQUANTIZED == UNQUANTIZED ? sprintf(OVER, CHANGE, VALUE, UNQUANTIZED) : VALUE
set logscale xy
set xrange [X_LOW : X_HIGH]
set yrange [Y_LOW : Y_HIGH]
set xtics (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 16)
if (X_HIGH < 3 * X_LOW) { set xtics add (3.5, 4.5, 7) }
eval('set ytics (' . (Y_HIGH < 100 * Y_LOW ? LABELLED : DECADES) . ')')
set grid xtics ytics linestyle 100
set label 1 OPEN_NOTE at screen KEY_X, screen 34.0 / HEIGHT center textcolor rgb SOFT

# Block N of the data is the labels of the front, block N + 1 its steps, block N + 2 the other labels.
do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  # Lines of a title are further apart in SVG: they begin nearer to what they are the title of. A
  # label beside the axis begins nearer to it too: it would be cut off at the edge of the picture.
  set title SECTION offset 0, (format eq 'svg' ? -0.9 : -0.4)
  set ylabel RISE offset (format eq 'svg' ? -0.1 : -1.4), 0
  set xlabel (SINGLE ? 'bits per weight' : 'bits per weight, scales and zero points counted') offset 0, RAISE
  do for [k = 1 : KEYS] {
    eval(key_arrow(k))
    eval(key_point(k))
    eval(key_name(k))
  }
  set output BASE . '.' . format
  plot DATA index N + 1 using 1:2 with steps linecolor rgb colour(0) linewidth 1.4, \
    DATA index N using 1:8:($6 - $1):($7 - $8) with vectors nohead linecolor rgb FINE linewidth 0.7, \
    for [s = 1 : N] DATA index s - 1 using 1:($7 > 0 || $4 <= $3 ? NaN : $2):($3 > Y_LOW ? $3 : Y_LOW):4 with yerrorbars \
      linecolor rgb colour(COLOURS[s]) linewidth 0.8 pointtype -1, \
    for [s = 1 : N] DATA index s - 1 using 1:($7 > 0 ? $8 : NaN):(0):(Y_LOW * 1.02 - $8) with vectors \
      size screen 0.008, 25 filled linecolor rgb colour(COLOURS[s]) linewidth 1.2, \
    for [s = 1 : N] DATA index s - 1 using 1:($5 > 0 ? NaN : $8) with points \
      linecolor rgb colour(COLOURS[s]) pointtype shape(SHAPES[s], 1) pointsize 2 * POINT, \
    for [s = 1 : N] DATA index s - 1 using 1:($5 > 0 ? $8 : NaN) with points \
      linecolor rgb colour(COLOURS[s]) pointtype shape(SHAPES[s], 2) pointsize 2 * POINT, \
    DATA index N + 2 using 4:5:3 with labels left textcolor rgb SOFT, \
    DATA index N using 4:5:3 with labels left textcolor rgb INK
  unset output
  DONE = outline(format)
}
