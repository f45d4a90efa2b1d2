"""A training run: what Lightning is given."""
