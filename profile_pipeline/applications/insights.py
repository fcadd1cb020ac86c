"""TGI: which values of which tags an audience has more, or less, often than everybody, and how sure that is.

Both shares are among the people whose value of the tag is known. Not here: audiences, tags, tables.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

LEAST_PEOPLE = 20
Z_95 = 1.959963984540054


def tgi(k: int, n: int, with_value: int, total: int) -> float:
    """Target group index: 100 x share in the audience / share in everybody.

    Examples
    --------
    >>> round(tgi(24, 30, 60, 200), 1)
    266.7
    """
    return 100 * (k / n) / (with_value / total)


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of k in n (Wilson 1927)."""
    middle, spread = k + Z_95**2 / 2, Z_95 * np.sqrt(k * (n - k) / n + Z_95**2 / 4)
    return float((middle - spread) / (n + Z_95**2)), float((middle + spread) / (n + Z_95**2))


@lru_cache(maxsize=100_000)
def fisher(k: int, n: int, with_value: int, total: int) -> float:
    """Fisher's exact test, two-sided: the audience against the rest."""
    table = [[k, n - k], [with_value - k, total - n - (with_value - k)]]
    return float(fisher_exact(table).pvalue)


def benjamini_hochberg(p_values: Iterable[float]) -> list[float]:
    """Adjust p-values for the share of false discoveries (Benjamini and Hochberg 1995)."""
    p = np.asarray(list(p_values), dtype=float)
    order = np.argsort(p)
    adjusted = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    found = np.empty(len(p))
    found[order] = np.minimum(adjusted, 1.0)
    return found.tolist()


def insights_of(
    as_of_date: dt.date, audiences: Mapping[str, frozenset[str]], tags: Iterable[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    """Compare audiences with everybody.

    Parameters
    ----------
    audiences
        Members by name. Left out are those under 20 people.
    tags
        (profile_id, tag, value) of everybody. Left out are values that fewer than 20 have.
    """
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for profile_id, tag, value in tags:
        values[tag][value].add(profile_id)
    rows: list[dict[str, Any]] = []
    for audience, members in sorted(audiences.items()):
        if len(members) < LEAST_PEOPLE:
            continue
        found: list[dict[str, Any]] = []
        for tag, by_value in sorted(values.items()):
            total = sum(len(people) for people in by_value.values())
            counts = Counter({value: len(people & members) for value, people in by_value.items()})
            n = sum(counts.values())
            if n == 0:
                continue
            for value, people in sorted(by_value.items()):
                if len(people) < LEAST_PEOPLE:
                    continue
                k, share = counts[value], len(people) / total
                low, high = wilson(k, n)
                found.append({
                    "as_of_date": as_of_date, "audience": audience, "tag": tag, "value": value, "n_people": k, "tgi": tgi(k, n, len(people), total),
                    "ci_low": max(0.0, 100 * low / share), "ci_high": 100 * high / share, "p_value": fisher(k, n, len(people), total),
                })  # fmt: skip
        for row, q in zip(found, benjamini_hochberg(row["p_value"] for row in found), strict=True):
            rows.append(row | {"q_value": q})
    return rows
