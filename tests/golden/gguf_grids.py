"""Writes eval/quant/formats/ggml_grids.c: the codebooks of GGUF's types with one, as gguf-py states them.

pip install gguf; then from the repository's top
    python tests/golden/gguf_grids.py
"""
import numpy as np
from gguf import quants

GRIDS = {"IQ2_XXS": 2, "IQ2_XS": 2, "IQ2_S": 2, "IQ3_XXS": 3, "IQ3_S": 3, "IQ1_S": 2}
HEAD = """/* Written by tests/golden/gguf_grids.py: the codebooks of the types that have one, a point a
 * number: its values' places among the levels, of 2 bits (IQ1, IQ2) or 3 (IQ3) each, the first
 * lowest. Facts of the format, as gguf-py's gguf/quants.py states them. */
#include "eval/quant/formats/ggml_decode.h"
"""


def points(name, bits):
    kind = getattr(quants, name)
    kind.init_grid()
    grid = kind.grid.reshape(kind.grid_shape)
    place = {float(v): i for i, v in enumerate(kind.grid_map)}
    return [sum(place[float(v)] << bits * j for j, v in enumerate(point)) for point in grid]


def main():
    out = [HEAD]
    for name, bits in GRIDS.items():
        numbers = points(name, bits)
        out.append(f"static const uint16_t {name.lower()}[{len(numbers)}] = {{")
        for at in range(0, len(numbers), 16):
            out.append("    " + " ".join(f"{n}," for n in numbers[at:at + 16]))
        out.append("};\n")
    out.append("const uint16_t *const bs_gguf_grids[BS_NUM_GRIDS] = {")
    for name in GRIDS:
        out.append(f"    [BS_GRID_{'IQ1' if name == 'IQ1_S' else name}] = {name.lower()},")
    out.append("};")
    with open("eval/quant/formats/ggml_grids.c", "w") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
