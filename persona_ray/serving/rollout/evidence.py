"""Evidence that a rate lies above a limit, which may be looked at after every observation.

Bet against "the mean of the next observation, given all before, is at most `limit`": for a true
rate `a` above the limit the wealth after n observations in [0, 1] with sum s is

    (a / limit)^s ((1 - a) / (1 - limit))^(n - s)

Where the hypothesis holds no bet gains on average, so wealth reaches 1 / p at any time with a
probability of at most p (Ville 1939): however often one looks, and whenever one stops. The rate is
not known, so the wealth is spread evenly over all above the limit (Robbins 1970). It depends on
n and s alone: what several replicas saw is added up. Between 0 and 1 the wealth is convex in the
observation, so that shares may be observed as well as yes and no. The view of tests as bets:
Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference",
Statistical Science 38(4), 2023.
"""

from __future__ import annotations

import math


def log_e_above(seen: float, total: float, limit: float) -> float:
    """Natural logarithm of the wealth: `seen` observations with sum `total`; `limit` in [0, 1].

    0 is no evidence; the hypothesis is refused at p where it reaches log(1 / p).
    """
    if not 0 <= total <= seen:
        raise ValueError(f"{seen} observations in [0, 1] cannot have the sum {total}")
    if seen == 0 or limit >= 1:
        return 0.0
    if limit <= 0:
        return math.inf if total > 0 else 0.0
    from scipy.special import betaincc, betaln

    failed = seen - total
    # The integral of a^s (1 - a)^(n - s) over the rates above the limit, and of what it is against.
    above = float(betaincc(total + 1, failed + 1, limit))
    if above == 0:
        return -math.inf
    integral = float(betaln(total + 1, failed + 1)) + math.log(above)
    against = total * math.log(limit) + failed * math.log1p(-limit)
    return integral - math.log1p(-limit) - against


def log_e_below(seen: float, total: float, limit: float) -> float:
    """The same against "the mean is at least `limit`"."""
    return log_e_above(seen, seen - total, 1 - limit)
