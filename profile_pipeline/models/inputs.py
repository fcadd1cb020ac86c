"""What a model may read: the columns of segments, the label's column, and the features that are kept from a model.

Light enough for every process that lists assets. Not here: reading (`orchestration.building.frames`), or choosing among features (`selection`).
"""

from collections.abc import Sequence

from profile_pipeline.features.matrix import CATEGORY_PREFIX, attribute_column

# The one algorithm that reads what people did with single items, beside the matrix.
ITEM_ALGORITHM = "item_logistic_regression"
# One feature a question, because K-means hears each as often as it is asked: how often one comes, for reading or for shopping,
# how near to buying, how much, and when. Ten ways to count visits would find nothing but people who visit much or little.
SEGMENT_FEATURES = (
    "active_share_all", "content_share_90d", "cart_share_90d", "purchase_amount_90d", "night_share_90d",
)  # fmt: skip


def forbidden_features(names: Sequence[str], left_out: Sequence[str], label: str | None = None) -> list[str]:
    """Return the features that a model must not read: what the settings leave out, and what its own label is made of."""
    words = {*left_out, *((label.removeprefix("attributes."),) if label else ())}
    columns = {*words, *map(attribute_column, words)}
    prefixes = tuple(f"{CATEGORY_PREFIX}{word}=" for word in words)
    return [name for name in names if name in columns or (prefixes and name.startswith(prefixes))]
