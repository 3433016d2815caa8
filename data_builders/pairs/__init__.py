"""The dataset `pairs`: pictures of people beside recordings of them, listed in a table."""
