"""Cuts videos into clips: a face and the 4 s of speech around it, as in the paper (section 3)."""
