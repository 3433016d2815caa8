"""Training examples: decoded records, the plan of batches, and how a batch is gathered and augmented."""
