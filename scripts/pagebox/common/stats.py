"""stats.py: statistics: exact signed-rank test, Holm, Hodges-Lehmann, power.

Pure functions of numbers, without clocks or files; scripts/tests/test_gate_stats.py checks them against
scipy and by simulation. Differences are paired log-ratios, ln(head / base): 0.05 is +5 %.
"""
import functools
import math
import statistics

import scipy.stats

TAIL = 0.05  # for a family of tests, after Holm
POWER = 0.95  # per stage: a suspect has to show twice, which then happens nine times out of ten
MEDIAN_TO_SIGMA = 1.4826  # of a normal distribution
HL_TO_MEAN = 1.05  # standard error of Hodges-Lehmann relative to the mean's, rounded up


def midranks(values):
    """Ranks from 1, doubled so that ties' halves stay whole numbers."""
    return [round(2 * rank) for rank in scipy.stats.rankdata(values)]


def signed_rank(differences):
    """Wilcoxon's signed-rank test, exact, ties by mid-ranks, zeros left out: (two_sided, greater, less) p values. All 1
    if no pair differs."""
    values = [d for d in differences if d != 0]
    if not values:
        return 1.0, 1.0, 1.0
    ranks = midranks([abs(v) for v in values])
    total = sum(ranks)
    ways = [1] + [0] * total  # ways[s]: number of sign patterns whose positive ranks add up to s
    for rank in ranks:
        for s in range(total, rank - 1, -1):
            ways[s] += ways[s - rank]
    positive = sum(r for r, v in zip(ranks, values) if v > 0)
    everything = 2 ** len(values)
    greater = sum(ways[positive:]) / everything
    less = sum(ways[: positive + 1]) / everything
    return min(1.0, 2 * min(greater, less)), greater, less


def holm(ps):
    """p values corrected for their number, in the given order; None (unknown) stays None."""
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted, worst = list(ps), 0.0
    for place, (p, i) in enumerate(known):
        worst = max(worst, min(1.0, p * (len(known) - place)))
        adjusted[i] = worst
    return adjusted


median = statistics.median


@functools.cache
def interval_index(n, confidence):
    """How many of the sorted Walsh averages to leave out at each end, by the exact distribution of the rank sum; None
    if there are too few pairs for that confidence."""
    total = n * (n + 1) // 2
    ways = [1] + [0] * total
    for rank in range(1, n + 1):
        for s in range(total, rank - 1, -1):
            ways[s] += ways[s - rank]
    tail, below = (1 - confidence) / 2 * 2**n, 0
    for out in range(total + 1):
        below += ways[out]
        if below > tail:
            return out - 1 if out else None
    return None


def hodges_lehmann(differences, confidence=0.95):
    """(shift, low, high): the median of all pairwise means, and its exact interval; an end that too few pairs cannot
    bound is infinite."""
    n = len(differences)
    if n == 0:
        return 0.0, -math.inf, math.inf
    walsh = sorted((differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n))
    out = interval_index(n, confidence)
    if out is None:
        return median(walsh), -math.inf, math.inf
    return median(walsh), walsh[out], walsh[-1 - out]


def sigma(differences):
    """Spread of one pair, from the median absolute deviation, so that outliers do not count."""
    if len(differences) < 2:
        return math.inf
    middle = median(differences)
    return MEDIAN_TO_SIGMA * median([abs(d - middle) for d in differences])


def spread(differences, low, high):
    """Spread of one pair, for detectable(): that of most pairs, or the one that the interval of the shift implies if
    that is larger (figures that jump between two levels)."""
    if not math.isfinite(high - low):
        return sigma(differences)
    by_interval = (
        (high - low) / 2 / normal_quantile(0.975) * math.sqrt(len(differences)) / HL_TO_MEAN
    )
    return max(sigma(differences), by_interval)


def normal_quantile(p):
    return statistics.NormalDist().inv_cdf(p)


def detectable(spread, pairs, threshold, tests):
    """The smallest shift (a log-ratio) that would be reported as a regression nine times out of ten: it must exceed the
    threshold, and be significant among so many tests."""
    if pairs < 2 or not math.isfinite(spread):
        return math.inf
    error = HL_TO_MEAN * spread / math.sqrt(pairs)
    power = normal_quantile(POWER) * error
    significant = normal_quantile(1 - TAIL / 2 / max(1, tests)) * error
    return max(threshold, significant) + power


def pairs_needed(tests):
    """With fewer pairs nothing could be significant."""
    pairs = 1
    while 2 * 2.0**-pairs * tests >= TAIL:
        pairs += 1
    return pairs


def clopper_pearson(hits, trials, confidence=0.95):
    """Exact confidence interval of a probability."""
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(scipy.stats.beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(scipy.stats.beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high


def verdict(shift, p, threshold, pairs, tests, seen, seen_limit):
    """One row's verdict. p: two-sided, after Holm. seen: detectable(); above seen_limit even a large change would not
    have been found, so finding none means nothing."""
    if p < TAIL and shift > threshold:
        return "regression"
    if p < TAIL and shift < -threshold:
        return "improvement"
    if pairs < pairs_needed(tests) or seen > seen_limit:
        return "inconclusive"
    return "pass"


def change_points(values, least=4, alpha=0.001):
    """Where a series changes its level: binary segmentation on ranks. Each cut is where the rank-sum statistic is
    largest; it is kept if that exceeds the quantile for the best of all cuts."""
    found = []

    def split(low, high):
        n = high - low
        if n < 2 * least:
            return
        ranks = [rank / 2 - (n + 1) / 2 for rank in midranks(values[low:high])]
        square = sum(rank * rank for rank in ranks) / n / (n - 1)  # smaller if many are equal
        best, best_cut, running = 0.0, None, 0.0
        for cut in range(1, n):
            running += ranks[cut - 1]
            if square and least <= cut <= n - least:
                scale = math.sqrt(cut * (n - cut) * square)
                if abs(running) / scale > best:
                    best, best_cut = abs(running) / scale, cut
        if best_cut is not None and best > normal_quantile(1 - alpha / 2 / n):
            found.append(low + best_cut)
            split(low, low + best_cut)
            split(low + best_cut, high)

    split(0, len(values))
    return sorted(found)
