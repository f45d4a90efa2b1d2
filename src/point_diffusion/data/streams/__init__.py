"""Files that are larger than memory: read in blocks of rows, never whole."""
