"""Measures Boondock; figures are of the machine they were taken on, only their ratios travel."""
