"""Finished work in a bucket or a folder of its own, and back into an empty workspace."""
