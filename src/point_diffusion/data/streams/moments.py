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
        columns = np.ascontiguousarray(rows.T)  # numpy sums along them ten times as fast
        mean = columns.mean(axis=1)
        within, apart, count = columns - mean[:, None], mean - self._mean, self.count + len(rows)
        self._squares += within @ within.T + np.outer(apart, apart) * (self.count * len(rows) / count)
        self._mean += apart * (len(rows) / count)
        self.count = count
        self.low = np.minimum(self.low, columns.min(axis=1))
        self.high = np.maximum(self.high, columns.max(axis=1))

    def of(self, columns: slice) -> Moments:
        """Those of some columns; there has been a row."""
        covariance = torch.from_numpy(self._squares[columns, columns] / self.count)
        mean, low, high = (torch.from_numpy(each[columns].copy()) for each in (self._mean, self.low, self.high))
        return Moments(mean, covariance.diagonal().sqrt(), low, high, covariance)
