"""Mean, covariance and bounds of rows that come in blocks (Chan et al. 1983, eq. 2.1)."""

import numpy as np
import torch

from point_diffusion.scaling_fit import Moments


class RunningMoments:
    """Moments of all rows so far, in float64.

    Args:
        dim: of the rows.

    Attributes:
        count: of the rows.
        low, high: of each column, shape (dim,).
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.low, self.high = np.full(dim, np.inf), np.full(dim, -np.inf)
        self._mean, self._squares = np.zeros(dim), np.zeros((dim, dim))

    def add(self, rows: np.ndarray) -> None:
        """Take more of them, shape (n, dim), float64; finite."""
        if len(rows) == 0:
            return
        mean = rows.mean(axis=0)
        within, apart, count = rows - mean, mean - self._mean, self.count + len(rows)
        self._squares += within.T @ within + np.outer(apart, apart) * (self.count * len(rows) / count)
        self._mean += apart * (len(rows) / count)
        self.count = count
        self.low, self.high = np.minimum(self.low, rows.min(axis=0)), np.maximum(self.high, rows.max(axis=0))

    def of(self, columns: slice) -> Moments:
        """Those of some columns; there has been a row."""
        covariance = torch.from_numpy(self._squares[columns, columns] / self.count)
        mean, low, high = (torch.from_numpy(each[columns].copy()) for each in (self._mean, self.low, self.high))
        return Moments(mean, covariance.diagonal().sqrt(), low, high, covariance)
