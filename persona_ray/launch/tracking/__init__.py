"""Runs in MLflow: what is written beside a training, and never in its way."""
