# A value (perplexity) against the bits of the weights, a line for each recipe, with a close-up of the better
# ones; below it the trials whose activations are quantized too. Bars are one standard error of the
# paired difference to the unquantized model (thick ones the deviation of one draw of calibration,
# where there are several): it is what tells recipes apart, since all of them share
# the noise of the text. Crosses are what was published for a trial.
# Series that are too many to be named are points: their lines would be a tangle of one colour.
LINES = !MEASURED_BITS
ENDS = MEASURED_BITS ? 0 : 1
KEY_HEIGHT = KEYS > 0 ? ROW_HEIGHT * KEY_ROWS + 30 : 0
LINES_HEIGHT = N > 0 ? (SINGLE ? 740 : 900) + KEY_HEIGHT + TITLE_MORE : 0
DOTS_TITLE = 65.0 + (N > 0 ? 0 : TITLE_MORE)
# A dot's name stands beside the axis; above the dot where the picture is narrow.
DOTS_HEIGHT = DOTS > 0 ? 125 + DOTS_TITLE + (SINGLE ? 84 : 52) * DOTS : 0
DOTS_SPAN = DOTS > 0 ? DOTS_HIGH - DOTS_LOW : 1.0
DOTS_STEP = 10.0 ** floor(log10(DOTS_SPAN / 4.0))
DOTS_STEP = DOTS_STEP * (DOTS_SPAN > 20 * DOTS_STEP ? 5 : DOTS_SPAN > 8 * DOTS_STEP ? 2 : 1)
HEIGHT = LINES_HEIGHT + DOTS_HEIGHT
PANELS = CLOSE_HIGH > 0 && !SINGLE ? 2 : 1
# Room for the numbers beside the axis, of which there are some six, and its label.
STEP = N > 0 && !LOG_Y ? (Y_HIGH - Y_LOW) / 6 : 1
DECIMALS = STEP < 1 ? int(ceil(-log10(STEP))) : 0
DIGITS = N > 0 ? int(floor(log10(Y_HIGH > 1 ? Y_HIGH : 1))) + 1 + DECIMALS + (DECIMALS > 0) : 0
LEFT = 100 + LETTER * DIGITS
LEFT = (LEFT > 175 ? LEFT : 175.0) / WIDTH
RIGHT = 1 - 24.0 / WIDTH
KEY_X = (LEFT + RIGHT) / 2
DOTS_NAME = 'activations or cache quantized too'
ERROR = PAIRED ? (SINGLE ? ' ± paired s.e.' : ' ± s.e. of the paired difference') : ' ± s.e.'
KEY_TOP = (DOTS_HEIGHT + KEY_HEIGHT - 30.0) / HEIGHT

# What was published, in a block of the data that is there only where anything was.
CROSSES = PUBLISHED ? ", for [s = 1 : N] DATA index N + 1 using ($3 == s ? $1 : NaN):2 with points linecolor rgb colour(COLOURS[s]) pointtype 2 linewidth 1.6 pointsize 2 * POINT" : ""

