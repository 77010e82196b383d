"""Verbs that this pack brings to the command line; each is imported when it runs."""
