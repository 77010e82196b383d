"""Small nodes that a graph cannot do without: text, numbers, choices, streams."""
