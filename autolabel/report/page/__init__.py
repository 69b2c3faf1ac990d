"""The page: what it says, the numbers and plots in it, and the templates that they go into."""
