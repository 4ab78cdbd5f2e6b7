"""Builders and comparisons that several test files use."""
