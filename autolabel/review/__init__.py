"""What people look at, in which order, and what they say of it."""
