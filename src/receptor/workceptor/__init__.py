"""Units of work: what they are, how they run here, and how they run on another node."""
