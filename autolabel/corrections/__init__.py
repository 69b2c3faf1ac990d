"""What people said about labels, what it adds up to, and how it lies over what machines found."""
