"""What the project measures itself against: the tutorial's loop, and the tightest that plain PyTorch allows.

Neither has a checkpoint, a log or a picture; both run on the device that their points are on.
"""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from point_diffusion.networks import MLPDiffusion
from point_diffusion.schedule import NoiseSchedule

BATCH_SIZE, LEARNING_RATE, LARGEST_NORM, DECAY = 512, 1e-3, 1.0, 0.99


class TutorialNetwork(nn.Module):
    """The tutorial's perceptron: the embedding of the step is added in place before each ReLU.

    Args:
        num_step: rows of the embeddings.
        num_units: width of the hidden layers.
    """

    def __init__(self, num_step: int, num_units: int = 128) -> None:
        super().__init__()
        widths = [2, num_units, num_units, num_units]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.embeddings = nn.ModuleList(nn.Embedding(num_step, num_units) for _ in self.linears)
        self.relu = nn.ReLU()
        self.head = nn.Linear(num_units, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        for linear, embedding in zip(self.linears, self.embeddings, strict=True):
            x = linear(x)
            x += embedding(t)
            x = self.relu(x)
        return self.head(x)


class Tutorial:
    """The tutorial's training and sampling as it does them: a DataLoader that collates point by point, the norm
    clipped, Adam; sampling keeps the gradients of all steps.

    Args:
        points: shape (N, 2), divided by 10.
        schedule: the noise.
        num_units: width of the network.
    """

    def __init__(self, points: Tensor, schedule: NoiseSchedule, num_units: int = 128) -> None:
        device = points.device
        self.network = TutorialNetwork(schedule.num_step, num_units).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.loader: DataLoader[Tensor] = DataLoader(points.cpu(), BATCH_SIZE, shuffle=True)  # type: ignore[arg-type]
        self.device, self.num_step = device, schedule.num_step
        self.betas = schedule.betas.to(device)
        self.signals = schedule.alphas_cumprod.sqrt().to(device)
        self.sigmas = (1 - schedule.alphas_cumprod).sqrt().to(device)

    def loss(self, x_0: Tensor) -> Tensor:
        half = torch.randint(0, self.num_step, (len(x_0) // 2,), device=self.device)
        t = torch.cat([half, self.num_step - 1 - half]).unsqueeze(-1)
        noise = torch.randn_like(x_0)
        x = x_0 * self.signals[t] + noise * self.sigmas[t]
        return (noise - self.network(x, t.squeeze(-1))).square().mean()

    def epoch(self) -> None:
        """All points once, in steps of 512."""
        for batch in self.loader:
            loss = self.loss(batch.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_NORM)
            self.optimizer.step()

    def sample(self, num_samples: int) -> list[Tensor]:
        """All states of the reverse chain: num_step + 1 of shape (num_samples, 2)."""
        states = [torch.randn(num_samples, 2, device=self.device)]
        for step in reversed(range(self.num_step)):
            t, x = torch.tensor([step], device=self.device), states[-1]
            epsilon = self.network(x, t)
            mean = (x - self.betas[t] / self.sigmas[t] * epsilon) / (1 - self.betas[t]).sqrt()
            states.append(mean + self.betas[t].sqrt() * torch.randn_like(x))
        return states

    def draw(self, states: list[Tensor]) -> None:
        """Its grid of five states, with pyplot; nothing is written."""
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(1, 5, figsize=(28, 7))
        for axis, state in zip(axes, states[self.num_step // 5 :: self.num_step // 5], strict=False):
            x, y = state.detach().cpu().T
            axis.scatter(x, y, color="red", edgecolor="white")
            axis.set_axis_off()
        figure.canvas.draw()
        pyplot.close(figure)


class Tightest:
    """The arithmetic of a default run of ours in the fewest operations: order, steps and noise of an epoch are
    drawn at once, all parameters are clipped, stepped and averaged in one pass each.

    Args:
        points: shape (N, 2), as the network sees them.
        schedule: the noise.
        num_units: width of the network.
        averaged: with the moving average of the weights.
    """

    def __init__(
        self, points: Tensor, schedule: NoiseSchedule, num_units: int = 128, averaged: bool = True
    ) -> None:
        device = points.device
        self.points, self.averaged = points, averaged
        self.network = MLPDiffusion(schedule.num_step, num_units).to(device)
        self.parameters = list(self.network.parameters())
        self.average = [p.detach() for p in copy.deepcopy(self.network).parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=LEARNING_RATE, fused=True)
        self.levels = torch.stack(
            [schedule.alphas_cumprod.sqrt(), (1 - schedule.alphas_cumprod).sqrt()], dim=1
        ).to(device)

    def epoch(self) -> None:
        """All points once, in steps of 512."""
        points = self.points[torch.randperm(len(self.points), device=self.points.device)]
        noise = torch.randn_like(points)
        half = torch.randint(0, len(self.levels), (len(points) // 2,), device=points.device)
        t = torch.stack([half, len(self.levels) - 1 - half], dim=1).flatten()
        signal, sigma = self.levels[t].split(1, dim=1)
        x = signal * points + sigma * noise
        weights = [p.detach() for p in self.parameters]
        for x_t, step, target in zip(*(each.split(BATCH_SIZE) for each in (x, t, noise)), strict=True):
            loss = F.mse_loss(self.network(x_t, step), target)
            loss.backward()
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            torch.nn.utils.clip_grads_with_norm_(self.parameters, LARGEST_NORM, norm)
            self.optimizer.step()
            for parameter in self.parameters:
                parameter.grad = None
            if self.averaged:
                torch._foreach_lerp_(self.average, weights, 1 - DECAY)


class Products:
    """The matrix products of an epoch's steps, forward and backward, and nothing else: with these kernels no loop
    comes below their time.

    Args:
        points: shape (N, 2); how many and where is all that counts.
        num_units: width of the network.
    """

    def __init__(self, points: Tensor, num_units: int = 128) -> None:
        self.batches = [len(batch) for batch in points.split(BATCH_SIZE)]
        widths = [2, num_units, num_units, num_units, 2]
        like = {"device": points.device, "dtype": points.dtype}
        self.inputs = [torch.randn(BATCH_SIZE, width, **like) for width in widths]
        self.weights = [torch.randn(b, a, **like) for a, b in pairwise(widths)]
        self.gradients = [torch.empty_like(each) for each in self.weights]
        self.outputs = [torch.empty_like(each) for each in self.inputs]

    @torch.inference_mode()
    def epoch(self) -> None:
        """All points once, in steps of 512."""
        for rows in self.batches:
            x, out = ([each[:rows] for each in both] for both in (self.inputs, self.outputs))
            for layer, weight in enumerate(self.weights):
                torch.mm(x[layer], weight.T, out=out[layer + 1])
            for layer, (weight, gradient) in reversed(
                list(enumerate(zip(self.weights, self.gradients, strict=True)))
            ):
                torch.mm(x[layer + 1].T, x[layer], out=gradient)
                if layer > 0:  # nobody asks for the gradient of the points
                    torch.mm(x[layer + 1], weight, out=out[layer])
