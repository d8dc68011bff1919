"""Models that are only measured: river's, by name, beside the champion on the same vectors in the same order.

Each predicts every matured transaction before it learns it, so that all of it is test data once. They are not saved: after a restart
they learn anew from the log. River takes a transaction as a dictionary and works in Python, at hundreds to some thousands a second.

====================  ============================================================================================
name                  river's
====================  ============================================================================================
forest                adaptive random forest, ten trees
naive_bayes           Gaussian naive Bayes
boosting              AdaBoost of ten Hoeffding trees
logistic_regression   logistic regression by stochastic gradient descent, standardised
nearest_neighbours    the five nearest of the last thousand, standardised
====================  ============================================================================================

These are the families that the paper compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from detectors.protocol import Floats, Ints
from streams import measures

KEPT = 100_000  # of the last matured transactions: what is measured
CHAMPION = "champion"


class Challenger(Protocol):
    """A model that learns one transaction after another."""

    def predict_then_learn(self, vectors: Floats, fraud: Ints) -> Floats:
        """The probability of fraud of each vector, said before it was learned; shapes (n, F), (n,), (n,)."""


class RiverChallenger:
    """One of river's classifiers."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self.model, self.names = model, tuple(names)

    def predict_then_learn(self, vectors: Floats, fraud: Ints) -> Floats:
        said = np.zeros(len(vectors))
        for row, (vector, outcome) in enumerate(zip(vectors.tolist(), fraud.tolist(), strict=True)):
            x = dict(zip(self.names, vector, strict=True))
            said[row] = self.model.predict_proba_one(x).get(True, 0.0)
            self.model.learn_one(x, bool(outcome))
        return said


def _forest() -> Any:
    from river import forest

    return forest.ARFClassifier(n_models=10, seed=1)


def _naive_bayes() -> Any:
    from river import naive_bayes

    return naive_bayes.GaussianNB()  # type: ignore[no-untyped-call]


def _boosting() -> Any:
    from river import ensemble, tree

    return ensemble.AdaBoostClassifier(tree.HoeffdingTreeClassifier(), n_models=10, seed=1)


def _logistic_regression() -> Any:
    from river import linear_model, preprocessing

    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def _nearest_neighbours() -> Any:
    from river import neighbors, preprocessing

    return preprocessing.StandardScaler() | neighbors.KNNClassifier(n_neighbors=5, engine=neighbors.LazySearch(window_size=1_000))


RIVERS: Mapping[str, Callable[[], Any]] = {
    "forest": _forest,
    "naive_bayes": _naive_bayes,
    "boosting": _boosting,
    "logistic_regression": _logistic_regression,
    "nearest_neighbours": _nearest_neighbours,
}


def by_name(wanted: Sequence[str], names: Sequence[str]) -> dict[str, Callable[[], Challenger]]:
    """What makes each challenger that a setting names.

    Raises
    ------
    ValueError
        For a name that is none.
    """
    for name in wanted:
        if name not in RIVERS:
            raise ValueError(f"challengers = {list(wanted)}: {name!r} is none; wanted some of {', '.join(RIVERS)}")
    return {name: lambda make=RIVERS[name]: RiverChallenger(make(), names) for name in wanted}  # type: ignore[misc]


class Scoreboard:
    """What the champion and its challengers said of the last matured transactions, and what those were."""

    def __init__(self, challengers: Mapping[str, Challenger], names: Sequence[str], keep: int = KEPT) -> None:
        self.challengers, self._keep = dict(challengers), keep
        self._said: dict[str, list[Floats]] = {name: [] for name in (CHAMPION, *self.challengers)}
        self._fraud: list[Ints] = []
        self._held = 0

    def learn(self, vectors: Floats, fraud: Ints, champion: Floats) -> None:
        """Let the challengers predict and learn; `champion` are its logits before it learned, NaN where it did not have to say."""
        self._said[CHAMPION].append(1.0 / (1.0 + np.exp(-np.clip(champion, -700.0, 700.0))))
        for name, challenger in self.challengers.items():
            self._said[name].append(challenger.predict_then_learn(vectors, fraud))
        self._fraud.append(fraud)
        self._held += len(fraud)
        while self._held - len(self._fraud[0]) >= self._keep:
            self._held -= len(self._fraud.pop(0))
            for said in self._said.values():
                said.pop(0)

    def measures(self) -> dict[str, dict[str, Any]]:
        """By model: how many transactions and frauds, ROC AUC, average precision, mean log loss."""
        if not self._fraud:
            return {}
        fraud = np.concatenate(self._fraud) > 0
        found: dict[str, dict[str, Any]] = {}
        for name, parts in self._said.items():
            said = np.concatenate(parts)
            judged = ~np.isnan(said)
            p, y = said[judged], fraud[judged]
            safe = p.clip(1e-12, 1.0 - 1e-12)
            found[name] = {
                "transactions": len(y),
                "frauds": int(y.sum()),
                "roc_auc": measures.roc_auc(p, y),
                "average_precision": measures.average_precision(p, y),
                "log_loss": float(-np.mean(np.where(y, np.log(safe), np.log1p(-safe)))) if len(y) else None,
            }
        return found
