"""What a run needs around its training step: workdir, checkpoints, devices, signals and logs."""
