"""Screening of unknown calls over HTTP and WebSocket: shells over `inference.screening`."""
