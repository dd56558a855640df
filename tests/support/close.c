#include "tests/support/close.h"

#include <math.h>
#include <stdio.h>

bool bs_close(double got, double want, double absolute, double relative)
{
    if (fabs(got - want) <= absolute + relative * fabs(want))
        return true;
    fprintf(stderr, "got %.17g, want %.17g (absolute %g, relative %g)\n", got, want, absolute,
            relative);
    return false;
}
