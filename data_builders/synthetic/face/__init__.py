"""A renderer of talking heads: an analytic relief, shaded, painted, and turned.

`head.py` puts together what the other files draw, each its part of the face.
"""
