/* The line that each plug-in of the tests has in its registry. A test build compiles the registries
 * with these beside their own rows; the program itself never sees them. */
#ifndef BS_TESTS_PLUGINS_LINES_H
#define BS_TESTS_PLUGINS_LINES_H

#define BS_MORE_ALGORITHMS(X) X(spin) X(tails)
#define BS_MORE_FORMATS(X) X(affine) X(ladder)
#define BS_MORE_STATISTICS(X) X(kurtosis)
#define BS_MORE_EVALUATIONS(X) X(last_word)
#define BS_MORE_METRICS(X) X(zeros)
#define BS_MORE_KERNELS(X) X(doubles)

#endif
