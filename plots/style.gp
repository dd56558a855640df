# What all charts share: the colours of Okabe and Ito, which the colour-blind can tell apart, with a
# shape of its own for each, so that a chart still reads in grey.
set encoding utf8
set termoption noenhanced
set datafile separator "\t"
set datafile missing 'nan'

array PALETTE[8] = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#999999']
array FILLED[8] = [7, 5, 9, 13, 11, 15, 7, 5]
array OPEN[8] = [6, 4, 8, 12, 10, 14, 6, 4]

wrap(i, n) = (int(i) - 1) % n + 1
colour(i) = PALETTE[wrap(i, 8)]
shape(i, dash) = int(dash) % 2 == 1 ? FILLED[wrap(i, 8)] : OPEN[wrap(i, 8)]

set style line 100 linecolor rgb '#dddddd' linewidth 0.7
set style line 101 linecolor rgb '#777777' linewidth 1.3 dashtype (12, 8)
set style line 102 linecolor rgb '#555555' linewidth 0.8
set border linestyle 102
set tics textcolor rgb '#000000'

FONT = 'DejaVu Sans'
terminal(format, width, height) = format eq 'png' \
  ? sprintf("set terminal pngcairo noenhanced size %d,%d font '%s,24' linewidth 2.4 background rgb 'white'", width, height, FONT) \
  : sprintf("set terminal svg noenhanced size %d,%d font '%s,32' linewidth 2.6 background rgb 'white'", width, height, FONT)

# The svg terminal draws larger points and higher lines of text than pngcairo does: with these,
# set for each picture, both look the same.
scale_for(format) = format eq 'png' ? \
  "POINT = 1.0; SPACING = 1.15; RAISE = 0.3" : \
  "POINT = 0.37; SPACING = 0.9; RAISE = 0.75"

# Ticks of a logarithmic axis at 1, 2 and 5, with their numbers and without; more where it is short;
# and at decades.
DECADES = ''
LABELLED = ''
DENSE = ''
BARE = ''
do for [e = -7 : 7] {
  do for [m in '1 1.5 2 3 4 5 7'] {
    value = sprintf('%g', m * 10.0 ** e)
    DENSE = DENSE . (strlen(DENSE) ? ', ' : '') . sprintf("'%s' %s", value, value)
  }
  DECADES = DECADES . (strlen(DECADES) ? ', ' : '') . sprintf("'%g' %g", 10.0 ** e, 10.0 ** e)
  do for [m in '1 2 5'] {
    value = sprintf('%g', m * 10.0 ** e)
    LABELLED = LABELLED . (strlen(LABELLED) ? ', ' : '') . sprintf("'%s' %s", value, value)
    BARE = BARE . (strlen(BARE) ? ', ' : '') . sprintf("'' %s", value)
  }
}
