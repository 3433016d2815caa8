"""Builders that turn what was published, filmed or synthesised into TFDS datasets of one schema."""
