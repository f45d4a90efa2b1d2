"""Point Diffusion: a wind tunnel for denoising diffusion on point sets."""

__version__ = "0.1.0"
