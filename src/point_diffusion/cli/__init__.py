"""What the scripts share: the command line."""
