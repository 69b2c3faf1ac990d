"""Answers to annotation tools that ask for labels, and what their people say in return."""
