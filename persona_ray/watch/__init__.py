"""How running jobs and services are seen: figures, events, spans."""
