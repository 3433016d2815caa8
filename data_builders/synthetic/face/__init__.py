"""A renderer of talking heads: an analytic relief that is shaded, painted, and turned.

Each module draws a part of the face, and `head.py` combines them.
"""
