"""The section of MLflow: where runs and models are noted."""

from __future__ import annotations

from pydantic import Field, field_validator

from persona_ray.config.base import Section


class TrackingConfig(Section):
    """MLflow."""

    url: str = Field(
        "",
        description="tracking server or store; empty: mlflow.db in the workspace; off: none. "
        "${NAME} of a database is taken from the environment; a server's login is there, too: "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    )
    experiment: str = Field("persona-ray", description="MLflow experiment that runs go to")
    model: str = Field(
        "persona",
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="registered model whose versions the bundles are",
    )
    challenger: bool = Field(
        True, description="finetune registers its bundle as a version with the alias challenger"
    )
    cache: str = Field(
        "",
        description="folder for bundles fetched from a server; empty: `bundles` in the workspace",
    )

    @field_validator("url", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        # An unquoted `off` is a truth value in YAML.
        return "off" if value is False else value
