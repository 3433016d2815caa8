"""The demo page: faces from speech, in a browser."""
