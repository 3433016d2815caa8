"""Synthetic speakers: rendered faces that talk with synthesised voices. They need no download."""
