"""Numbers and points in, pictures and tables out."""
