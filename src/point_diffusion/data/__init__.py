"""The points: where they come from, and how they are handed out."""
