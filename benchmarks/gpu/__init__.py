"""One command for a machine with a GPU that is there for minutes: everything worth knowing."""
