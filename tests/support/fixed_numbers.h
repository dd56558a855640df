/* Numbers that scripts of tests/golden make too. */
#ifndef BS_TESTS_SUPPORT_FIXED_NUMBERS_H
#define BS_TESTS_SUPPORT_FIXED_NUMBERS_H

/* Uniform in [-0.5, 0.5), of 24 bits, the same at every call: `uniform` of formats.py. */
void fixed_uniform(float *out, int count);

#endif
