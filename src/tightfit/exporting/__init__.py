"""A run as files that other tools read, each compared with the run."""
