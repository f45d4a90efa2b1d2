"""The samplers, one a file: how to get from one noise level to the next."""

from point_diffusion.reverse import SAMPLE_BLOCK as SAMPLE_BLOCK
from point_diffusion.reverse import Sampler as Sampler
from point_diffusion.reverse import State as State
from point_diffusion.samplers.build import build_sampler as build_sampler
from point_diffusion.samplers.build import check_sampler as check_sampler
from point_diffusion.samplers.ddim import DDIM as DDIM
from point_diffusion.samplers.ddpm import DDPM as DDPM
from point_diffusion.samplers.deis import DEIS as DEIS
from point_diffusion.samplers.dpm_solver import DPMSolver as DPMSolver
from point_diffusion.samplers.heun import Heun as Heun
from point_diffusion.samplers.mean_flow import JUMPS as JUMPS
from point_diffusion.samplers.mean_flow import MeanFlow as MeanFlow
from point_diffusion.samplers.unipc import UniPC as UniPC
