"""The frame that models read: people in rows, numbers in columns, made from the matrix, the interests and what people did with items.

Not here: which columns a model keeps (`selection`), or labels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import sparse

from profile_pipeline.features.matrix import ITEM_PREFIX, NOT_FEATURES


@dataclass(frozen=True)
class ItemMatrix:
    """What people did with items, person x item.

    Attributes
    ----------
    names
        The k items.
    counts
        Shape (n, k): weight of what a person did with an item.
    deviations
        Shape (n, k): how far a person's rating of an item lies from the mean of that person's ratings; 0 where there is none.
    """

    names: tuple[str, ...]
    counts: sparse.csr_matrix
    deviations: sparse.csr_matrix

    def __len__(self) -> int:
        return self.counts.shape[0]

    def rows(self, keep: np.ndarray | slice) -> "ItemMatrix":
        """Return the rows of a mask, of positions or of a slice."""
        return ItemMatrix(self.names, self.counts[keep], self.deviations[keep])

    def columns(self, names: Sequence[str]) -> "ItemMatrix":
        """Return the items by name."""
        if tuple(names) == self.names:
            return self
        place = {name: i for i, name in enumerate(self.names)}
        wanted = [place[name] for name in names]
        return ItemMatrix(tuple(names), self.counts[:, wanted], self.deviations[:, wanted])


@dataclass(frozen=True)
class Features:
    """What one model reads of people: `values`, shape (n, m), and where it reads items, what they did with them."""

    values: np.ndarray
    items: ItemMatrix | None = None

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, keep: np.ndarray | slice) -> "Features":
        """Return the rows of a mask, of positions or of a slice."""
        return Features(self.values[keep], None if self.items is None else self.items.rows(keep))


@dataclass(frozen=True)
class Frame:
    """People, or people by cohort, and their features.

    Attributes
    ----------
    profile_ids
        Shape (n,), text.
    cohorts
        Shape (n,), datetime64[D]: the day as of which each row was known.
    names
        The m feature names.
    values
        Shape (n, m), float64; NaN where a value is not known.
    items
        What they did with items, where a model reads that.
    """

    profile_ids: np.ndarray
    cohorts: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray
    items: ItemMatrix | None = None

    def __len__(self) -> int:
        return len(self.profile_ids)

    def rows(self, keep: np.ndarray) -> "Frame":
        """Return the rows of a mask or of positions."""
        items = None if self.items is None else self.items.rows(keep)
        return Frame(self.profile_ids[keep], self.cohorts[keep], self.names, self.values[keep], items)

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """Return the values of features by name, shape (n, len(names))."""
        place = {name: i for i, name in enumerate(self.names)}
        return self.values[:, [place[name] for name in names]]

    def without(self, names: Sequence[str]) -> "Frame":
        """Return the frame without some features; what is not there is not missed."""
        kept = tuple(name for name in self.names if name not in set(names))
        return Frame(self.profile_ids, self.cohorts, kept, self.columns(kept), self.items)

    def features(self, names: Sequence[str]) -> Features:
        """Return what a model reads, by its feature names; those of items begin with `item:`."""
        items = [name.removeprefix(ITEM_PREFIX) for name in names if name.startswith(ITEM_PREFIX)]
        values = self.columns([name for name in names if not name.startswith(ITEM_PREFIX)])
        return Features(values, self.items.columns(items) if items and self.items is not None else None)

    def fingerprint(self, labels: Sequence[str]) -> str:
        """Return a hash of rows and labels that does not depend on their order."""
        rounded = np.ascontiguousarray(np.nan_to_num(self.values, nan=-1e300))
        total = 0
        for person, cohort, row, label in zip(self.profile_ids, self.cohorts, rounded, labels, strict=True):
            digest = hashlib.blake2b(f"{person}|{cohort}|{label}".encode() + row.tobytes(), digest_size=16).digest()
            total = (total + int.from_bytes(digest, "big")) % (1 << 128)
        return f"{total:032x}"


def frame_of(
    matrix: pa.Table,
    shares: pa.Table,
    *,
    share_names: Sequence[str],
    consumed: pa.Table | None = None,
    item_names: Sequence[str] = (),
) -> Frame:
    """Make a frame from the matrix of one day.

    Parameters
    ----------
    matrix
        profile_id, as_of_date and numeric columns: rows of `features.user_features` of one day.
    shares
        profile_id, name (such as `interest:<kind>=<interest>`), share; 0 where there is no row.
    share_names
        Names that become columns.
    consumed
        profile_id, item_id, weight, rating (null where there is none): what people did with items, all items.
    item_names
        Items that become columns of `items`.
    """
    ids = np.asarray(matrix.column("profile_id").to_pylist(), dtype=str)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    cohorts = matrix.column("as_of_date").to_numpy().astype("datetime64[D]")[order]
    names = [name for name in matrix.column_names if name not in NOT_FEATURES]
    values = np.zeros((len(ids), len(names) + len(share_names)))
    for i, name in enumerate(names):
        values[:, i] = matrix.column(name).to_numpy(zero_copy_only=False).astype(float)[order]
    if len(ids) and len(share_names):
        place = {name: len(names) + i for i, name in enumerate(share_names)}
        people = np.asarray(shares.column("profile_id").to_pylist(), dtype=str)
        columns = np.array([place.get(name, -1) for name in shares.column("name").to_pylist()], dtype=int)
        rows = np.minimum(np.searchsorted(ids, people), len(ids) - 1)
        known = (columns >= 0) & (ids[rows] == people)
        values[rows[known], columns[known]] = shares.column("share").to_numpy()[known]
    items = item_matrix(ids, consumed, item_names) if consumed is not None and item_names else None
    return Frame(ids, cohorts, (*names, *share_names), values, items)


def item_matrix(ids: np.ndarray, consumed: pa.Table, item_names: Sequence[str]) -> ItemMatrix:
    """Make the person x item matrix of the people `ids`, sorted, from (profile_id, item_id, weight, rating) rows of all their items."""
    people = np.asarray(consumed.column("profile_id").to_pylist(), dtype=str)
    rows = np.minimum(np.searchsorted(ids, people), max(0, len(ids) - 1))
    known = ids[rows] == people if len(ids) else np.zeros(len(people), dtype=bool)
    rating = consumed.column("rating").to_numpy(zero_copy_only=False).astype(float)
    has_rating = known & ~np.isnan(rating)
    n_ratings = np.bincount(rows[has_rating], minlength=len(ids))
    means = np.bincount(rows[has_rating], rating[has_rating], minlength=len(ids)) / np.maximum(1, n_ratings)
    place = {name: i for i, name in enumerate(item_names)}
    columns = np.array([place.get(item, -1) for item in consumed.column("item_id").to_pylist()], dtype=int)
    shape = (len(ids), len(item_names))
    keep = known & (columns >= 0)
    weight = consumed.column("weight").to_numpy(zero_copy_only=False).astype(float)
    counts = sparse.csr_matrix((weight[keep], (rows[keep], columns[keep])), shape=shape)
    keep = has_rating & (columns >= 0)
    deviations = sparse.csr_matrix((rating[keep] - means[rows[keep]], (rows[keep], columns[keep])), shape=shape)
    return ItemMatrix(tuple(item_names), counts, deviations)


def held_out(profile_ids: np.ndarray, share: float) -> np.ndarray:
    """Say who is held out: by a stable hash of the person, the same people every week."""
    limit = int(share * 2**32)
    return np.array(
        [int.from_bytes(hashlib.sha256(f"held out|{p}".encode()).digest()[:4], "big") < limit for p in profile_ids],
        dtype=bool,
    )


def folds(profile_ids: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Give each row a fold, all rows of a person the same one; shape (n,), 0 to n_folds - 1."""
    return np.array(
        [
            int.from_bytes(hashlib.sha256(f"fold|{seed}|{p}".encode()).digest()[:4], "big") % n_folds
            for p in profile_ids
        ],
        dtype=int,
    )
