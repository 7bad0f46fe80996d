"""censored.py: times until caught, some of them censored (cut off by the end of the run).

A sample is a list of (time, caught). A run without a catch is known to take longer than its time. It is never
left out, which would make a slow fuzzer look fast.
"""
import statistics

import numpy
import scipy.stats


def survival(sample):
    """Kaplan-Meier: steps [(time, share not caught yet)], from (0, 1)."""
    share, steps = 1.0, [(0.0, 1.0)]
    for time in sorted({t for t, caught in sample if caught}):
        at_risk = sum(t >= time for t, _ in sample)
        share *= 1 - sum(caught and t == time for t, caught in sample) / at_risk
        steps.append((time, share))
    return steps


def median(sample):
    """The time at which half are caught; None if fewer than half are."""
    return next((time for time, share in survival(sample) if share <= 0.5), None)


def spread(sample):
    """(first, third) quartile; None for one that was not reached."""
    steps = survival(sample)
    return tuple(next((t for t, share in steps if share <= s), None) for s in (0.75, 0.25))


def restricted_mean(sample, until):
    """The mean time until caught, with no time counted as longer than `until`."""
    steps = [step for step in survival(sample) if step[0] < until] + [(until, 0.0)]
    return sum(share * (later - time) for (time, share), (later, _) in zip(steps, steps[1:]))


def log_rank(strata):
    """Stratified log-rank test of two groups. strata: pairs (sample, sample), one per defect, so that only runs of the
    same defect are compared. Two-sided p; None if the data say nothing."""
    excess = variance = 0.0
    for first, second in strata:
        both = first + second
        for time in {t for t, caught in both if caught}:
            at_risk, mine = (sum(t >= time for t, _ in group) for group in (both, first))
            events = sum(caught and t == time for t, caught in both)
            own = sum(caught and t == time for t, caught in first)
            excess += own - events * mine / at_risk
            if at_risk > 1:
                share = mine / at_risk
                variance += events * share * (1 - share) * (at_risk - events) / (at_risk - 1)
    return float(scipy.stats.chi2.sf(excess**2 / variance, 1)) if variance > 0 else None


def faster(strata):
    """Effect size (Vargha and Delaney): how often a run of the first group catches before one of the second on the same
    defect; ties count half; mean over the defects. 0.5 means no difference."""
    shares = []
    for first, second in strata:
        wins = [before(a, b) for a in first for b in second]
        if wins:
            shares.append(statistics.fmean(wins))
    return statistics.fmean(shares) if shares else None


def before(a, b):
    """1, 0, or 0.5 if unknown."""
    (time_a, caught_a), (time_b, caught_b) = a, b
    if caught_a and (time_a < time_b or (not caught_b and time_a <= time_b)):
        return 1.0
    if caught_b and (time_b < time_a or (not caught_a and time_b <= time_a)):
        return 0.0
    return 0.5


def mann_whitney(first, second):
    """Two-sided p for one defect; runs without a catch rank after all runs with one."""
    worst = max((t for t, _ in first + second), default=0) + 1
    ranks = [[t if caught else worst for t, caught in group] for group in (first, second)]
    if min(map(len, ranks)) < 2 or len(set(map(float, numpy.concatenate(ranks)))) < 2:
        return None
    return float(scipy.stats.mannwhitneyu(*ranks, alternative="two-sided").pvalue)
