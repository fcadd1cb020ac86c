import csv
import datetime as dt
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from profile_pipeline.applications.exports import as_csv
from profile_pipeline.applications.insights import benjamini_hochberg, fisher, insights_of, tgi, wilson
from profile_pipeline.applications.recommend import fit_item_knn, recommend

DAY = dt.date(2026, 3, 30)


def test_tgi_of_24_of_30_against_60_of_200() -> None:
    assert tgi(24, 30, 60, 200) == pytest.approx(266.7, abs=0.05)
    assert [100 * share / 0.3 for share in wilson(24, 30)] == pytest.approx([209.0, 301.6], abs=0.05)
    assert fisher(24, 30, 60, 200) == pytest.approx(8.8e-10, rel=0.01)


def test_tgi_of_8_9_percent_against_6_6_is_134_85() -> None:
    assert tgi(89, 1000, 66, 1000) == pytest.approx(134.85, abs=0.005)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_agrees_with_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values).tolist())


def people(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(n)]


def test_small_audiences_and_rare_values_are_left_out_and_an_absent_value_is_zero() -> None:
    inside, outside = people("a", 25), people("b", 75)
    tags = (
        [(p, "t", "in") for p in inside] + [(p, "t", "out") for p in outside] + [(p, "u", "rare") for p in outside[:19]]
    )
    rows = insights_of(DAY, {"big": frozenset(inside), "small": frozenset(inside[:19])}, tags)
    assert [(r["audience"], r["tag"], r["value"], r["n_people"], r["tgi"]) for r in rows] == [
        ("big", "t", "in", 25, 400.0),
        ("big", "t", "out", 0, 0.0),
    ]


def test_a_tag_that_means_nothing_is_not_significant_and_the_defining_value_is() -> None:
    everybody = people("p", 400)
    audience = frozenset(everybody[:100])
    rng = np.random.default_rng(1)
    tags = [(p, "month", str(m)) for p, m in zip(everybody, rng.integers(1, 13, 400), strict=True)]
    tags += [(p, "tier", "high" if p in audience else "low") for p in everybody]
    q = {(r["tag"], r["value"]): r["q_value"] for r in insights_of(DAY, {"x": audience}, tags)}
    assert q["tier", "high"] < 1e-10
    assert min(v for (tag, _), v in q.items() if tag == "month") > 0.05


def checkerboard() -> tuple[list[str], list[str], list[float]]:
    rows = [(f"p{i:02d}", f"i{j:02d}", 1.0) for i in range(20) for j in range(20) if i % 2 == j % 2 and i != j]
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]


def test_the_withheld_item_of_a_checkerboard_comes_out_on_top() -> None:
    model = fit_item_knn(*checkerboard(), shrinkage=10, neighbours=100)
    bought = {f"p{i:02d}": frozenset(f"i{j:02d}" for j in range(20) if i % 2 == j % 2 and i != j) for i in range(20)}
    shown = recommend(model, sorted(bought), left_out=bought, available=None, n_items=3)
    assert all(shown[f"p{i:02d}"][0].item_id == f"i{i:02d}" for i in range(20))
    assert all(shown[f"p{i:02d}"][0].because_of in bought[f"p{i:02d}"] for i in range(20))


def test_who_is_new_gets_what_is_popular_and_nothing_outside_the_catalogue() -> None:
    model = fit_item_knn(["a", "b", "b", "c"], ["x", "x", "y", "z"], [1, 1, 1, 1], shrinkage=10, neighbours=10)
    shown = recommend(model, ["new"], left_out={}, available=frozenset({"x", "y"}), n_items=10)["new"]
    assert [(r.item_id, r.because_of) for r in shown] == [("x", None), ("y", None)]


@given(st.text(max_size=30))
def test_no_cell_of_an_export_is_a_formula(text: str) -> None:
    out = as_csv([{"name": text}], ["name"]).removeprefix("\ufeff")
    cell = list(csv.reader(io.StringIO(out, newline="")))[1][0]
    assert cell in (text, f"'{text}")
    assert not cell.lstrip().startswith(("=", "+", "@"))


def test_similarities_that_differ_in_the_last_bit_only_are_cut_by_name() -> None:
    # The same three numbers summed in two orders: 0.6 and 0.6000000000000001.
    pairs = [("p1", "b", 0.1), ("p2", "b", 0.2), ("p3", "b", 0.3), ("p1", "c", 0.3), ("p2", "c", 0.2), ("p3", "c", 0.1)]
    same = [(person, "a", float(np.expm1(1.0))) for person in ("p1", "p2", "p3")]
    rows = [*same, *((p, item, float(np.expm1(weight))) for p, item, weight in pairs)]
    for order in (rows, rows[::-1]):
        model = fit_item_knn(*map(list, zip(*order, strict=True)), shrinkage=0.0, neighbours=1)
        kept = model.similarity[:, [0]].nonzero()[0].tolist()
        assert [str(model.items[i]) for i in kept] == ["b"]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 7), st.sampled_from([1.0, 2.0, 5.0])), min_size=1, max_size=30
    ),
    st.integers(1, 10),
    st.sets(st.integers(0, 7)),
)
def test_lists_are_those_of_brute_force(rows: list[tuple[int, int, float]], n_items: int, bought: set[int]) -> None:
    names = [f"i{item}" for _, item, _ in rows]
    model = fit_item_knn([f"p{p}" for p, _, _ in rows], names, [w for _, _, w in rows], shrinkage=10, neighbours=3)
    asked = sorted({f"p{p}" for p, _, _ in rows})
    left_out = {person: frozenset(f"i{i}" for i in bought) for person in asked}
    found = recommend(model, asked, left_out=left_out, available=None, n_items=n_items)
    scores = model.matrix.toarray() @ model.similarity.toarray()
    for row, person in enumerate(model.people):
        place = sorted(range(len(model.items)), key=lambda i: (-round(scores[row, i], 12), i))  # used at once
        expected = [str(model.items[i]) for i in place if scores[row, i] > 0 and model.items[i] not in left_out[person]]
        assert [r.item_id for r in found[person] if r.because_of] == expected[:n_items]
