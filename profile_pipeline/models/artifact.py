"""Models as bytes: scikit-learn's as skops with a pinned list of trusted types, LightGBM's as its own text. Never a pickle.

Not here: where the bytes are kept.
"""

import lightgbm as lgb
import skops.io
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from profile_pipeline.errors import ExpectedError
from profile_pipeline.models.algorithms import ItemScorer, LightgbmScorer, Scorer, SklearnScorer

# Types of scikit-learn that skops does not trust by itself and that our pipelines hold.
TRUSTED = ("sklearn.tree._tree.Tree", "numpy.dtype")
ITEM_PARTS = {"prepare": Pipeline, "weigh": TfidfTransformer, "model": LogisticRegression}


class ArtifactError(ExpectedError):
    """The bytes are not a model that may be loaded."""


def to_bytes(scorer: Scorer) -> tuple[bytes, str]:
    """Return a model's bytes and their format."""
    if isinstance(scorer, LightgbmScorer):
        return scorer.booster.model_to_string().encode(), "lightgbm"
    if isinstance(scorer, SklearnScorer):
        return skops.io.dumps(scorer.pipeline), "skops"
    if isinstance(scorer, ItemScorer):
        return skops.io.dumps({name: getattr(scorer, name) for name in ITEM_PARTS}), "skops"
    raise ArtifactError(f"found a {type(scorer).__name__}, expected a model of ours")


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
