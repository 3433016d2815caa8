"""Wav2Pix in JAX: a network that draws a speaker's face from one second of raw speech."""
