"""Nodes that make new data out of what loaders give."""
