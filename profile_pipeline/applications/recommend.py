"""Item-kNN: items like those a person was occupied with lately, the item that moved each named as the reason.

Cosine between the columns of the person x item matrix with shrinkage: dot / (|a| |b| + shrinkage). Sarwar et al. (2001).
Not here: evaluation, or where the rows come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

BLOCK_ITEMS = 2_000
BLOCK_PEOPLE = 2_000
ITEM_KNN, POPULARITY, RANDOM = "item_knn", "popularity", "random"


@dataclass(frozen=True)
class Recommended:
    """An item for a person."""

    item_id: str
    score: float
    because_of: str | None


@dataclass(frozen=True)
class ItemKnn:
    """A fitted recommender.

    Attributes
    ----------
    people, items
        Names of rows and columns, in order.
    matrix
        Person x item, shape (n, m): damped weight of what they did.
    similarity
        Item x item, shape (m, m): for each column its nearest items.
    popularity
        Positions of the items by the number of people, most first.
    """

    people: np.ndarray
    items: np.ndarray
    matrix: sparse.csr_matrix
    similarity: sparse.csc_matrix
    popularity: np.ndarray


def fit_item_knn(
    profile_ids: Sequence[str], item_ids: Sequence[str], weights: Sequence[float], *, shrinkage: float, neighbours: int
) -> ItemKnn:
    """Fit on (person, item, weight) rows; rows of one pair are summed, and the sum damped by ln(1 + x)."""
    people, person = np.unique(np.asarray(profile_ids, dtype=object).astype(str), return_inverse=True)
    items, item = np.unique(np.asarray(item_ids, dtype=object).astype(str), return_inverse=True)
    matrix = sparse.csr_matrix((np.asarray(weights, dtype=float), (person, item)), shape=(len(people), len(items)))
    matrix.sum_duplicates()
    matrix.data = np.log1p(matrix.data)
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
    columns = matrix.tocsc()
    blocks = []
    for start in range(0, len(items), BLOCK_ITEMS):
        part = columns[:, start : start + BLOCK_ITEMS]
        dots = (columns.T @ part).tocsc()
        dots.sort_indices()
        for j in range(part.shape[1]):
            begin, end = dots.indptr[j], dots.indptr[j + 1]
            rows = dots.indices[begin:end]
            values = dots.data[begin:end] / (norms[rows] * norms[start + j] + shrinkage)
            values[rows == start + j] = 0.0
            if len(values) > neighbours:
                # The tie at the border goes to the item that comes first by name, on every machine.
                worst = np.lexsort((rows, -np.round(values, 12)))[neighbours:]
                values[worst] = 0.0
            dots.data[begin:end] = values
        dots.eliminate_zeros()
        blocks.append(dots)
    similarity = sparse.csc_matrix(sparse.hstack(blocks)) if blocks else sparse.csc_matrix((0, 0))
    n_people = np.asarray((matrix > 0).sum(axis=0)).ravel()
    return ItemKnn(people, items, matrix, similarity, np.lexsort((items, -n_people)))


def recommend(
    model: ItemKnn,
    profile_ids: Sequence[str],
    *,
    left_out: Mapping[str, frozenset[str]],
    available: frozenset[str] | None,
    n_items: int,
) -> dict[str, list[Recommended]]:
    """Recommend to people; popular items fill up, also for who is not in the model.

    Parameters
    ----------
    left_out
        Items that are not to be shown, by person: what they have bought.
    available
        Items of the catalogue; None: there is no catalogue.
    """
    row_of = {person: i for i, person in enumerate(model.people)}
    allowed = np.array([available is None or item in available for item in model.items], dtype=bool)
    popular = [str(model.items[i]) for i in model.popularity if allowed[i]]
    found: dict[str, list[Recommended]] = {}
    ids = list(profile_ids)
    own = np.zeros(len(model.items))
    for start in range(0, len(ids), BLOCK_PEOPLE):
        block = ids[start : start + BLOCK_PEOPLE]
        rows = [row_of.get(person, -1) for person in block]
        known = [row for row in rows if row >= 0]
        scores = (model.matrix[known] @ model.similarity).tocsr() if known else None
        place = 0
        for person, row in zip(block, rows, strict=True):
            shown: list[Recommended] = []
            if row >= 0 and scores is not None:
                # Of the arrays: a row as a matrix of its own costs more than what is asked of it.
                begin, end = scores.indptr[place], scores.indptr[place + 1]
                found_items, values = scores.indices[begin:end], scores.data[begin:end]
                shown = _ranked(
                    model, row, found_items, values, allowed, left_out.get(person, frozenset()), n_items, own
                )
                place += 1
            names = {r.item_id for r in shown} | left_out.get(person, frozenset())
            for item in popular:
                if len(shown) >= n_items:
                    break
                if item not in names:
                    shown.append(Recommended(item, 0.0, None))
            found[person] = shown
    return found


def _ranked(
    model: ItemKnn,
    row: int,
    items: np.ndarray,
    scores: np.ndarray,
    allowed: np.ndarray,
    left_out: frozenset[str],
    n_items: int,
    own: np.ndarray,
) -> list[Recommended]:
    """The best items for a person; `own` is a buffer of zeros, one an item, and is given back as such."""
    values = np.round(scores, 12)
    keep = allowed[items] & (values > 0)
    items, values = items[keep], values[keep]
    n_wanted = n_items + len(left_out)
    if len(values) > n_wanted:
        # All that tie with the last place stay: which of them it gets is settled by name.
        near = values >= np.partition(values, -n_wanted)[-n_wanted]
        items, values = items[near], values[near]
    begin, end = model.matrix.indptr[row], model.matrix.indptr[row + 1]
    mine = model.matrix.indices[begin:end]
    own[mine] = model.matrix.data[begin:end]
    shown: list[Recommended] = []
    for i in np.lexsort((items, -values)):
        item = items[i]
        if len(shown) == n_items:
            break
        if model.items[item] not in left_out:
            begin, end = model.similarity.indptr[item], model.similarity.indptr[item + 1]
            neighbours = model.similarity.indices[begin:end]
            best = int((own[neighbours] * model.similarity.data[begin:end]).argmax())
            shown.append(Recommended(str(model.items[item]), float(values[i]), str(model.items[neighbours[best]])))
    own[mine] = 0.0
    return shown


def random_lists(
    items: Sequence[str], profile_ids: Sequence[str], left_out: Mapping[str, frozenset[str]], *, n_items: int, seed: int
) -> list[list[str]]:
    """Lists drawn at random, for comparison."""
    rng = np.random.default_rng(seed)
    names = np.asarray(items, dtype=object)
    lists = []
    for person in profile_ids:
        drawn = [
            str(item)
            for item in rng.permutation(names)[: n_items + len(left_out.get(person, ()))]
            if item not in left_out.get(person, ())
        ]
        lists.append(drawn[:n_items])
    return lists
