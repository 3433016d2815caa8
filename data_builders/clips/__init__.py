"""Clips that were cut from videos, as a dataset."""