do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  set output BASE . '.' . format
  set multiplot
  do for [panel = 1 : N > 0 ? PANELS : 0] {
    set lmargin at screen panel == 1 ? LEFT : 0.595
    set rmargin at screen PANELS == 2 && panel == 1 ? 0.505 : RIGHT
    set tmargin at screen 1 - (TITLE_MORE + (PANELS == 2 ? 115.0 : 60.0)) / HEIGHT
    set bmargin at screen (DOTS_HEIGHT + KEY_HEIGHT + 120.0) / HEIGHT
    set title (panel == 1 ? (PANELS == 2 ? 'all' : '') : 'close-up') offset 0, -0.5
    set xlabel (MEASURED_BITS ? 'bits per weight in a file' : 'weight bits') offset 0, RAISE
    if (panel == 1) { set ylabel VALUE . ERROR offset (LOG_Y ? -0.7 : 0.6), 0 } else { unset ylabel }
    set grid noxtics ytics linestyle 100
    unset key
    set xtics X_HIGH - X_LOW > 10 ? 2 : 1
    set ytics scale 1 autofreq textcolor rgb INK
    unset logscale
    set errorbars ENDS
    if (MEASURED_BITS) {
      set logscale x
      set xtics (1, 1.5, 2, 3, 4, 5, 6, 8, 12, 16)
    }
    if (panel == 1) {
      set xrange [X_LOW : X_HIGH]
      set yrange [Y_LOW : Y_HIGH]
      if (LOG_Y) {
        set logscale y
        eval('set ytics (' . (Y_HIGH < 8 * Y_LOW ? DENSE : Y_HIGH < 200 * Y_LOW ? LABELLED : DECADES) . ')')
      }
      set label 1 SECTION at screen KEY_X, screen 1 - 30.0 / HEIGHT center textcolor rgb INK
      do for [k = 1 : KEYS] {
        eval(key_arrow(k))
        eval(key_point(k))
        eval(key_name(k))
      }
    } else {
      set xrange [CLOSE_LEFT : CLOSE_RIGHT]
      if (MEASURED_BITS) { set xtics add (2.5, 3.5, 4.5, 7, 10) }
      set yrange [CLOSE_LOW : CLOSE_HIGH]
    }
    if (PUBLISHED && panel == 1) {
      set label 4 '✕ published' at graph 0.98, graph (SPREADS ? 0.9 : 0.96) right textcolor rgb SOFT
    }
    if (SPREADS && panel == 1) {
      set label 3 'thick: s.d. over seeds of calibration' at graph 0.98, graph 0.96 right textcolor rgb SOFT
    }
    # The level has its name at the lower edge, where the range leaves room below all that is drawn.
    if (UNQUANTIZED == UNQUANTIZED && panel == PANELS) {
      set label 2 sprintf('╌╌ unquantized %.4g', UNQUANTIZED) at graph 0.02, graph 0.05 \
        textcolor rgb SOFT
    }
    plot UNQUANTIZED with lines linestyle 101, \
      for [s = 1 : N] DATA index s - 1 using 1:2:3 with yerrorbars \
        linecolor rgb colour(COLOURS[s]) linewidth 0.8 pointtype -1, \
      for [s = 1 : N] DATA index s - 1 using 1:(strcol(6) eq "none" ? NaN : $2):(strcol(6) eq "none" ? 0 : $6) with yerrorbars \
        linecolor rgb colour(COLOURS[s]) linewidth 2.4 pointtype -1, \
      for [s = 1 : N] DATA index s - 1 using 1:(MEASURED_BITS ? NaN : $2) with lines \
        linecolor rgb colour(COLOURS[s]) dashtype DASHES[s], \
      for [s = 1 : N] DATA index s - 1 using 1:2 with points \
        linecolor rgb colour(COLOURS[s]) pointtype shape(SHAPES[s], DASHES[s]) \
        pointsize 1.6 * POINT @CROSSES
    unset label
    unset arrow
  }
  if (DOTS > 0) {
    left = (40 + LETTER * LONGEST_DOT) / WIDTH
    set lmargin at screen SINGLE ? 40.0 / WIDTH : left < 0.74 ? left : 0.74
    set rmargin at screen RIGHT
    set tmargin at screen (DOTS_HEIGHT - DOTS_TITLE) / HEIGHT
    set bmargin at screen 115.0 / HEIGHT
    # Over the points; further left where they have too little room for it.
    half = LETTER * strlen(DOTS_NAME) / 2 / WIDTH
    centre = ((SINGLE ? 40.0 / WIDTH : left < 0.74 ? left : 0.74) + RIGHT) / 2
    if (N > 0) {
      unset title
      set label 5 DOTS_NAME at screen (centre < RIGHT - half ? centre : RIGHT - half), screen (DOTS_HEIGHT - DOTS_TITLE + 28.0) / HEIGHT center textcolor rgb INK
    } else { set title; set label 5 SECTION at screen KEY_X, screen (DOTS_HEIGHT - DOTS_TITLE + 28.0 + TITLE_MORE) / HEIGHT center textcolor rgb INK }
    set xlabel VALUE . (PAIRED ? ' ± paired s.e.' : ' ± s.e.') offset 0, RAISE
    unset ylabel
    unset logscale
    set grid xtics noytics linestyle 100
    set xrange [DOTS_LOW : DOTS_HIGH]
    set yrange [0.4 : DOTS + (SINGLE ? 0.8 : 0.6)]
    if (SINGLE) { set xtics DOTS_STEP } else { set xtics autofreq }
    if (LOG_DOTS) {
      set logscale x
      eval('set xtics (' . (DOTS_HIGH < 8 * DOTS_LOW ? DENSE : DOTS_HIGH < 200 * DOTS_LOW ? LABELLED : DECADES) . ')')
    }
    unset ytics
    set ytics scale 0 textcolor rgb INK
    # Names over points: no line goes through their letters.
    set style textbox opaque margins 0.1, 0.1 fillcolor rgb PAPER noborder
    unset key
    if (UNQUANTIZED == UNQUANTIZED) {
      set arrow 1 from first UNQUANTIZED, graph 0 to first UNQUANTIZED, graph 1 nohead linestyle 101 back
    }
    dot_name(name) = SINGLE ? '' : name
    plot DATA index N using 2:1:3:ytic(dot_name(strcol(5))) with xerrorbars linecolor rgb colour(1) pointtype 7 pointsize 1.6 * POINT, \
      for [once = 1 : SINGLE] DATA index N using (DOTS_LOW):($1 + 0.42):5 with labels left offset 0.5, 0 boxed textcolor rgb INK
    unset label
    unset arrow
    unset logscale
    unset ytics
  }
  unset multiplot
  unset output
  DONE = outline(format)
}
