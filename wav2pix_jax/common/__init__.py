"""What every other part builds on: the schema, errors, files, audio and images. No JAX."""
