"""Every equation once more, slow and obvious: the judge that the fast code is held against.

Nothing here is used by the project itself. Loops and lists, one line an equation, no numpy tricks.
"""

from __future__ import annotations

import datetime
import itertools
import math
import statistics
import struct
from fractions import Fraction

# ---------------------------------------------------------------------------------------------------------- Normal Model


def z_normalised(window: list[float], least_sd: float = 0.0) -> list[float]:
    """Mean 0, standard deviation 1; a standard deviation below `least_sd` counts as that, one of 0 gives zeros."""
    mean = math.fsum(window) / len(window)
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in window) / len(window))
    divisor = max(sd, least_sd)
    return [(x - mean) / divisor if divisor > 0 else 0.0 for x in window]


def euclidean(one: list[float], other: list[float]) -> float:
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def normal_model_distance(subsequence: list[float], centroids: list[list[float]], weights: list[float], least_sd: float) -> float:
    """d = sum over the centroids of weight x distance to the nearest of its windows (NorM, definition 6; NormA, equation 4)."""
    length, total = len(subsequence), 0.0
    own = z_normalised(subsequence, least_sd)
    for centroid, weight in zip(centroids, weights, strict=True):
        windows = [z_normalised(centroid[j : j + length], 0.05) for j in range(len(centroid) - length + 1)]
        total += weight * min(euclidean(own, window) for window in windows)
    return total


def amplitude(subsequence: list[float], spread: float, floor: float) -> float:
    """|log(sd / sd of the model)|, both at least the floor."""
    mean = math.fsum(subsequence) / len(subsequence)
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in subsequence) / len(subsequence))
    return abs(math.log(max(sd, floor)) - math.log(max(spread, floor)))


def page_alarm(far: list[bool], back: int, decided: int) -> tuple[int, int] | None:
    """First place at which Page's sum reaches `decided`, and where it last left 0: as the largest sum of a stretch that ends there."""
    for place in range(len(far)):
        gains = [1 if x else -back for x in far[: place + 1]]
        sums = [sum(gains[start:]) for start in range(place + 1)]
        if max(sums) >= decided:
            return place, max(start for start in range(place + 1) if sums[start] == max(sums))
    return None


def trailing_excess(trail: list[float], usual: float, line: float) -> float:
    """What the median has over the usual distance, where more than half lies beyond the line."""
    return statistics.median(trail) - usual if sum(x > line for x in trail) > len(trail) / 2 else 0.0


def word_length(symbols: list[int]) -> float:
    """DL(v) = |v| H(v), in bits."""
    counts = {symbol: symbols.count(symbol) for symbol in symbols}
    return -len(symbols) * sum(n / len(symbols) * math.log2(n / len(symbols)) for n in counts.values())


def bitsave(clusters: list[list[list[float]]], cuts: list[float]) -> float:
    """Sum over the clusters of DLC(C) - DLC(C | centre), words with a symbol a point."""

    def word(window: list[float]) -> list[int]:
        return [sum(x >= cut for cut in cuts) for x in window]

    saved = 0.0
    for cluster in clusters:
        centre = word([sum(column) / len(cluster) for column in zip(*cluster, strict=True)])
        words = [word(window) for window in cluster]
        alone = sum(word_length(v) for v in words)
        given = word_length(centre) + sum(word_length([a - b for a, b in zip(v, centre, strict=True)]) for v in words)
        saved += alone - given
    return saved


def cluster_score(number: int, centroids: list[list[float]], starts: list[list[int]]) -> float:
    """Norm(c, C) = frequency^2 x coverage / sum of the distances to the other centroids."""
    own = starts[number]
    apart = sum(euclidean(centroids[number], other) for other in centroids)
    return len(own) ** 2 * (max(own) - min(own)) / (apart or 1.0)


def cluster_weight(number: int, centroids: list[list[float]], starts: list[list[int]]) -> float:
    """w = frequency^2 x coverage x centrality, each rescaled to [1, 2] over the clusters (NormA); the weights sum to 1."""

    def rescaled(values: list[float]) -> list[float]:
        low, high = min(values), max(values)
        return [1 + (x - low) / (high - low) if high > low else 1.0 for x in values]

    frequency = rescaled([float(len(own)) for own in starts])
    coverage = rescaled([float(max(own) - min(own)) for own in starts])
    centrality = rescaled([1 / (sum(euclidean(one, other) for other in centroids) or 1.0) for one in centroids])
    weights = [f * f * c * d for f, c, d in zip(frequency, coverage, centrality, strict=True)]
    return weights[number] / sum(weights)


def self_join(values: list[float], length: int) -> list[float]:
    """P_i: distance of every window to the nearest one that starts more than a quarter of its length away."""
    windows = [z_normalised(values[i : i + length]) for i in range(len(values) - length + 1)]
    apart = math.ceil(length / 4)
    return [min(euclidean(w, v) for j, v in enumerate(windows) if abs(i - j) > apart) for i, w in enumerate(windows)]


def windows_below_the_mean(profile: list[float], length: int) -> list[int]:
    """Starts of the windows with P_i < mean(P), the next the first that does not overlap the last."""
    chosen: list[int] = []
    for i, p in enumerate(profile):
        if p < sum(profile) / len(profile) and (not chosen or i - chosen[-1] >= length):
            chosen.append(i)
    return chosen


def centred_distance(distances: list[float], place: int, reach: int) -> float:
    """d_j - mean(d_{j-tau} ... d_{j+tau}), of what there is at the ends (NormA, several normals)."""
    around = distances[max(place - reach, 0) : place + reach + 1]
    return distances[place] - math.fsum(around) / len(around)


