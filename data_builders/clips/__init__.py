"""A dataset of clips that were cut from videos."""
