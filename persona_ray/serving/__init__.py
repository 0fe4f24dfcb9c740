"""Trained bundles as a service: routes, protocols and deployments over the objects of inference."""
