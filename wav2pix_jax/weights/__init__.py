"""Import and export of weights, and the names that the PyTorch release gives them."""
