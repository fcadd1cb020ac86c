"""Models as bytes: scikit-learn's as skops with a pinned list of trusted types, LightGBM's as its own text. Never a pickle.

Not here: where the bytes are kept.
"""

import datetime as dt
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import skops.io
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from profile_pipeline.errors import ExpectedError
from profile_pipeline.models.algorithms import ItemScorer, LightgbmScorer, Scorer, SklearnScorer

# Types of scikit-learn that skops does not trust by itself and that our pipelines hold.
TRUSTED = ("sklearn.tree._tree.Tree", "numpy.dtype")
_SCHEMA, _PART = "schema.json", re.compile(r"(\d+)\.(npy|npz|bin)")
ITEM_PARTS = {"prepare": Pipeline, "weigh": TfidfTransformer, "model": LogisticRegression}


class ArtifactError(ExpectedError):
    """The bytes are not a model that may be loaded."""


def to_bytes(scorer: Scorer) -> tuple[bytes, str]:
    """Return a model's bytes and their format."""
    if isinstance(scorer, LightgbmScorer):
        return scorer.booster.model_to_string().encode(), "lightgbm"
    if isinstance(scorer, SklearnScorer):
        return stable_skops(scorer.pipeline), "skops"
    if isinstance(scorer, ItemScorer):
        return stable_skops({name: getattr(scorer, name) for name in ITEM_PARTS}), "skops"
    raise ArtifactError(f"found a {type(scorer).__name__}, expected a model of ours")


def stable_skops(model: object) -> bytes:
    """Return a model as skops bytes that are the same for the same model.

    skops names parts after their place in memory, and its archive holds the time: both are put in order here.
    """
    numbers: dict[str, str] = {}

    def numbered(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: int(numbers.setdefault(str(value), str(len(numbers)))) if key == "__id__" else numbered(value)
                for key, value in node.items()
            }
        if isinstance(node, list):
            return [numbered(part) for part in node]
        if isinstance(node, str) and (found := _PART.fullmatch(node)):
            return f"{numbers.setdefault(found[1], str(len(numbers)))}.{found[2]}"
        return node

    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as source, zipfile.ZipFile(target, "w") as stable:
        schema = json.dumps(numbered(json.loads(source.read(_SCHEMA))), indent=1)
        parts = {numbered(name): source.read(name) for name in source.namelist() if name != _SCHEMA}
        for name, data in sorted({**parts, _SCHEMA: schema.encode()}.items()):
            stable.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)
    return target.getvalue()


def digest_of(data: bytes | None) -> str | None:
    """Return the sha256 under which a model's bytes are kept; None where there are none."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def stored_bytes(row: Mapping[str, Any]) -> bytes:
    """Return the bytes of a model from its row, once they are seen to be those that were written.

    Raises
    ------
    ArtifactError
        If they are others. A row of a release that kept no sha256 is taken as it is.
    """
    data: bytes = row["artifact"]
    found, expected = digest_of(data), row["artifact_sha256"]
    if expected is not None and found != expected:
        raise ArtifactError(
            f"the model {row['model']} of the week {row['week']} is not what was written: found the sha256 {found}, expected {expected}."
            f" Train it again: profile-pipeline run --from {row['week']} --to {row['week'] + dt.timedelta(days=6)}"
        )
    return data


def from_bytes(data: bytes, artifact_format: str) -> Scorer:
    """Load a model.

    Raises
    ------
    ArtifactError
        If the format is unknown, or the bytes hold a type that is not trusted.
    """
    if artifact_format == "lightgbm":
        if not data.startswith(b"tree"):
            raise ArtifactError("found bytes that are no LightGBM model")
        return LightgbmScorer(lgb.Booster(model_str=data.decode()))
    if artifact_format == "skops":
        loaded = load_skops(data)
        if isinstance(loaded, Pipeline):
            return SklearnScorer(loaded)
        if isinstance(loaded, dict) and {name: type(part) for name, part in loaded.items()} == ITEM_PARTS:
            return ItemScorer(**loaded)
        raise ArtifactError(f"found a {type(loaded).__name__}, expected a model of ours")
    raise ArtifactError(f"found the format {artifact_format!r}, expected skops or lightgbm")


def load_skops(data: bytes) -> object:
    """Load skops bytes if they hold nothing but trusted types.

    Raises
    ------
    ArtifactError
        Else.
    """
    if data[:4] != b"PK\x03\x04":
        raise ArtifactError("found bytes that are no skops file")
    unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED))
    if unknown:
        raise ArtifactError(f"the model holds types that are not trusted: {', '.join(unknown)}")
    return skops.io.loads(data, trusted=list(TRUSTED))
