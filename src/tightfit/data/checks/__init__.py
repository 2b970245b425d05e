"""What is wrong with rows of text and label: found, counted, shown, and mended on request only."""
