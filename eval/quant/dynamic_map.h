/* bitsandbytes' dynamic map: what the codes of 8 bits stand for that the absmax of blocks become
 * where they are quantized again (create_dynamic_map). */
#ifndef BS_EVAL_QUANT_DYNAMIC_MAP_H
#define BS_EVAL_QUANT_DYNAMIC_MAP_H

enum { BS_DYNAMIC_CODES = 256 };

/* Makes the map, once; what follows needs it. */
void bs_dynamic_map_make(void);

/* The values [BS_DYNAMIC_CODES], ascending. */
const float *bs_dynamic_map(void);

/* The code of x, as the library's search finds it. */
int bs_dynamic_code(float x);

#endif
