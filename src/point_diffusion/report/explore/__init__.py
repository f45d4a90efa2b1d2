"""Runs as one web page that moves: what it is told of them, and how it is put together.

The page is one file: ``web/`` holds its HTML, its style and its script in parts, which :mod:`.page` joins with the
numbers that the other modules here gather. Nothing in it is loaded from elsewhere.
"""
