"""The one typed configuration that every command and job reads."""

from persona_ray.config.loader import describe, load_config, load_section, write_config
from persona_ray.config.schema import RunConfig

__all__ = ["RunConfig", "describe", "load_config", "load_section", "write_config"]
