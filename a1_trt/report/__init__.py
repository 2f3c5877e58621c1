"""Figures for people: plots and pages of the results that other commands wrote."""
