"""Recommendations that are computed item by item are those of the matrices, to the bit."""

from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.applications.recommend import fit_item_knn, recommend
from profile_pipeline.settings import RecommendationSettings
from profile_pipeline.verification.deliveries import Recommender

PEOPLE, ITEMS = [f"p{n}" for n in range(6)], [f"i{n}" for n in range(9)]
WEIGHTS = st.dictionaries(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ITEMS)), st.sampled_from([0.1, 0.5, 1.0, 3.0, 7.3]), min_size=1
)


@given(
    weights=WEIGHTS,
    catalogue=st.frozensets(st.sampled_from(ITEMS)),
    bought=st.dictionaries(st.sampled_from(PEOPLE), st.frozensets(st.sampled_from(ITEMS), max_size=3)),
    neighbours=st.integers(1, 9),
    shrinkage=st.sampled_from([0.0, 10.0]),
)
def test_items_are_recommended_in_the_same_order_with_the_same_scores_and_reasons(
    weights: dict[tuple[str, str], float],
    catalogue: frozenset[str],
    bought: dict[str, frozenset[str]],
    neighbours: int,
    shrinkage: float,
) -> None:
    settings = RecommendationSettings(neighbours=neighbours, shrinkage=shrinkage, per_person=4)
    rows = [(person, item, weight) for (person, item), weight in weights.items()]
    fitted = fit_item_knn(*zip(*rows, strict=True), shrinkage=shrinkage, neighbours=neighbours)
    shown = recommend(fitted, PEOPLE, left_out=bought, available=catalogue or None, n_items=4)
    again = Recommender(rows, dict.fromkeys(catalogue, "title"), settings)
    for person in PEOPLE:
        found = again.recommended(person, bought=bought.get(person, frozenset()))
        assert [(item, score) for item, score, _ in found] == [(r.item_id, r.score) for r in shown[person]]
        causes = [None if "popular" in reason else reason.rpartition("(")[2].rstrip(")") for *_, reason in found]
        assert causes == [r.because_of for r in shown[person]]
