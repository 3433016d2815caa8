"""Measures of generated faces, and the classifiers and baselines they need."""
