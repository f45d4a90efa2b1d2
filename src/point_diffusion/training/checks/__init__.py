"""What must be right before a run gets its folder, a file for each kind of thing that may be wrong."""
