"""Prompt building: card, history and world book become chat messages."""
