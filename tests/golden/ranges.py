"""Writes ranges.json: the ranges that NVIDIA Model-Optimizer's histogram calibrator and PyTorch's
observer find in batches of fixed numbers.

    python3 tests/golden/ranges.py > tests/golden/ranges.json

tests/conformance/test_golden_ranges.c makes the same batches.
"""
import json

import numpy as np
import torch
from modelopt.torch.quantization.calib import HistogramCalibrator, histogram
from torch.ao.quantization.observer import HistogramObserver, MovingAverageMinMaxObserver

from formats import ROWS, WIDTH, uniform


def fake_quantize(x, amax, bits, unsigned):
    """The library's own needs a GPU; the calibrator around it does not."""
    scale = (2**(bits - 1) - 1) / amax
    return torch.clamp((x * scale).round(), -scale * amax, scale * amax) / scale


histogram.fake_tensor_quant = fake_quantize
ENTROPY = ((0, 1), (0, 4), (2, 2))  # what takes long


def batches():
    u = uniform(4 * ROWS * WIDTH).reshape(4, ROWS * WIDTH)
    made = [u[0] + u[1] + u[2], u[1] * u[2] * np.float32(4), (u[0] - u[3]) * u[1] * np.float32(9), u[3]]
    return [torch.from_numpy(x.astype(np.float32).copy()) for x in made]


def main():
    rows = []
    for first in range(4):
        for count in range(1, 5 - first):
            part = batches()[first:first + count]
            for settings, method, bits, more in (
                    ("range=percentile range_percentile=99.99", "percentile", 8, {"percentile": 99.99}),
                    ("range=percentile range_percentile=99", "percentile", 8, {"percentile": 99}),
                    ("range=entropy", "entropy", 8, {}), ("range=entropy range_bits=4", "entropy", 4, {}),
                    ("range=histogram_mse", "mse", 8, {}), ("range=histogram_mse range_bits=4", "mse", 4, {})):
                if method == "entropy" and (first, count) not in ENTROPY:
                    continue
                calibrator = HistogramCalibrator(num_bits=bits)
                for x in part:
                    calibrator.collect(x.clone())
                most = float(calibrator.compute_amax(method, **more))
                rows.append({"settings": settings, "first": first, "count": count, "high": most.hex()})
            for constant in 0.01, 0.3:
                observer = MovingAverageMinMaxObserver(averaging_constant=constant)
                for x in part:
                    observer(x)
                rows.append({"settings": f"range=moving_average range_constant={constant}", "first": first,
                             "count": count, "low": float(observer.min_val).hex(),
                             "high": float(observer.max_val).hex()})
            for bits in 8, 4:
                observer = HistogramObserver()
                observer.dst_nbins = 2**bits
                for x in part:
                    observer(x)
                low, high = observer._non_linear_param_search()
                rows.append({"settings": f"range=histogram range_bits={bits}", "first": first, "count": count,
                             "low": float(low).hex(), "high": float(high).hex()})
    print("[" + ",\n ".join(map(json.dumps, rows)) + "]")


if __name__ == "__main__":
    main()
