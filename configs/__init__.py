"""Configs: `base.py` has every field; the others import it and change values."""
