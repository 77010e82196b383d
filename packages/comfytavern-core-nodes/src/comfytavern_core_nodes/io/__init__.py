"""The ends of a workflow, and workflows inside workflows."""
