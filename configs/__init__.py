"""Configs: `base.py` says everything; the others import it and change fields."""
