"""Metrics of classifiers and of recommenders, vectorised over resamples.

Every function takes weights, shape (r, n): how often each row stands in each of r resamples; a row of ones is the data itself.
`precision`, `recall`, `f1` are of the positive class of two; of more classes they are prefixed. Not here: baselines, gates.
"""

from collections.abc import Sequence

import numpy as np

EPSILON = 1e-12


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.where(bottom > 0, top / np.maximum(bottom, EPSILON), 0.0)


def roc_auc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve by resample, shape (r,); ties count half; 0.5 where a class is absent."""
    order = np.argsort(score, kind="stable")
    _, group = np.unique(score[order], return_inverse=True)
    w = weights[:, order]
    up, down = w * positive[order], w * ~positive[order]
    n_groups = int(group.max()) + 1
    starts = np.searchsorted(group, np.arange(n_groups))
    up_group, down_group = np.add.reduceat(up, starts, axis=1), np.add.reduceat(down, starts, axis=1)
    below = np.cumsum(down_group, axis=1) - down_group
    won = (up_group * (below + 0.5 * down_group)).sum(axis=1)
    pairs = up.sum(axis=1) * down.sum(axis=1)
    return np.where(pairs > 0, won / np.maximum(pairs, EPSILON), 0.5)


def pr_auc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision by resample, shape (r,): precision at each score, weighted by the recall that it adds."""
    order = np.argsort(-score, kind="stable")
    descending = -score[order]
    _, group = np.unique(descending, return_inverse=True)
    starts = np.searchsorted(group, np.arange(int(group.max()) + 1))
    w = weights[:, order]
    up_group = np.add.reduceat(w * positive[order], starts, axis=1)
    all_group = np.add.reduceat(w, starts, axis=1)
    found, seen = np.cumsum(up_group, axis=1), np.cumsum(all_group, axis=1)
    total = found[:, -1:]
    return (_ratio(found, seen) * _ratio(up_group, np.broadcast_to(total, up_group.shape))).sum(axis=1)


def confusion(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Confusion matrices, shape (r, true, predicted)."""
    cells = labels * n_classes + predicted
    onehot = np.zeros((len(labels), n_classes * n_classes))
    onehot[np.arange(len(labels)), cells] = 1.0
    return (weights @ onehot).reshape(len(weights), n_classes, n_classes)


def classification_metrics(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """All metrics of a classifier by resample.

    Parameters
    ----------
    labels
        Shape (n,), class numbers; of two classes 1 is the positive one.
    probabilities
        Shape (n, k).

    Returns
    -------
    dict
        Name to shape (r,). F1 is the harmonic mean of precision and recall, 2pr / (p + r): accuracy has no part in it.
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1) if n_classes > 2 else (probabilities[:, 1] >= 0.5).astype(int)
    matrix = confusion(labels, predicted, weights, n_classes)
    total = matrix.sum(axis=(1, 2))
    hits = np.diagonal(matrix, axis1=1, axis2=2)
    precision, recall = _ratio(hits, matrix.sum(axis=1)), _ratio(hits, matrix.sum(axis=2))
    f1 = _ratio(2 * precision * recall, precision + recall)
    support = _ratio(matrix.sum(axis=2), total[:, None])
    true_share = np.clip(probabilities[np.arange(len(labels)), labels], 1e-15, 1)
    found = {
        "accuracy": _ratio(hits.sum(axis=1), total),
        "log_loss": _ratio(weights @ -np.log(true_share), total),
        "macro_f1": f1.mean(axis=1),
        "macro_precision": precision.mean(axis=1),
        "macro_recall": recall.mean(axis=1),
    }
    if n_classes == 2:
        positive = labels == 1
        found |= {
            "precision": precision[:, 1],
            "recall": recall[:, 1],
            # From the values that are told beside it, so that it is their harmonic mean to the last digit.
            "f1": f1[:, 1],
            "roc_auc": roc_auc(positive, probabilities[:, 1], weights),
            "pr_auc": pr_auc(positive, probabilities[:, 1], weights),
            "brier": _ratio(weights @ (probabilities[:, 1] - positive) ** 2, total),
        }
    else:
        by_class = [roc_auc(labels == c, probabilities[:, c], weights) for c in range(n_classes)]
        by_class_pr = [pr_auc(labels == c, probabilities[:, c], weights) for c in range(n_classes)]
        onehot = np.eye(n_classes)[labels]
        found |= {
            "weighted_f1": (f1 * support).sum(axis=1),
            "weighted_precision": (precision * support).sum(axis=1),
            "weighted_recall": (recall * support).sum(axis=1),
            "macro_roc_auc": np.mean(by_class, axis=0),
            "macro_pr_auc": np.mean(by_class_pr, axis=0),
            "brier": _ratio(weights @ ((probabilities - onehot) ** 2).sum(axis=1), total),
        }
    return found


def resamples(groups: Sequence[object] | np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw n resamples of people with replacement; shape (n, rows): all rows of a person come together."""
    _, group = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    n_groups = int(group.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n)
    return drawn[:, group].astype(float)


def interval(value: float, sampled: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval, widened to hold the value."""
    low, high = np.quantile(sampled, [0.025, 0.975])
    return min(float(low), value), max(float(high), value)


def ranking_metrics(
    lists: Sequence[Sequence[str]], truth: Sequence[frozenset[str]], *, k: int = 10
) -> dict[str, np.ndarray]:
    """Recall@k and NDCG@k of each person, shape (n,).

    Recall is hits by the smaller of k and what there was to find; the ideal of NDCG is a list with all of these on top
    (Järvelin and Kekäläinen 2002, binary gains).
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    recalls, ndcgs = [], []
    for items, wanted in zip(lists, truth, strict=True):
        hits = np.array([item in wanted for item in items[:k]], dtype=float)
        best = min(k, len(wanted))
        recalls.append(hits.sum() / best)
        ndcgs.append((hits * discounts[: len(hits)]).sum() / discounts[:best].sum())
    return {f"recall@{k}": np.array(recalls), f"ndcg@{k}": np.array(ndcgs)}
