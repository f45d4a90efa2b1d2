"""The classifier two-sample test of simulation-based inference."""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from point_diffusion.metrics.distances import pair_of_sets

FOLDS = 5


def c2st(x: ArrayLike, y: ArrayLike, seed: int = 1) -> float:
    """How often a perceptron tells which set a point is from, on points that it was not fitted to (Lopez-Paz &
    Oquab 2017; as in Lueckmann et al. 2021): the mean accuracy of five folds, of two hidden layers of 10 dim ReLUs
    each, on points standardised by the first set.

    It takes ten times as long as :func:`point_diffusion.metrics.classifier_accuracy`; published figures are of it.

    Args:
        x: shape (n, dim), the truth.
        y: shape (m, dim).
        seed: of the folds and the perceptron.

    Returns:
        A share: 0.5 where nothing tells them apart, 1 where everything does.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    x, y = pair_of_sets(x, y)
    mean, deviation = x.mean(axis=0), x.std(axis=0, ddof=1)
    points = (np.concatenate([x, y]) - mean) / np.where(deviation > 0, deviation, 1)
    labels = np.repeat([0, 1], [len(x), len(y)])
    width = 10 * x.shape[1]
    classifier = MLPClassifier((width, width), max_iter=1000, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():  # on a busy machine a second thread costs a hundredfold
        warnings.simplefilter("ignore", ConvergenceWarning)
        folds = KFold(FOLDS, shuffle=True, random_state=seed)
        return float(np.mean(cross_val_score(classifier, points, labels, cv=folds, scoring="accuracy")))
