"""The Normal Model of a series, on arrays: build it, join a series with it, ask for the most abnormal subsequences.

    model = build_normal_model(values, length=75)  # all centroids, weighted; model.best() for a single one
    distances = join_distances(values, model, 75)  # of the subsequence that starts at each point
    worst = top_k(distances, k=10, exclusion=75)

Over streams the same is `detectors.normal_model.detector.NormalModelDetector`.
"""

from detectors.normal_model.answers import above, centred, point_scores, top_k
from detectors.normal_model.join import join_distances
from detectors.normal_model.model import NormalModel, build_normal_model
from detectors.normal_model.period import Proposal, propose_length

__all__ = [
    "NormalModel",
    "Proposal",
    "above",
    "build_normal_model",
    "centred",
    "join_distances",
    "point_scores",
    "propose_length",
    "top_k",
]
