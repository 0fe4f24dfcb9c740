"""A Ray platform for call centres: from call recordings to a caller's personality colour."""

__version__ = "0.1.0"
