"""The service's logs: those of `persona_ray.watch.logs`."""

from persona_ray.watch.logs import configure_logs, log_event, log_exception

__all__ = ["configure_logs", "log_event", "log_exception"]
