"""Models that give an error: fit on rows of shape (n, d), then ‖x − M(x)‖ of any rows.

The paper's four are PCA, an autoencoder, a denoising and a variational one. Torch is not among our tools: two of scikit-learn's
multi-layer perceptrons stand in for the second and third (one narrow hidden layer between two, reconstruction as regression; the
denoising one is fed rows with noise added), and the fourth is in `variational`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

Error = Callable[[np.ndarray], np.ndarray]
Fitter = Callable[[np.ndarray], Error]
COMPONENTS = 20
SHARE = 0.9  # of the variance, for tables
NOISE = 0.3  # of the denoising autoencoder, in standard deviations of all entries


def pca(rows: np.ndarray, components: int = COMPONENTS) -> Error:
    """The first components by singular values."""
    means = rows.mean(axis=0)
    axes = np.linalg.svd(rows - means, full_matrices=False)[2][:components]
    return lambda x: np.asarray(np.linalg.norm((x - means) - (x - means) @ axes.T @ axes, axis=1))


def pca_of_a_table(rows: np.ndarray) -> Error:
    """As many components as hold `SHARE` of the variance, but not all."""
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2
    enough = 1 + int(np.searchsorted(np.cumsum(singular) / singular.sum(), SHARE))
    return pca(rows, min(enough, rows.shape[1] - 1))


def autoencoder(rows: np.ndarray, noise: float = 0.0, seed: int = 0) -> Error:
    """d – 64 – 16 – 64 – d with ReLU, squared error, Adam."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    rng = np.random.default_rng(seed)
    model = MLPRegressor(hidden_layer_sizes=(64, 16, 64), max_iter=60, learning_rate_init=2e-3, batch_size=64, random_state=seed)
    fed, wanted = (np.tile(rows, (2, 1)), np.tile(rows, (2, 1))) if noise else (rows, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(fed + noise * rows.std() * rng.normal(size=fed.shape), wanted)
    return lambda x: np.asarray(np.linalg.norm(x - model.predict(x).reshape(len(x), -1), axis=1))


def denoising(rows: np.ndarray) -> Error:
    """The autoencoder, fed noisy rows and asked for clean ones."""
    return autoencoder(rows, noise=NOISE)


def held_out_errors(fitter: Fitter, rows: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Errors of rows by models that have not seen them, shape (n,): one model a fold, fit on the others.

    With few normal samples this gives the curves all that the model was fit on, without the errors of a model on what it knows.
    """
    errors = np.empty(len(rows))
    for part in np.array_split(rng.permutation(len(rows)), folds):
        rest = np.ones(len(rows), np.bool_)
        rest[part] = False
        errors[part] = fitter(rows[rest])(rows[part])
    return errors
