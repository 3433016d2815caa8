"""Speakers that need no download: drawn faces that talk with made-up voices."""
