"""Files that users keep: workflows with their versions, resources, and the first examples."""
