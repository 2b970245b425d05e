"""What a target is, and what an answer is: one file a kind of target."""
