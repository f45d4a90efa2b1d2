"""The version of this package, which checkpoints tell."""

__version__ = "0.1.0"
