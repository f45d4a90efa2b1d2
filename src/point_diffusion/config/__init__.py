"""The keys: their types, ranges and meanings; what is wrong with a config."""
