"""What may train, and what it costs, in integers: no torch, no numpy, no weights."""