def point_score(distances: list[float], length: int, point: int) -> float:
    """Mean over the l points around a point of the distance of the subsequence around each; ends repeated."""
    n = len(distances) + length - 1

    def at(p: int) -> float:
        return distances[min(max(min(max(p, 0), n - 1) - (length - 1) // 2, 0), len(distances) - 1)]

    return math.fsum(at(p) for p in range(point - length // 2, point - length // 2 + length)) / length


def autocorrelation(values: list[float], lag: int) -> float:
    """Correlation of a series of mean 0 with itself `lag` later, over the pairs that there are."""
    early, late = values[: len(values) - lag], values[lag:]
    energy = math.sqrt(math.fsum(x * x for x in early) * math.fsum(x * x for x in late))
    return math.fsum(a * b for a, b in zip(early, late, strict=True)) / energy if energy > 0 else 0.0


def one_step_residual_norm(values: list[float], end: int, length: int, coefficients: list[float]) -> float:
    """Hardness of the `length` values up to and including `end`: the norm of their one-step residuals."""
    order = len(coefficients) - 1
    total = 0.0
    for t in range(end - length + 1, end + 1):
        predicted = coefficients[0] + sum(coefficients[k] * values[t - k] for k in range(1, order + 1))
        total += (values[t] - predicted) ** 2
    return math.sqrt(total)


def sensor_verdict(earlier: list[float], score: float, epsilon: float) -> tuple[float, float]:
    """(p-value, threshold) of a score among m earlier ones: (1 + #{s_i >= s}) / (m + 1) and the ceil((m + 1)(1 - epsilon))-th smallest."""
    m = len(earlier)
    rank = math.ceil((m + 1) * (1 - epsilon) - 1e-9)
    threshold = sorted(earlier)[rank - 1] if rank <= m else math.inf
    return (1 + sum(s >= score for s in earlier)) / (m + 1), threshold


def block_level(false_alarms: float, readings: int, seconds: float) -> float:
    """ε_b: the chance of one or more in a block, of a Poisson stream of so many a day."""
    return 1.0 - math.exp(-false_alarms * readings * seconds / 86_400.0)


def block_verdict(maxima: list[float], score: float, level: float, share: float = 0.0) -> tuple[float, float] | None:
    """(p-value, what the score must be above) by the latest maxima that the level of one channel asks for; None where they are too few.

    `maxima` in order of time; of the latest, the greatest `share` are set aside.
    """
    many = math.ceil(max(math.ceil(1.0 / level) - 1, 1) / (1.0 - share))
    if len(maxima) < many:
        return None
    kept = sorted(maxima[-many:])[: many - int(share * many)]
    return (1 + sum(1 for x in kept if x >= score)) / (len(kept) + 1), kept[-1]


def given_hardness(pairs: list[tuple[float, float]]) -> list[float]:
    """Each (distance, hardness) at the usual hardness of those before it: d · exp(−b (log h − mean)), b the slope of log d, in [0, 2].

    The i-th of the n before it counts as running means with steps max(1/i, 1/4096) let it; nothing is taken out before 64.
    """
    judged = []
    for n, (distance, hardness) in enumerate(pairs):
        weights = [1.0]
        for i in range(2, n + 1):
            step = max(1.0 / i, 1.0 / 4096)
            weights = [w * (1.0 - step) for w in weights] + [step]
        before = [(math.log(max(h, 1e-12)), math.log(max(d, 1e-12))) for d, h in pairs[:n]]
        slope, middle = 0.0, 0.0
        if n > 0:
            middle, level = (sum(w * pair[k] for w, pair in zip(weights, before, strict=True)) for k in (0, 1))
            square = sum(w * (x - middle) ** 2 for w, (x, _) in zip(weights, before, strict=True))
            if n >= 64 and square > 0.0:
                slope = min(max(sum(w * (x - middle) * (y - level) for w, (x, y) in zip(weights, before, strict=True)) / square, 0.0), 2.0)
        judged.append(distance * math.exp(-slope * (math.log(max(hardness, 1e-12)) - middle)))
    return judged


def pooled_verdict(pool: list[float], maxima: list[float], score: float, level: float, drawn: float) -> tuple[float, float] | None:
    """(p-value, threshold) of a score by the pool of its class, beside the maxima of its own; None where these do not serve.

    z = (log m − median) / (IQR (1 + 9/n)), quartiles the values at n // 4, n // 2, 3n // 4; p = (#{z_i ≥ z} + U) / (n + 1).
    """
    if len(maxima) < 32 or (len(pool) + 1) * level < 1:
        return None
    low, middle, high = (math.log(max(sorted(maxima)[k * len(maxima) // 4], 1e-12)) for k in (1, 2, 3))
    width = max(high - low, 1e-3) * (1 + 9 / len(maxima))

    z = (math.log(max(score, 1e-12)) - middle) / width
    p = (sum(other >= z for other in pool) + drawn) / (len(pool) + 1)
    above = next(k for k in itertools.count() if (k + 1 + drawn) / (len(pool) + 1) > level)  # so many may be as high as what alerts
    return p, math.exp(middle + width * sorted(pool)[-1 - above])


def pareto_tail(maxima: list[float]) -> tuple[float, float, float]:
    """(start, ξ, σ) of a generalised Pareto tail of the uppermost tenth, by probability-weighted moments of the excesses."""
    ordered = sorted(maxima)
    many = len(ordered) // 10
    start = ordered[-many - 1]
    excesses = [x - start for x in ordered[-many:]]
    a0 = sum(excesses) / many
    a1 = sum(x * sum(1 for y in range(many) if y > i) / (many - 1) for i, x in enumerate(excesses)) / many
    return start, 2.0 - a0 / (a0 - 2.0 * a1), 2.0 * a0 * a1 / (a0 - 2.0 * a1)


def block_evidence(maxima: list[float], ranked: int) -> list[float]:
    """E after each block: the greatest product of ½·p^(−1/2) over the blocks up to it, from any block on."""
    bets = [1.0]
    for i in range(1, len(maxima)):
        before = maxima[max(0, i - ranked) : i]
        bets.append(0.5 / math.sqrt((1 + sum(1 for x in before if x >= maxima[i])) / (len(before) + 1)))
    return [max(math.prod(bets[start : i + 1]) for start in range(i + 1)) for i in range(len(bets))]


# -------------------------------------------------------------------------------------------------------------- hardness


def solve(matrix: list[list[float]], right: list[float]) -> list[float] | None:
    """Gaussian elimination with row exchange; None where the matrix is singular."""
    n = len(right)
    rows = [[*map(float, row), float(b)] for row, b in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
        if abs(rows[pivot][i]) < 1e-12:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(n):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def autoregression(series: list[float], order: int) -> list[float] | None:
    """Least squares by the normal equations: intercept, then lags 1 … p."""
    past = [[1.0, *(series[t - k] for k in range(1, order + 1))] for t in range(order, len(series))]
    target = series[order:]
    normal = [[sum(row[i] * row[j] for row in past) for j in range(order + 1)] for i in range(order + 1)]
    return solve(normal, [sum(row[i] * y for row, y in zip(past, target, strict=True)) for i in range(order + 1)])


def series_hardness(window: list[list[float]], coefficients: list[list[float]]) -> float:
    """‖x − AR(p)(x)‖ of one window (w, d), without its first p values."""
    total = 0.0
    for j, dimension in enumerate(coefficients):
        order = len(dimension) - 1
        for t in range(order, len(window)):
            predicted = dimension[0] + sum(dimension[k] * window[t - k][j] for k in range(1, order + 1))
            total += (window[t][j] - predicted) ** 2
    return float(total**0.5)


def tabular_hardness(rows: list[list[float]], row: list[float]) -> float:
    """‖x − means‖."""
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return float(sum((x - mean) ** 2 for x, mean in zip(row, means, strict=True)) ** 0.5)


def recursive_least_squares(series: list[float], order: int, forgetting: float) -> list[float]:
    """Residuals of x[t] before it is learned: least squares with weights λ^age anew at every step, plus the ridge that P(0) = 1000 I is.

    Only where nothing holds P's trace: Σ λ^(t − i) (x_i − w·z_i)² + λ^n |w − (0, 1, 0, …)|² / 1000, with n the pairs learned so far.
    """
    size = order + 1
    start = [0.0, 1.0] + [0.0] * (order - 1)
    normal = [[(1e-3 if i == j else 0.0) for j in range(size)] for i in range(size)]
    right = [1e-3 * w for w in start]
    residuals = [0.0] * min(order, len(series))
    for t in range(order, len(series)):
        z = [1.0, *(series[t - k] for k in range(1, size))]
        w = solve([row[:] for row in normal], right[:])
        assert w is not None
        residuals.append(series[t] - sum(a * b for a, b in zip(w, z, strict=True)))
        normal = [[forgetting * normal[i][j] + z[i] * z[j] for j in range(size)] for i in range(size)]
        right = [forgetting * right[i] + series[t] * z[i] for i in range(size)]
    return residuals


def moving_hardness(rows: list[list[float]], forgetting: float) -> list[float]:
    """‖z‖ of each row by the weighted mean and variance of the rows before it, the weights multiplied out."""
    found: list[float] = []
    for n in range(len(rows)):
        weights = [0.0] * n
        for i in range(n):
            step = max(1.0 / (i + 1), 1.0 - forgetting)
            weights = [weight * (1.0 - step) if j < i else weight for j, weight in enumerate(weights)]
            weights[i] = step
        total = 0.0
        for j in range(len(rows[0])):
            mean = sum(weight * row[j] for weight, row in zip(weights, rows, strict=False))
            variance = sum(weight * (row[j] - mean) ** 2 for weight, row in zip(weights, rows, strict=False))
            if variance > 1e-24:
                total += min(max((rows[n][j] - mean) / variance**0.5, -20.0), 20.0) ** 2
        found.append(total**0.5)
    return found


def image_hardness(image: list[list[float]]) -> float:
    """‖x − mean of the 4 neighbours‖, CADET Eq. (3); a missing neighbour is the pixel itself."""
    height, width = len(image), len(image[0])
    total = 0.0
    for i in range(height):
        for j in range(width):
            up, down = image[max(i - 1, 0)][j], image[min(i + 1, height - 1)][j]
            left, right = image[i][max(j - 1, 0)], image[i][min(j + 1, width - 1)]
            total += (image[i][j] - (up + down + left + right) / 4.0) ** 2
    return float(total**0.5)


def b_spline(knots: list[float], degree: int, j: int, x: float) -> float:
    """B_j,degree(x) by the recursion of Cox and de Boor; `knots` with the outer ones repeated."""
    if degree == 0:
        last = max(i for i in range(len(knots) - 1) if knots[i] < knots[i + 1])
        return float(knots[j] <= x < knots[j + 1] or (j == last and x == knots[j + 1]))
    value = 0.0
    if knots[j + degree] > knots[j]:
        value += (x - knots[j]) / (knots[j + degree] - knots[j]) * b_spline(knots, degree - 1, j, x)
    if knots[j + degree + 1] > knots[j + 1]:
        value += (knots[j + degree + 1] - x) / (knots[j + degree + 1] - knots[j + 1]) * b_spline(knots, degree - 1, j + 1, x)
    return value


def pinball_sum(errors: list[float], quantiles: list[float], level: float) -> float:
    """Σ ρ_τ(e − q)."""
    return sum((e - q) * (level - (1.0 if e < q else 0.0)) for e, q in zip(errors, quantiles, strict=True))


def smallest_pinball_sum(design: list[list[float]], errors: list[float], level: float) -> float:
    """The optimum of a linear programme is at a vertex: a curve through as many points as it has coefficients. Try them all."""
    best = float("inf")
    for chosen in itertools.combinations(range(len(errors)), len(design[0])):
        theta = solve([design[i] for i in chosen], [errors[i] for i in chosen])
        if theta is not None:
            curve = [sum(b * t for b, t in zip(row, theta, strict=True)) for row in design]
            best = min(best, pinball_sum(errors, curve, level))
    return best


def curve_values(knots: list[float], values: list[list[float]], hardness: float) -> list[float]:
    """The four quantiles at a hardness: straight lines between the knots, constant beyond them, sorted."""
    h = min(max(hardness, knots[0]), knots[-1])
    if len(knots) == 1:
        return sorted(row[0] for row in values)
    right = next(k for k in range(1, len(knots)) if h <= knots[k])
    weight = (h - knots[right - 1]) / (knots[right] - knots[right - 1])
    return sorted(row[right - 1] * (1.0 - weight) + row[right] * weight for row in values)


def cadet_score(error: float, hardness: float, quantiles: list[float], floor: float, mean: float, std: float, lambda_: float) -> float:
    """s = (e − q̂(h)) / IQR(h) + λ · |z(h)|, CADET Eq. (10)."""
    prior = abs(hardness - mean) / std if std > 0.0 else 0.0
    return (error - quantiles[3]) / max(quantiles[2] - quantiles[0], floor) + lambda_ * prior


def conformal_quantile(scores: list[float], epsilon: str) -> float:
    """The ⌈(m + 1)(1 − ε)⌉-th smallest score, CADET Eq. (11); ε as text, so that nothing is rounded."""
    m = len(scores)
    index = math.ceil((m + 1) * (1 - Fraction(epsilon)))
    return sorted(scores)[index - 1] if index <= m else float("inf")


def conformal_p_value(scores: list[float], score: float, drawn: float | None = None) -> float:
    """(1 + #{s_i ≥ s}) / (m + 1); with a draw, so many of the equal ones stand behind as makes every place among them as likely."""
    more, equal = sum(other > score for other in scores), scores.count(score)
    return (1 + more + (equal if drawn is None else math.floor(drawn * (1 + equal)))) / (len(scores) + 1)


def tracked(pairs, fit, level, *, bins, width, curve_rate, level_rate, joint=False, draws=None):
    """Judge (hardness, error) pairs by tracking calibration, `fit` = (knots, curves, S, t); yields (score, p, p of the hardness, alert).

    p is None while too few events are there to be ranked among. Hardness and scores are kept in single precision. Ties count against an
    alert, unless `draws` has a number in [0, 1) for every pair: then it says where the pair stands among those of equal score.
    """

    def single(value):
        return struct.unpack("f", struct.pack("f", value))[0]

    knots, curves, spread, smallest = list(fit[0]), [list(row) for row in fit[1]], fit[2], fit[3]
    levels, kept, edges, factors = (0.25, 0.5, 0.75, 0.95), [], [], [1.0] * bins
    needed = next(n for n in itertools.count(1) if 1 / (n + 1) <= (level / 2 if joint else level))

    def place_of(h):
        h = min(max(h, knots[0]), knots[-1])
        left = 0
        while left < len(knots) - 2 and knots[left + 1] <= h:
            left += 1
        gap = knots[left + 1] - knots[left]
        return left, ((h - knots[left]) / gap if gap > 0 else 0.0)

    def at(h):
        left, share = place_of(h)
        return [row[left] * (1 - share) + row[left + 1] * share for row in curves]

    for number, (hardness, error) in enumerate(pairs):
        h, y = single(hardness), math.log(error + smallest)
        quantiles = sorted(at(h))
        s = single((y - quantiles[3]) / max(quantiles[2] - quantiles[0], 0.05 * spread))
        k = sum(h >= edge for edge in edges)
        group = 0 if joint else k
        a = level * max(factors[group], 0.25)
        share, p, p_hardness, alert = (a / 2 if joint else a), None, None, False
        if number >= needed:
            own = [score for hard, score in kept if sum(hard >= edge for edge in edges) == k]
            if (len(own) + 1) * share < 1:
                own = [score for _, score in kept]
            p = conformal_p_value(own, s, draws and draws[number])
            p_hardness = conformal_p_value([hard for hard, _ in kept], h)
            if joint:
                p = min(1.0, 2 * min(p, p_hardness))
            alert = p <= a * (1 + 1e-12)
            factors[group] = min(max(factors[group] + level_rate / level * (level - alert), -10.0), 4.0)
        yield s, p, p_hardness, alert
        kept = [*kept, (h, s)][-bins * width :]
        if spread > 1e-3:
            left, share = place_of(h)
            for row, tau in zip(curves, levels, strict=True):
                move = curve_rate * spread * (tau - (y < row[left] * (1 - share) + row[left + 1] * share))
                row[left] += move * (1 - share)
                row[left + 1] += move * share
        reach = max(quantiles[3] - y, y - quantiles[0])
        spread = max(spread + (0.658 * reach - spread) / width, 1e-3) if curve_rate > 0 else spread
        if (number + 1) % width == 0:
            ordered = sorted(hard for hard, _ in kept)
            n = len(ordered)
            edges = [ordered[(j + 1) * n // bins] for j in range(bins - 1)]
            moved = [ordered[min(n - 1, int(0.95 * j / (len(knots) - 1) * n))] for j in range(len(knots))]
            if moved[-1] > moved[0]:
                values = [sorted(at(h)) for h in moved]
                curves = [[value[row] for value in values] for row in range(4)]
                knots = moved


# ----------------------------------------------------------------------------------------------------------- aggregation


def in_window(transactions, span, now):
    """The (time, amount, attribute) with now − span < time ≤ now, in order of time, those of one second as they came."""
    return sorted((x for x in transactions if now - span < x[0] <= now), key=lambda x: x[0])


def simple_aggregation(transactions, span, now, attribute=None):
    """Σ a, Eq. (1)."""
    return sum(a for _, a, j in in_window(transactions, span, now) if attribute in (None, j))


def transaction_gap(transactions, span, now, attribute=None, form="paper"):
    """Σ (N − i)·a, Eq. (3) as printed, or Σ i·a, as its text says."""
    window = in_window(transactions, span, now)
    weights = [len(window) - i if form == "paper" else i for i in range(1, len(window) + 1)]
    return sum(w * a for w, (_, a, j) in zip(weights, window, strict=True) if attribute in (None, j))


def time_gap(transactions, span, now, attribute=None):
    """Σ (d − (now − t))·a, Eq. (4)."""
    return sum((span - (now - t)) * a for t, a, j in in_window(transactions, span, now) if attribute in (None, j))


def aggregates(transactions, span, now, attribute=None, form="paper"):
    """n, Σ w, SA, TxG, TG of one attribute value, or of all."""
    own = [(t, a, k) for t, a, k in transactions if attribute in (None, k)]
    return [
        len(in_window(own, span, now)),
        time_gap([(t, 1, k) for t, _, k in own], span, now),
        simple_aggregation(own, span, now),
        transaction_gap(transactions, span, now, attribute, form),
        time_gap(own, span, now),
    ]


def merchant_share(known, span, now, delay):
    """Linear-time-weighted share of frauds among (time, fraud), over `span` seconds that end `delay` seconds ago."""
    end = now - delay
    window = [(span - (end - t), fraud) for t, fraud in known if end - span < t <= end]
    return sum(w for w, fraud in window if fraud) / sum(w for w, _ in window) if window else 0.0


def tile_aggregates(transactions, span, now, width, group, form="paper"):
    """n, Σ w, SA, TxG, TG of a group of (time, amount, groups) as tiles tell them; transactions of a tile and its groups are a cell.

    A cell stays until its tile has left the window, all of it at its mean time (weighted by amount); places are those of its middle.
    """
    cells = {}
    for t, a, groups in transactions:
        cells.setdefault((t // width, groups), []).append((t, a))
    found, newer = [0.0] * 5, 0
    held = [(tile, groups, own) for (tile, groups), own in sorted(cells.items(), key=lambda x: x[0][0]) if (tile + 1) * width > now - span]
    for tile, groups, own in reversed(held):
        amount = sum(a for _, a in own)
        mean = sum(a * (t - tile * width) for t, a in own) / amount if amount else width / 2
        left = max(0.0, span - (now - tile * width) + min(max(mean, 0.0), width))
        behind = newer + (len(own) - 1) / 2
        place = behind if form == "paper" else sum(len(x) for _, _, x in held) - behind
        if group in groups:
            found = [x + y for x, y in zip(found, [len(own), left * len(own), amount, place * amount, left * amount], strict=True)]
        newer += len(own)
    return found


def decayed(events, now, days):
    """Σ w and Σ w·x of (time, x), w = e^(−3·age/d)."""
    weights = [math.exp(-3.0 * (now - t) / (days * 86_400.0)) for t, _ in events]
    return sum(weights), sum(w * x for w, (_, x) in zip(weights, events, strict=True))


def tail_surprise(seen, x, low, start, upper=True):
    """−ln of the share of values on x's side of it, by straight lines between edges an eighth apart.

    `start(edge)` is the tail of one imaginary value more; values are counted in the step they lie in.
    """

    def at(edge):
        steps = [min(max(math.floor((v - low) * 8), 0), 351) for v in seen]
        extreme = sum(step >= edge if upper else step < edge for step in steps)
        return -math.log((extreme + start(low + edge / 8)) / (len(seen) + 1))

    left = min(max(math.floor((x - low) * 8), 0), 351)
    part = min(max((x - low) * 8 - left, 0.0), 1.0)
    return at(left) + part * (at(left + 1) - at(left))


def amount_start(x):
    return 1.0 - x * 8 / 353


def ratio_start(x):
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def gap_start(x):
    return -math.expm1(-math.exp(x))


def share(population, own, count, n0):
    """The card's share, the population's counting as n0 transactions."""
    return (own + n0 * population) / (count + n0)


def median_step(logs):
    """The middle of the step of ln(amount) that the median lies in."""
    ordered = sorted(math.floor(x * 8) for x in logs)
    return math.exp((ordered[(len(ordered) + 1) // 2 - 1] + 0.5) / 8)


def new_population():
    return {"logs": [], "ratios": [], "gap_ratios": [], "gaps": [], "modes": [], "past_modes": [], "past": 0, "past_unusual": 0}


def card_features(events, days, modes, n0, adopted_before=(), form="paper", big=2.5, month=30.0):
    """Walk (card, time, amount, mode, match, number); a row is (reason, features by name).

    The population's normal is adopted before the events of these numbers, and is what was seen before them.
    """
    held, own, newest, population, adopted, rows = {}, {}, {}, new_population(), new_population(), []
    for row, (card, t, amount, mode, match, number) in enumerate(events):
        if row in adopted_before:
            adopted = {name: list(x) if isinstance(x, list) else x for name, x in population.items()}
            everything = [(x, newest[c]) for c in held for x in held[c]]
            left = [x for x, now in everything if x[0] <= now - days[-1] * 86_400]
            adopted["past"], adopted["past_unusual"] = len(left), sum(x[4] for x in left)
        kept = held.setdefault(card, [])
        mine = own.setdefault(card, {"amounts": [], "gaps": []})
        last = newest.get(card)
        edge = None if last is None else last - days[-1] * 86_400
        if any(x[5] == number and x[0] > edge for x in kept):
            rows.append(("repeated", {}))
            continue
        if last is not None and t <= edge:
            rows.append(("late", {}))
            continue
        late = last is not None and t < last
        now = last if late else t
        weight, total = decayed(mine["amounts"], now, month)
        _, squares = decayed([(s, a * a) for s, a in mine["amounts"]], now, month)
        if adopted["logs"]:
            median = median_step(adopted["logs"])
            mean = (n0 * median + total) / (n0 + weight)
        else:
            mean = total / weight if weight > 0 else max(amount, 1.0)
        unusual = amount > big * mean
        if late:
            kept.append((t, amount, mode, match, unusual, number))
            if amount > 0:
                mine["amounts"].append((t, amount))
            rows.append(("late", {}))
            continue
        gap = None if last is None else t - last
        gap_weight, gaps = decayed(mine["gaps"], t, month)
        if sum(adopted["gaps"]) > 0:  # of gaps that are all 0 there is nothing to be a multiple of
            usual = (n0 * sum(adopted["gaps"]) / len(adopted["gaps"]) + gaps) / (n0 + gap_weight)
        else:
            usual = gaps / gap_weight if gap_weight > 0 else 0.0
        spread = math.sqrt((n0 * mean * mean + squares - 2 * mean * total + mean * mean * weight) / (n0 + weight))
        past = [x for x in kept if x[0] <= t - days[-1] * 86_400]
        found = {"surprise_amount": 0.0, "surprise_mode": 0.0, "surprise_gap": 0.0, "mode_rarity": 0.0}
        if amount > 0:
            anybody = tail_surprise(adopted["logs"], math.log(amount), 0.0, amount_start)
            of_card = tail_surprise(adopted["ratios"], math.log(amount / mean), -22.0, ratio_start)
            found["surprise_amount"] = math.log((math.exp(anybody) + math.exp(of_card)) / 2)
            population["logs"].append(math.log(amount))
            population["ratios"].append(math.log(amount / mean))
        if mode >= 0:
            everybody = [(adopted["modes"].count(j) + 1) / (len(adopted["modes"]) + modes) for j in range(modes)]
            paid = [x[2] for x in kept if x[2] >= 0]
            shares = [share(everybody[j], paid.count(j), len(paid), n0) for j in range(modes)]
            found["surprise_mode"] = max(0.0, -math.log(sum(s for s in shares if s <= shares[mode])))
            old = [x[2] for x in past if x[2] >= 0]
            found["mode_rarity"] = 1.0 - share(everybody[mode], old.count(mode), len(old), n0)
            population["modes"].append(mode)
        if gap is not None:
            if usual > 0:
                found["surprise_gap"] = tail_surprise(adopted["gap_ratios"], math.log((gap + 1) / usual), -22.0, gap_start, upper=False)
                population["gap_ratios"].append(math.log((gap + 1) / usual))
            population["gaps"].append(min(gap, 365 * 86_400))
            mine["gaps"].append((t, min(gap, 365 * 86_400)))
        found["edgy"] = any(abs(8 * x - round(8 * x)) < 1e-6 for x in adopted["gap_ratios"])
        found["unusualness"] = found["surprise_amount"] + found["surprise_mode"] + max(0.0, found["surprise_gap"] - math.log(100))
        found |= {"own_count": weight, "own_mean": mean, "amount_ratio": amount / mean, "amount_z": (amount - mean) / spread}
        found["log_gap"] = math.log(1 + min(gap if gap is not None else 30 * 86_400, 30 * 86_400))
        everybody_unusual = adopted["past_unusual"] / max(1, adopted["past"])
        unusual_weight = 1.0 - share(everybody_unusual, sum(x[4] for x in past), len(past), n0)
        window = [(x[0], x[1], x[2]) for x in kept]
        for d in days:
            span = d * 86_400
            n, w, sa, txgap, tg = aggregates(window, span, t, None, form)
            found |= {f"n_{d}d": n, f"sa_{d}d": sa, f"txgap_{d}d": txgap, f"tg_{d}d": tg / span, f"mean_{d}d": tg / w if w else 0.0}
            n, _, sa, txgap, tg = aggregates(window, span, t, mode, form) if mode >= 0 else [0] * 5
            found |= {f"n_mode_{d}d": n, f"sa_mode_{d}d": sa, f"txgap_mode_{d}d": txgap, f"tg_mode_{d}d": tg / span}
            found[f"cond_mode_{d}d"] = found["mode_rarity"] * tg / span
            found[f"tg_match_{d}d"] = time_gap([x[:2] + x[3:4] for x in kept], span, t, match) / span if match >= 0 else 0.0
            marked = [x[:2] + x[4:5] for x in kept]
            found[f"n_big_{d}d"] = len(in_window([x for x in marked if x[2]], span, t))
            found[f"cond_big_{d}d"] = unusual_weight / mean * time_gap(marked, span, t, True) / span
        rows.append(("", found))
        kept.append((t, amount, mode, match, unusual, number))
        if amount > 0:
            mine["amounts"].append((t, amount))
        newest[card] = t
    return rows


def logistic_steps(rows, rate, clip, start=1e-8):
    """Walk (features, outcome); what was said of each row before it was learned, and the weights after all of them."""
    width = len(rows[0][0])
    weights, squares, said = [0.0] * (width + 1), [start] * (width + 1), []

    def z_of(x, seen):
        found = []
        for f in range(width):
            values = [row[f] for row in seen]
            mean = sum(values) / len(values) if values else 0.0
            deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)) if values else 0.0
            found.append(min(max((x[f] - mean) / deviation, -clip), clip) if deviation > 0.0 else 0.0)
        return [*found, 1.0]

    def logit(z):
        return sum(w * v for w, v in zip(weights, z, strict=True))

    for number, (x, y) in enumerate(rows):
        said.append(logit(z_of(x, [row for row, _ in rows[:number]])))
        z = z_of(x, [row for row, _ in rows[: number + 1]])
        error = 1.0 / (1.0 + math.exp(-logit(z))) - y
        for f in range(width + 1):
            squares[f] += (error * z[f]) ** 2
            weights[f] -= rate * error * z[f] / math.sqrt(squares[f])
    return said, weights


def isotonic(values, weights):
    """The nearest non-decreasing sequence: the largest, over beginnings, of the smallest mean, over ends, around each place."""

    def mean(a, b):
        return sum(w * v for v, w in zip(values[a : b + 1], weights[a : b + 1], strict=True)) / sum(weights[a : b + 1])

    n = len(values)
    return [max(min(mean(a, b) for b in range(i, n)) for a in range(i + 1)) for i in range(n)]


def paced(candidates, cap):
    """Walk (time, bin of the promise); who gets an alert when a day has `cap` of them, in slots of an hour (or 1/cap hours)."""
    length, room = 3600 * max(1.0, 1.0 / cap), math.floor(max(cap, 1.0))
    seen, newest = [], -math.inf
    for now, own in candidates:
        newest = max(newest, now)
        slot = newest // length
        lately = [x for x in seen if x[0] > slot - 25]
        alerts = sum(given for _, _, given in lately) < room and sum(b > own for _, b, _ in lately) < room
        seen.append((slot, own, alerts))
    return [given for _, _, given in seen]


# --------------------------------------------------------------------------------------------------------------- Benford


def leading_digits(amount, places=1):
    """The first significant digits of a whole number, read off its text; a single digit is followed by a 0."""
    text = str(abs(amount)).lstrip("0")
    return int((text + "0")[:places]) if text else 0


def normal(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


def cut_distribution(x, mu, sigma, low, high):
    """F(x) of Eq. (7), with 1 where the paper prints 0 above the upper limit."""
    if x <= low:
        return 0.0
    if x >= high:
        return 1.0
    below = normal((math.log10(low) - mu) / sigma) if low > 0 else 0.0
    up_to = normal((math.log10(high) - mu) / sigma) if high < math.inf else 1.0
    return (normal((math.log10(x) - mu) / sigma) - below) / (up_to - below)


def digit_law(mu, sigma, low=0.0, high=math.inf, places=1):
    """P(d) = Θ(d + 1) − Θ(d), Eq. (9): the decades' parts of F that begin with d, added up; 40 sigma either way."""
    law = []
    for d in range(10 ** (places - 1), 10**places):
        share = 0.0
        for k in range(math.floor(mu - 40 * sigma) - 2, math.ceil(mu + 40 * sigma) + 1):
            share += cut_distribution((d + 1) * 10.0**k, mu, sigma, low, high) - cut_distribution(d * 10.0**k, mu, sigma, low, high)
        law.append(share)
    return law


def benford_law(places=1):
    return [math.log10(1 + 1 / d) for d in range(10 ** (places - 1), 10**places)]


def digit_cut_off(low, high, places=1):
    """Benford's law on the digits that some whole number from low to high − 1 begins with."""
    possible = {leading_digits(x, places) for x in range(low, high)}
    law = [p if d in possible else 0.0 for d, p in enumerate(benford_law(places), 10 ** (places - 1))]
    return [p / sum(law) for p in law]


def chi_square(observed, expected):
    """Pearson's statistic over the possible cells and its degrees of freedom."""
    cells = [(o, e) for o, e in zip(observed, expected, strict=True) if e > 0]
    return sum((o - e) ** 2 / e for o, e in cells), len(cells) - 1


def excess_deviation(observed, law):
    """(mean absolute deviation of the shares, that less what chance gives): Barney and Schulzke's excess MAD, over possible digits."""
    n = sum(observed)
    cells = [(o / n, p) for o, p in zip(observed, law, strict=True) if p > 0]
    found = sum(abs(share - p) for share, p in cells) / len(cells)
    return found, found - sum(math.sqrt(2 * p * (1 - p) / (math.pi * n)) for _, p in cells) / len(cells)


def look_p_value(x, k, n, rarity):
    """Chi-square's tail with the term in 1/n of Pearson's statistic, never below the tail itself."""
    from scipy.stats import chi2

    r = (2 * (1 - rarity), 3 * (3 * rarity - k * k - 2 * k), -6 * (2 * rarity - k * k - 2 * k + 1), 5 * rarity - 3 * k * k - 6 * k + 4)
    tail = float(chi2.sf(x, k - 1))
    more = sum(r[j] * float(chi2.sf(x, k - 1 + 2 * j)) for j in range(4)) / (24 * n)
    return min(1.0, max(tail, tail + more))


def accounting_year(at, start_month, start_day):
    """The year in which the accounting year of a time (microseconds UTC) began."""
    day = datetime.date(1970, 1, 1) + datetime.timedelta(days=at // 86_400_000_000)
    return day.year if (day.month, day.day) >= (start_month, start_day) else day.year - 1


def truncated_log_likelihood(amounts, mu, sigma):
    """Of amounts [(amount, low, high)], each cut off at its own limits, section 4.4: the sum of their log densities of log10."""
    from scipy.stats import truncnorm

    total = 0.0
    for amount, low, high in amounts:
        a = (math.log10(low) - mu) / sigma if low > 0 else -math.inf
        b = (math.log10(high) - mu) / sigma if high < math.inf else math.inf
        total += float(truncnorm.logpdf(math.log10(amount), a, b, loc=mu, scale=sigma))
    return total


def amount_cell(amount):
    """(how many digits, the first two): amounts of one cell share both."""
    return len(str(amount)), leading_digits(amount, 2)


def cell_range(cell):
    """The amounts of a cell: smallest, and the first behind."""
    length, two = cell
    if length == 1:
        return two // 10, two // 10 + 1
    return two * 10 ** (length - 2), (two + 1) * 10 ** (length - 2)


def empirical_law(postings, low, high, places=1):
    """The product-limit of amounts (amount, limit or None) on [low, high): a digit's share, going down cell by cell."""
    whole = [(amount, limit) for amount, limit in postings if amount > 0]
    kept = [(amount, limit) for amount, limit in whole if limit is None or cell_range(amount_cell(amount))[1] <= limit + 1]
    law, left = dict.fromkeys(range(10 ** (places - 1), 10**places), 0.0), 1.0
    for cell in sorted({amount_cell(amount) for amount, _ in kept}, reverse=True):
        start, stop = cell_range(cell)
        if stop <= low or start >= high:
            continue
        there = [amount for amount, limit in kept if amount < stop and (limit is None or stop <= limit + 1)]
        here = [amount for amount in there if amount >= start]
        inside = min(stop, high) - max(start, low)
        law[leading_digits(start, places)] += left * len(here) / len(there) * inside / (stop - start)
        left *= 1 - len(here) / len(there)
    total = sum(law.values())
    return [share / total for share in law.values()] if total > 0 else None


def spike_evidence(hits, share, size, rho):
    """What a bet of one size on one place has won: the ratio of two (beta-)binomial probabilities of the same sequence."""
    h, m = sum(hits), len(hits) - sum(hits)
    spiked = share + size * (1 - share)
    if rho == 0:
        return (spiked / share) ** h * ((1 - spiked) / (1 - share)) ** m
    kappa = (1 - rho) / rho

    def log_probability(p):
        a, b = kappa * p, kappa * (1 - p)
        return sum(map(math.lgamma, (a + h, b + m, a + b))) - sum(map(math.lgamma, (a, b, a + b + h + m)))

    return math.exp(log_probability(spiked) - log_probability(share))


def shiryaev_roberts(factors):
    """The sum of the products that began at every step so far."""
    return sum(math.prod(factors[start:]) for start in range(len(factors)))


def band_share(mu, sigma, approval_limit, width, end, local):
    """The share of [A(1 − w), A) among amounts in [1, end), or of those in [A(1 − 3w), A), there at least its share of whole numbers."""
    start, around = (max(1, math.ceil(approval_limit * (1 - bands * width))) for bands in (1, 3))

    def below(x):
        return cut_distribution(x, mu, sigma, 1, end)

    inside = below(approval_limit) - below(start)
    if not local:
        return max(inside, 0.0)
    return max(inside / (below(approval_limit) - below(around)), (approval_limit - start) / (approval_limit - around))


def benford_year(postings, laws, bands, rho, repeat_share, repeat_rho, sizes):
    """An employee's e-values (digits, band, repeats) and late statistic after postings (amount, in band or None if not tested).

    ``laws[i]`` and ``bands[i]`` are the highest honest shares that held at posting i; everything is summed up anew at every posting.
    """
    seen, digits, inside, repeats, said = [], [], [], [], []
    for i, (amount, in_band) in enumerate(postings):
        repeats.append(amount in seen)
        if amount not in seen:
            seen.append(amount)
            digits.append((leading_digits(amount) - 1, laws[i]))
            if in_band is not None:
                inside.append((in_band, bands[i]))

        def factors(trials, size, correlation):
            found = []
            for t, (hit, share) in enumerate(trials):
                before = sum(1 for other, _ in trials[:t] if other)
                a = share * (1 - correlation) + correlation * before
                b = (share + size * (1 - share)) * (1 - correlation) + correlation * before
                whole = 1 - correlation + correlation * t
                found.append(b / a if hit else (whole - b) / (whole - a))
            return found

        of_digits = [[(digit == d, law[d]) for digit, law in digits] for d in range(9)]
        every = [factors(trials, size, rho) for trials in of_digits for size in sizes]
        band = [factors(inside, size, rho) for size in sizes]
        again = [factors([(hit, repeat_share) for hit in repeats], size, repeat_rho) for size in sizes]
        said.append(
            (
                sum(map(math.prod, every)) / len(every),
                sum(map(shiryaev_roberts, every + band)) / len(every + band),
                sum(map(math.prod, band)) / len(band),
                sum(map(math.prod, again)) / len(again),
            )
        )
    return said


def e_bh(e_values, q):
    """The e-BH procedure by its definition: how many are taken, and those."""
    most = 0
    for k in range(1, len(e_values) + 1):
        if sum(e >= len(e_values) / (q * k) for e in e_values) >= k:
            most = k
    return [e for e in e_values if most and e >= len(e_values) / (q * most)]


def scatter(employees):
    """The intraclass correlation of (repeats, postings) by moments, less what chance makes of it."""
    r = sum(x for x, _ in employees) / sum(n for _, n in employees)
    over = sum((x - n * r) ** 2 - n * r * (1 - r) for x, n in employees)
    pairs = sum(n * (n - 1) for _, n in employees)
    return min(max(over / (pairs * r * (1 - r)) - math.sqrt(2 / pairs), 0.0), 1.0)


# -------------------------------------------------------------------------------------------------------------- episodes


def episodes(keys, at, units, alarms, quiet_units, silence):
    """Walk the events once; `alarms[row]` lists (key, test, unit, critical, score), quiet_units is one a test, −1: until heard.

    Returns (row, key, test, kind, report, units, critical, max score).
    """
    opened, updated, quiet, silent, heard = 0, 1, 2, 3, 5
    found, running, now = [], {}, None

    def tell(row, name, kind):
        e = running[name]
        found.append((row, *name, kind, e["reports"], e["units"], e["critical"], e["max"]))
        e["reports"] += 1

    for row, key in enumerate(keys):
        now = at[row] if now is None else max(now, at[row])
        for name in sorted(running):
            if quiet_units[name[1]] >= 0 and running[name]["heard"] + silence <= now:
                tell(row, name, silent)
                del running[name]
        for name in sorted(name for name in running if name[0] == key):
            running[name]["heard"] = now
            until_heard = quiet_units[name[1]] < 0
            if until_heard or units[row] - running[name]["last_unit"] > quiet_units[name[1]]:
                tell(row, name, heard if until_heard else quiet)
                del running[name]
        for other, test, unit, critical, score in alarms[row]:
            name = (other, test)
            if name not in running:
                running[name] = {"units": 1, "last_unit": unit, "critical": critical, "max": score, "reports": 0, "told_units": 1,
                                 "told_max": score, "heard": now}  # fmt: skip
                tell(row, name, opened)
                continue
            e = running[name]
            new_unit, risen = unit > e["last_unit"], critical and not e["critical"]
            e["units"] += new_unit
            e["last_unit"] = max(e["last_unit"], unit)
            e["critical"] = e["critical"] or critical
            e["max"] = max(e["max"], score)
            if risen or (new_unit and (e["max"] > e["told_max"] or e["units"] >= 2 * e["told_units"])):
                e["told_units"], e["told_max"] = e["units"], e["max"]
                tell(row, name, updated)
    return found
