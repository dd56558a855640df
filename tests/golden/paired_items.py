#!/usr/bin/env python3
"""Golden statistics of items that are right or wrong: by scipy, statsmodels and lm-evaluation-harness.

    paired_items.py --out paired_items.json

Needs Python 3 with numpy, scipy, statsmodels and lm_eval. The numbers that samples are made of come from
a recurrence in whole numbers, `whole`, so that the test makes the same.
"""
import argparse
import json

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

try:
    from lm_eval.api.metrics import mean_stderr
except ImportError as error:
    raise SystemExit(f"lm_eval is needed: {error}")

EXACT = 25
RESAMPLES = 2000
MASK = (1 << 64) - 1


def whole(count, seed):
    """`count` numbers of [0, 1): 16 bits of x = 6364136223846793005 x + 1442695040888963407."""
    x, out = seed, []
    for _ in range(count):
        x = (x * 6364136223846793005 + 1442695040888963407) & MASK
        out.append((x >> 48) / 65536)
    return np.array(out)


def mcnemar_cases():
    pairs = [(0, 0), (0, 1), (1, 1), (0, 5), (0, 6), (3, 9), (12, 12), (2, 22), (5, 19), (7, 17), (12, 13),
             (8, 17), (5, 20), (30, 30), (20, 40), (22, 38), (100, 140), (400, 391), (3, 1000)]
    rows = []
    for lost, gained in pairs:
        exact = lost + gained < EXACT
        test = mcnemar([[50, lost], [gained, 7]], exact=exact, correction=False)
        p = 1.0 if lost + gained == 0 else float(test.pvalue)
        if exact and lost + gained:
            assert abs(p - stats.binomtest(lost, lost + gained).pvalue) < 1e-12
        rows.append({"lost": lost, "gained": gained, "p": p})
    return rows


def wilson_cases():
    return [{"right": right, "items": items,
             "interval": [float(x) for x in proportion_confint(right, items, method="wilson")]}
            for right, items in [(0, 1), (1, 1), (0, 20), (13, 20), (200, 400), (399, 400), (7000, 10042)]]


def mix(z):
    z = z.astype(np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def drawn(seed, resample, items):
    index = np.arange(items, dtype=np.uint64)
    z = np.uint64(seed << 32 | resample) + index * np.uint64(0x9E3779B97F4A7C15)
    return ((mix(z) >> np.uint64(40)).astype(float) * 2.0**-24 * items).astype(int)


def bootstrap(before, after, seed):
    """By numpy with the draws that the header states; scipy's interval beside it, of its own draws."""
    def change(a, b, axis=-1):
        return np.mean(b, axis) - np.mean(a, axis)
    items = len(before)
    changes = np.array([change(before[i], after[i]) for i in (drawn(seed, r, items) for r in range(RESAMPLES))])
    other = stats.bootstrap((before, after), change, paired=True, method="percentile", n_resamples=9999,
                            rng=np.random.default_rng(1))
    return {"interval": [float(x) for x in np.quantile(changes, [0.025, 0.975])],
            "scipy_interval": [float(other.confidence_interval.low), float(other.confidence_interval.high)]}


def samples():
    """Two models on the same items: right or wrong, and log-likelihoods."""
    rows = []
    for items, seed in [(12, 1), (40, 2), (300, 3)]:
        level = whole(items, seed)
        right = [(level + 0.3 * whole(items, seed + 10 * k) > 0.6).astype(float) for k in (1, 2)]
        nats = [-(4 * level + whole(items, seed + 10 * k)) for k in (3, 4)]
        rows.append({"items": items, "seed": seed, "right": [int(r.sum()) for r in right],
                     "se": [float(mean_stderr(list(r))) for r in right],
                     "change_se": float(stats.sem(right[1] - right[0])),
                     "t_p": float(stats.ttest_rel(nats[1], nats[0]).pvalue),
                     "bootstrap": bootstrap(*right, 7)})
    return rows


def holm():
    p = [0.01, 0.04, 0.03, 0.005, 0.9, 0.011]
    return {"p": p, "corrected": [float(x) for x in multipletests(p, method="holm")[1]]}


def power_of(items, turned, d):
    """Of the test as it is done: exact below EXACT that turned, else chi-square without correction."""
    turned_counts, power = np.arange(items + 1), 0.0
    for m, chance in zip(turned_counts, stats.binom.pmf(turned_counts, items, turned)):
        gained = np.arange(m + 1)
        if m < EXACT:
            p = np.minimum(1, 2 * stats.binom.cdf(np.minimum(gained, m - gained), m, 0.5))
        else:
            p = stats.chi2.sf((2 * gained - m) ** 2 / m, 1)
        power += chance * stats.binom.pmf(gained, m, (turned + d) / (2 * turned))[p < 0.05].sum()
    return float(power)


def detectable():
    rows = []
    for items, turned in [(300, 0.05), (300, 0.1), (300, 0.2), (1267, 0.1), (10042, 0.05), (50, 0.3)]:
        level, power = stats.norm.isf(0.025), stats.norm.isf(0.2)
        d = optimize.brentq(lambda d: items * d * d - (level * turned**0.5 + power * (turned - d * d) ** 0.5) ** 2,
                            1e-9, turned, xtol=1e-14)
        rows.append({"items": items, "turned": turned, "difference": float(d),
                     "power": power_of(items, turned, d)})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    with open(arguments.out, "w", encoding="utf-8") as out:
        json.dump({"mcnemar": mcnemar_cases(), "wilson": wilson_cases(), "samples": samples(),
                   "holm": holm(), "detectable": detectable()}, out, indent=1)
        out.write("\n")
