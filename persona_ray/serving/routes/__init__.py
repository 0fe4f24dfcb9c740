"""What the ingress answers, one module for each part of it."""
