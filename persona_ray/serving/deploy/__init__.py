"""The service on Ray Serve: deployments, how they are chained, and the ingress before them."""
