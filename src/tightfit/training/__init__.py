"""The loop, its optimiser, checkpoints and trackers."""
