"""Bundles as versions of a registered model: who is champion, whom a version heard, and why."""
