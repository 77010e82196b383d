"""Nodes that read a file and give what it says in one normalised shape."""
