"""Scores of a day by the stored models, of the features as they stand and, of sampled people, as they were computed again.

The model is the same file and the library the same; what goes into it is not read from the tables of those people. All people of the
day are scored at once, because the last bit of a product depends on how many rows it has. Imported by a step when it runs, because
it brings scikit-learn along. Not here: what scores become (`verification.tags`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from profile_pipeline.features.matrix import CATEGORY_PREFIX, INTEREST_PREFIX, user_features_table
from profile_pipeline.models.frame import Frame, ItemMatrix, frame_of
from profile_pipeline.models.predict import item_names_of, predict, share_names_of
from profile_pipeline.models.segments import assign
from profile_pipeline.orchestration.building.frames import read_frame
from profile_pipeline.orchestration.building.scoring import serving_model
from profile_pipeline.settings import SegmentModelSettings, Settings
from profile_pipeline.verification.people import People
from profile_pipeline.verification.versions import by_key
from profile_pipeline.warehouse.duckdb import Warehouse

Row = dict[str, Any]


def scores_again(
    w: Warehouse, settings: Settings, day: dt.date, people: People, snapshot: Mapping[str, list[Row]]
) -> pa.Table:
    """Return what `profiles.scores` should say of everybody on a day, but for whether the day was final.

    Parameters
    ----------
    people, snapshot
        People whose features were computed again, and what should be there of their features.
    """
    parts = []
    for name, model in settings.models.items():
        row = serving_model(w, name, day)
        if row is None:
            continue
        shares, items = share_names_of(row["feature_names"]), item_names_of(row["feature_names"])
        stands = read_frame(w, settings, day, shares, items)
        frame = _with(stands, _frame(settings, day, people, snapshot, shares, items), people.profile_ids)
        if isinstance(model, SegmentModelSettings):
            segments, sure = assign(row, frame)
            nothing = np.full(len(frame), np.nan)
            parts.append(_table(frame, day, row, segments, nothing, sure, nothing))
            continue
        said = predict(row, frame)
        for i, label in enumerate(said.classes):
            of_class = said.probabilities[:, i], said.scores[:, i], said.percentiles[:, i]
            parts.append(_table(frame, day, row, np.full(len(frame), label, dtype=object), *of_class))
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()


SCHEMA = pa.schema([
    ("profile_id", pa.string()), ("as_of_date", pa.date32()), ("model", pa.string()), ("class", pa.string()), ("week", pa.date32()),
    ("probability", pa.float64()), ("score", pa.float64()), ("percentile", pa.float64()),
])  # fmt: skip


def _table(frame: Frame, day: dt.date, row: Mapping[str, Any], classes: np.ndarray, *said: np.ndarray) -> pa.Table:
    n = len(frame)
    told = [pa.array(values, pa.float64(), from_pandas=True) for values in said]
    columns = [frame.profile_ids.tolist(), [day] * n, [row["model"]] * n, classes.tolist(), [row["week"]] * n]
    return pa.table([*(pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=False)), *told], schema=SCHEMA)


def _frame(
    settings: Settings,
    day: dt.date,
    people: People,
    snapshot: Mapping[str, list[Row]],
    share_names: Sequence[str],
    item_names: Sequence[str],
) -> Frame:
    """Return the frame of the people whose features were computed again, from what should be there."""
    table = user_features_table(settings.features.attributes, has_events=settings.has_events)
    rows = snapshot[table.name]
    types = {"VARCHAR": pa.string(), "DATE": pa.date32(), "DOUBLE": pa.float64()}
    matrix = pa.table({c.name: pa.array([row[c.name] for row in rows], types[c.type]) for c in table.columns})
    known = {row["profile_id"] for row in rows}
    liked = by_key(snapshot["features.interests"], "profile_id")
    shares: list[tuple[str, str, float]] = []
    consumed: list[tuple[str, str, float, float | None]] = []
    for profile in people.profiles_on(day):
        if profile.profile_id not in known:
            continue
        for kind, of_kind in by_key(liked.get(profile.profile_id, ()), "kind").items():
            total = float(sum(row["score"] for row in of_kind))
            named = ((f"{INTEREST_PREFIX}{kind}={row['interest']}", float(row["score"]) / total) for row in of_kind)
            shares += [(profile.profile_id, *share) for share in named]
        for column, text in people.categories_of(profile, day).items():
            shares.append((profile.profile_id, f"{CATEGORY_PREFIX}{column}={text}", 1.0))
        consumed += [(profile.profile_id, *of_item) for of_item in people.occupied_with(profile, day)]
    consumed.sort(key=lambda row: row[:2])
    return frame_of(
        matrix, _columns(shares, ("profile_id", "name", "share")), share_names=share_names,
        consumed=_columns(consumed, ("profile_id", "item_id", "weight", "rating")) if item_names else None, item_names=item_names,
    )  # fmt: skip


def _columns(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> pa.Table:
    kinds = [pa.string(), pa.string(), pa.float64(), pa.float64()]
    return pa.table({name: pa.array([row[i] for row in rows], kinds[i]) for i, name in enumerate(names)})


def _with(stands: Frame, fresh: Frame, profile_ids: set[str]) -> Frame:
    """Put rows that were computed again in the place of those that stand."""
    kept = stands.rows(~np.isin(stands.profile_ids, np.array(sorted(profile_ids), dtype=str)))
    ids = np.concatenate([kept.profile_ids.astype(str), fresh.profile_ids.astype(str)])
    items = None
    if kept.items is not None and fresh.items is not None:
        items = ItemMatrix(
            kept.items.names,
            sparse.csr_matrix(sparse.vstack([kept.items.counts, fresh.items.counts])),
            sparse.csr_matrix(sparse.vstack([kept.items.deviations, fresh.items.deviations])),
        )
    whole = Frame(ids, np.concatenate([kept.cohorts, fresh.cohorts]), kept.names, np.vstack([kept.values, fresh.columns(kept.names)]), items)  # fmt: skip
    return whole.rows(np.argsort(ids, kind="stable"))
