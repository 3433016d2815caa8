"""Convolutions and matrix products in the form that each platform runs fastest."""
