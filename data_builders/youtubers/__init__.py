"""The published Youtubers dataset, as released and as leak-free clips."""
