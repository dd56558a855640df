# The largest |x| of every channel of a site: a row of panels for each site, of one block, a column for each version
# of the model.
FITS = int((WIDTH - 220.0) / VERSIONS / LETTER)
parted(name) = strlen(name) > FITS && strstrt(name, '+') > 0 ? \
  name[1 : strstrt(name, '+')] . "\n" . name[strstrt(name, '+') + 1 : *] : name
PARTED = 0
do for [v = 1 : VERSIONS] { PARTED = PARTED || (parted(VERSION[v]) ne VERSION[v]) }
HEAD = 160 + (PARTED ? 44 : 0) + TITLE_MORE
PANEL = SINGLE ? 230 : 290
HEIGHT = HEAD + (PANEL + 130) * SITES + 4
LEFT = 200.0 / WIDTH
RIGHT = 1 - 24.0 / WIDTH
CELL_X = (RIGHT - LEFT) / VERSIONS
GAP_X = 16.0 / WIDTH
head(v) = parted(VERSION[v]) . (PARTED && parted(VERSION[v]) eq VERSION[v] ? "\n" : '') . "\n"

do for [format in PICTURES] {
  eval(terminal(format, WIDTH, HEIGHT))
  eval(scale_for(format))
  set output BASE . '.' . format
  set multiplot
  set label 1 SECTION at screen 0.5, screen 1 - 34.0 / HEIGHT center textcolor rgb INK
  set label 3 SINGLE ? 'channel (dashed: the median)' : 'channel (dashed: the median; over the panels: the largest over it)' at screen (LEFT + RIGHT) / 2, screen 26.0 / HEIGHT center textcolor rgb INK
  set logscale y
  set grid ytics linestyle 100
  unset key
  do for [s = 1 : SITES] {
    set yrange [LOW[s] : HIGH[s]]
    set xrange [-0.01 * CHANNELS[s] : 1.01 * CHANNELS[s]]
    MOST_TICKS = WIDTH * (CELL_X - GAP_X) / (CHANNELS[s] < 1000 ? 100 : 140)
    STEP = 10 ** floor(log10(CHANNELS[s])) / 10.0
    do for [m in '2 2.5 2 2 2.5 2'] { STEP = CHANNELS[s] / STEP > MOST_TICKS ? m * STEP : STEP }
    set xtics 0, STEP, 0.9 * CHANNELS[s]
    set xtics scale 0.6 nomirror
    ROW_TOP = 1 - (HEAD + (s - 1) * (PANEL + 130.0)) / HEIGHT
    set label 2 sprintf("%s, block %d\nlargest |x|", SITE[s], BLOCK[s]) at screen 32.0 / WIDTH, screen ROW_TOP - PANEL / 2.0 / HEIGHT center rotate textcolor rgb INK
    set tmargin at screen ROW_TOP
    set bmargin at screen ROW_TOP - 1.0 * PANEL / HEIGHT
    WIDE = HIGH[s] / LOW[s] > 60
    do for [v = 1 : VERSIONS] {
      k = (s - 1) * VERSIONS + v
      set lmargin at screen LEFT + (v - 1) * CELL_X + GAP_X
      set rmargin at screen LEFT + v * CELL_X
      set title (s == 1 ? head(v) : '') . (MOST[k] == MOST[k] ? sprintf(MOST[k] < 100 * MEDIAN[k] ? '%.3g×' : '%.0f×', MOST[k] / MEDIAN[k]) : 'not measured') offset 0, -0.7
      eval('set ytics (' . (v == 1 ? (WIDE ? DECADES : LABELLED) : (WIDE ? DECADES_BARE : BARE)) . ')')
      plot DATA index k - 1 using 1:2 with impulses linecolor rgb colour(v == 1 ? 8 : v - 1) linewidth 0.8, \
        MEDIAN[k] with lines linestyle 101
      unset label
    }
  }
  unset multiplot
  unset logscale y
  unset output
  DONE = outline(format)
}
