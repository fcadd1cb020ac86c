"""The law of delivery: late, duplicated, shuffled and re-cut delivery gives what orderly delivery gives."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profile_pipeline_tests.faults.deliveries import Part, delivered, line, orderly, shop

pytestmark = pytest.mark.faults
SEEDS = 3


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, list[list[Part]], int]:
    """A shop, the deliveries of its records, and how many event records were delivered more than once."""
    seed = draw(st.integers(0, SEEDS - 1))
    records = shop(seed)
    n_deliveries = draw(st.integers(1, 4))
    n_parts = draw(st.sampled_from([1, 2, 7, 40]))
    rng = random.Random(draw(st.integers(0, 10_000)))
    is_shuffled = draw(st.booleans())
    late_share = draw(st.sampled_from([0.03, 0.3, 1.0]))
    where = [rng.randrange(n_deliveries) if rng.random() < late_share else 0 for _ in records]
    copies = [rng.randrange(len(records)) for _ in range(draw(st.sampled_from([0, 0, 1, 30])))]
    placed = [*zip(where, records, strict=True), *((rng.randrange(n_deliveries), records[i]) for i in copies)]
    deliveries = []
    for number in range(n_deliveries):
        mine = [record for delivery, record in placed if delivery == number]
        if is_shuffled:
            rng.shuffle(mine)
        cut = -(-len(mine) // n_parts) or 1
        deliveries.append([Part(i // cut, tuple(mine[i : i + cut])) for i in range(0, len(mine), cut)])
    if draw(st.booleans()):
        # A whole file once more, under another name.
        again = rng.choice([part for parts in deliveries for part in parts])
        deliveries[-1].append(Part(99_999, again.records))
    return seed, deliveries, len(copies)


def differences(found: dict[str, list[tuple]], expected: dict[str, list[tuple]]) -> dict[str, tuple[list, list]]:
    """The first rows that one has and the other lacks, by table."""
    return {
        name: ([r for r in found[name] if r not in rows][:3], [r for r in rows if r not in found[name]][:3])
        for name, rows in expected.items()
        if found[name] != rows
    }


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(plans())
def test_any_delivery_of_the_same_records_gives_the_same_tables(plan: tuple[int, list[list[Part]], int]) -> None:
    seed, deliveries, _ = plan
    with line() as told:
        delivered(told, deliveries)
        assert differences(told.contents(), orderly(seed)) == {}
        loaded, cleaned, excluded, waiting, _ = told.counts()
        assert loaded == cleaned + excluded + waiting
