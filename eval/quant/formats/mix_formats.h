/* The formats that mixes give tensors, for the list of all formats and for the mixes' own. */
#ifndef BS_EVAL_QUANT_FORMATS_MIX_FORMATS_H
#define BS_EVAL_QUANT_FORMATS_MIX_FORMATS_H

#define BS_MIX_FORMATS(X)                                                                          \
    X(q4_0)                                                                                        \
    X(q4_1)                                                                                        \
    X(q5_0)                                                                                        \
    X(q5_1)                                                                                        \
    X(q8_0)                                                                                        \
    X(q2_k)                                                                                        \
    X(q3_k)                                                                                        \
    X(q4_k)                                                                                        \
    X(q5_k)                                                                                        \
    X(q6_k)                                                                                        \
    X(iq4_nl)                                                                                      \
    X(iq4_xs)                                                                                      \
    X(tq1_0)                                                                                       \
    X(tq2_0)

#endif
