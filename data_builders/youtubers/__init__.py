"""The published Youtubers faces, as released and as leak-free clips."""
