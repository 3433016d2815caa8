"""Builders of TFDS datasets with one schema, from published, filmed or synthesised clips."""
