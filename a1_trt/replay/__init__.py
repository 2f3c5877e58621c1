"""Recorded scores through any controller, without a model."""
