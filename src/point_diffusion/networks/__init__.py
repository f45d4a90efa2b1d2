"""The networks, one a file: what answers when it is shown noised points."""

from point_diffusion.networks.build import build_network as build_network
from point_diffusion.networks.build import call_network as call_network
from point_diffusion.networks.condition import ConditionEmbedding as ConditionEmbedding
from point_diffusion.networks.interval_mlp import IntervalEmbedding as IntervalEmbedding
from point_diffusion.networks.interval_mlp import IntervalMLP as IntervalMLP
from point_diffusion.networks.mlp import MLPDiffusion as MLPDiffusion
