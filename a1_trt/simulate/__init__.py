"""Deployments in virtual time: the same scheduler against a modelled engine."""
