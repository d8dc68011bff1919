"""The paper's experiment: five classifiers on each family of features, balanced sub-samplings, windows of 1 to 7 days, cost by Eq. (6).

Of a data set half of the cards train and half test. A sub-sampling takes all frauds of each half and as many other transactions, drawn
without replacement, the same for every family, classifier and window; so differences are between features, not between draws.

Ours, where the paper is silent: the three data sets are three seeds of the simulator; scikit-learn's defaults with 50 trees for the
forest, features as they are, but for logistic regression, which is scaled to converge (unscaled the solver stops short or takes a
hundred times as long).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streams.measures import weighted_cost
from streams.simulators.cards import TABLES, Tables, simulate_cards
from tests.papers.aggregation.families import FAMILIES, WINDOWS, Families, families

CLASSIFIERS = ("random forest", "naive Bayes", "AdaBoost", "logistic regression", "nearest neighbours")
RATES: dict[str, dict[str, Any]] = {"as they are": {}, "equal": {"equal_rates": True}}  # settings of the simulator
SLOW: dict[str, dict[str, Any]] = {"slow": {"active_rate": 0.5, "passive_rate": 0.25, "active_days": 30.0, "passive_days": 30.0}}
DATA_SETS = 3
SUB_SAMPLINGS = 10


def classifier(name: str, seed: int) -> Any:
    """A new classifier of this name."""
    from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = {
        "random forest": lambda: RandomForestClassifier(n_estimators=50, random_state=seed, n_jobs=1),
        "naive Bayes": GaussianNB,
        "AdaBoost": lambda: AdaBoostClassifier(random_state=seed),
        "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "nearest neighbours": lambda: KNeighborsClassifier(n_jobs=1),
    }
    return made[name]()


def balanced(rng: np.random.Generator, rows: np.ndarray, label: np.ndarray) -> np.ndarray:
    """All frauds among these rows and as many others."""
    fraud, other = np.flatnonzero(rows & label), np.flatnonzero(rows & ~label)
    return np.sort(np.concatenate([fraud, rng.choice(other, len(fraud), replace=False)]))


def costs(data: Families, sub_samplings: int, windows: Sequence[int]) -> np.ndarray:
    """Eq. (6) of one data set, shape (sub-samplings, families, classifiers, windows); its floor is 1/101."""
    found = np.empty((sub_samplings, len(FAMILIES), len(CLASSIFIERS), len(windows)))
    for sub in range(sub_samplings):
        rng = np.random.default_rng(sub)
        train, test = (balanced(rng, half, data.label) for half in (data.train, ~data.train))
        for f, family in enumerate(FAMILIES):
            for w, days in enumerate(windows):
                if family == "Tx" and w > 0:  # has no window
                    found[sub, f, :, w] = found[sub, f, :, 0]
                    continue
                features = data.features[family][WINDOWS.index(days)]
                for c, name in enumerate(CLASSIFIERS):
                    fitted = classifier(name, sub).fit(features[train], data.label[train])
                    found[sub, f, c, w] = weighted_cost(fitted.predict(features[test]), data.label[test])
    return found


def experiment(
    rates: Mapping[str, Mapping[str, Any]] = RATES,
    *,
    sub_samplings: int = SUB_SAMPLINGS,
    windows: Sequence[int] = WINDOWS,
    tables: Tables = TABLES,
) -> dict[str, np.ndarray]:
    """Eq. (6) × 1,000 by rates: shape (data sets, sub-samplings, families, classifiers, windows)."""

    def data_set(seed: int, settings: Mapping[str, Any]) -> Families:
        return families(simulate_cards(seed=seed, tables=tables, **settings))

    return {
        name: 1000.0 * np.stack([costs(data_set(seed, settings), sub_samplings, windows) for seed in range(DATA_SETS)])
        for name, settings in rates.items()
    }


def over_time_gap(found: np.ndarray) -> np.ndarray:
    """Mean cost of each family over that of TG, less 1: shape (data sets, families)."""
    mean = found.mean(axis=(1, 3, 4))
    return mean / mean[:, [FAMILIES.index("TG")]] - 1.0
