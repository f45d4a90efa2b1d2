"""What a network is told of a point beside its noise, classes and numbers, and the check of what it is given."""

import torch
from torch import Tensor, nn


class ConditionEmbedding(nn.Module):
    """What a network is told of a point's class and of numbers that belong to it, as a vector to be added.

    A condition has the class's index in its first column, where there are classes, and then the numbers. NaN means
    that the network is not told, for which there is a vector of its own.

    Args:
        width: of the vector.
        num_classes: 0 where there are none.
        num_conditions: how many numbers; 0 where there are none.
    """

    def __init__(self, width: int, num_classes: int = 0, num_conditions: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.classes = nn.Embedding(num_classes + 1, width) if num_classes else None  # the last: not told
        self.numbers = nn.Linear(num_conditions, width, bias=False) if num_conditions else None
        if num_conditions:
            self.no_numbers = nn.Parameter(torch.zeros(width))

    def forward(self, condition: Tensor) -> Tensor:
        """From shape (B, columns) to (B, width)."""
        parts = []
        numbers = condition
        if self.classes is not None:
            parts.append(self.classes(condition[:, 0].nan_to_num(self.num_classes).long()))
            numbers = condition[:, 1:]
        if self.numbers is not None:
            told = ~numbers.isnan().any(dim=1, keepdim=True)
            parts.append(torch.where(told, self.numbers(numbers.nan_to_num()), self.no_numbers))
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def condition_embeddings(width: int, num_classes: int, num_conditions: int, num_layers: int) -> nn.ModuleList:
    """One for each layer; none for a network that is conditioned on nothing."""
    count = num_layers if num_classes or num_conditions else 0
    return nn.ModuleList(ConditionEmbedding(width, num_classes, num_conditions) for _ in range(count))


def check_points(x: Tensor, dim: int) -> None:
    """Raise ValueError unless ``x`` is of shape (B, dim)."""
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"x: must be of shape (B, {dim}), not {tuple(x.shape)}")


def checked_condition(x: Tensor, condition: Tensor | None, num_columns: int) -> Tensor | None:
    """A condition for each of the points ``x``, shape (B, num_columns), of NaN where nothing is told; None for a
    network that takes none.

    Raises:
        ValueError: it is of another shape.
    """
    if condition is None and num_columns:
        condition = x.new_full((len(x), num_columns), torch.nan)
    if condition is not None and condition.shape != (len(x), num_columns):
        wanted = (len(x), num_columns) if num_columns else None
        raise ValueError(f"condition: must be of shape {wanted}, not {tuple(condition.shape)}")
    return condition
