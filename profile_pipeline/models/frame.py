"""The frame that models read: people in rows, numbers in columns, made from the matrix and the interests.

Not here: which columns a model keeps (`selection`), or labels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

INTEREST_PREFIX = "interest:"
NOT_FEATURES = ("profile_id", "as_of_date")


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
    """

    profile_ids: np.ndarray
    cohorts: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.profile_ids)

    def rows(self, keep: np.ndarray) -> "Frame":
        """Return the rows of a mask or of positions."""
        return Frame(self.profile_ids[keep], self.cohorts[keep], self.names, self.values[keep])

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """Return the values of features by name, shape (n, len(names))."""
        place = {name: i for i, name in enumerate(self.names)}
        return self.values[:, [place[name] for name in names]]

    def fingerprint(self, labels: Sequence[str]) -> str:
        """Return a hash of rows and labels that does not depend on their order."""
        rounded = np.ascontiguousarray(np.nan_to_num(self.values, nan=-1e300))
        total = 0
        for person, cohort, row, label in zip(self.profile_ids, self.cohorts, rounded, labels, strict=True):
            digest = hashlib.blake2b(f"{person}|{cohort}|{label}".encode() + row.tobytes(), digest_size=16).digest()
            total = (total + int.from_bytes(digest, "big")) % (1 << 128)
        return f"{total:032x}"


def frame_of(matrix: pa.Table, shares: pa.Table, *, interest_names: Sequence[str]) -> Frame:
    """Make a frame from the matrix of one day.

    Parameters
    ----------
    matrix
        profile_id, as_of_date and numeric columns: rows of `features.user_features` of one day.
    shares
        profile_id, name (`<kind>=<interest>`), share: the part of a person's score within the kind, 0 where there is no row.
    interest_names
        Names that become columns.
    """
    ids = np.asarray(matrix.column("profile_id").to_pylist(), dtype=str)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    cohorts = matrix.column("as_of_date").to_numpy().astype("datetime64[D]")[order]
    names = [name for name in matrix.column_names if name not in NOT_FEATURES]
    values = np.zeros((len(ids), len(names) + len(interest_names)))
    for i, name in enumerate(names):
        values[:, i] = matrix.column(name).to_numpy(zero_copy_only=False).astype(float)[order]
    if len(ids) and len(interest_names):
        place = {name: len(names) + i for i, name in enumerate(interest_names)}
        people = np.asarray(shares.column("profile_id").to_pylist(), dtype=str)
        columns = np.array([place.get(name, -1) for name in shares.column("name").to_pylist()], dtype=int)
        rows = np.minimum(np.searchsorted(ids, people), len(ids) - 1)
        known = (columns >= 0) & (ids[rows] == people)
        values[rows[known], columns[known]] = shares.column("share").to_numpy()[known]
    return Frame(ids, cohorts, (*names, *(f"{INTEREST_PREFIX}{name}" for name in interest_names)), values)


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
