"""Build steps: a checkpoint becomes what an engine loads."""
