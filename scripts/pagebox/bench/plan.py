"""plan.py: how much time each row of a benchmark run gets, so that the run ends in time.

Used by bench.py. A pilot round runs every row briefly: it warms up files and caches, and measures the cost of each
row with its set-up. Then each row gets an equal share of the budget per round; rows with several threads
get more because they vary more. The time left at the end goes to rows whose interval is still wide.
"""
LEAST_S, MOST_S = 0.002, 0.2  # seconds of measuring, per row and round


def time_of(cost_s, pilot_s, share_s):
    """(measuring, total) seconds for a row that took cost_s in the pilot with pilot_s of measuring. A larger share buys
    more measuring in proportion, but never less than in the pilot, where the cost was mostly set-up."""
    time_s = min(MOST_S, max(min(LEAST_S, pilot_s), pilot_s * share_s / cost_s))
    return (time_s, cost_s * time_s / pilot_s) if time_s > pilot_s else (pilot_s, cost_s)


def plan(costs, pilots, weights, budget_s, rounds, rounds_min):
    """(rounds, {name: seconds of measuring}, total seconds): up to `rounds` rounds within the budget, and at least
    rounds_min even if that takes longer."""
    least_s = sum(costs.values())
    rounds = max(rounds_min, min(rounds, int(budget_s / least_s))) if least_s else rounds

    def total(share_s):
        return sum(time_of(costs[n], pilots[n], share_s * weights[n])[1] for n in costs)

    low, high = 0.0, 10.0  # seconds per row and round
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) * rounds <= budget_s else (low, middle)
    times = {n: time_of(costs[n], pilots[n], low * weights[n])[0] for n in costs}
    return rounds, times, total(low) * rounds


def extra_rows(widths, beside, costs, left_s):
    """The rows for one more round: widest intervals first, each with the rows that it is compared with, within left_s.
    widths: only of rows with a wide interval."""
    chosen, spent = {}, 0.0
    for name in sorted(widths, key=widths.get, reverse=True):
        wanted = [n for n in (name, *beside.get(name, ())) if n in costs and n not in chosen]
        cost = sum(costs[n] for n in wanted)
        if spent + cost > left_s:
            continue
        spent += cost
        chosen |= dict.fromkeys(wanted)
    return list(chosen)
