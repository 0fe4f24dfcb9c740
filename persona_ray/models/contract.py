"""What a bundle promises: read without torch, checked before a weight is loaded."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    JsonValue,
    Tag,
    model_validator,
)

from persona_ray.types import Modality

CONTRACT_VERSION: Final = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Of a file inside the bundle: relative, no step upwards.
FileName = Annotated[str, Field(pattern=r"^(speech/|text/)?[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SpeechContract(_Strict):
    """The speech tower: what it must be fed and what is taken from it."""

    sample_rate_hz: int = Field(gt=0, description="rate of the waves")
    max_clip_s: float = Field(gt=0, description="longer audio is cut to this length, in seconds")
    input: Literal["wave", "log_mel"] = Field(
        "wave", description="what the first layer sees; log_mel as WhisperFeatureExtractor makes it"
    )
    normalize: bool = Field(description="each clip to zero mean and unit variance")
    layers: int = Field(ge=1, description="Transformer blocks, the outputs of all are weighted")
    features: int = Field(ge=1, description="width of a block's output")
    pooling: Literal["mean"] = Field(description="over a clip's own frames")
    standardised: bool = Field(
        False,
        description="each number of the pooled blocks to zero mean and unit variance over the "
        "training clips, before the layers are weighted; the head holds both",
    )
    published: Sha256 | None = Field(
        None,
        description="of the published weights that the bundle does not hold, since a package that "
        "persona-ray depends on brings them; empty: they are in the bundle",
    )


class TextContract(_Strict):
    """The text tower."""

    max_tokens: int = Field(ge=4, description="longer texts are cut to this length")
    features: int = Field(ge=1, description="width of the vector")
    pooling: Literal["cls", "grams"] = Field(
        description="cls: last hidden state of the first token; grams: weighted sum over the "
        "character n-grams of the text"
    )


class Contract(_Strict):
    """Everything one must know to use a bundle, and where it came from."""

    version: Literal[1] = Field(description="of this form")
    labels: tuple[str, ...] = Field(min_length=2, description="in the order of the logits")
    modality: Modality
    speech: SpeechContract | None
    text: TextContract | None
    vector_norm: Literal["layer_norm"] = Field(
        description="each tower's vector passes a layer norm without weights before concatenation"
    )
    dropout: float = Field(ge=0, lt=1, description="before the fully connected layer, in training")
    temperature: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="the logits are divided by it before the softmax; fitted on the dev split",
    )
    temperature_note: str = Field("", description="why the temperature was not fitted, if so")
    packages: dict[str, str] = Field(description="versions that wrote the bundle")
    data_fingerprint: str = Field(description="of the corpus it was trained on")
    metrics: dict[str, FiniteFloat] = Field(description="at the end of training")
    training: dict[str, JsonValue] = Field(description="configuration of the run")

    @model_validator(mode="after")
    def _towers_fit_modality(self) -> Contract:
        speech, text = self.modality is not Modality.TEXT, self.modality is not Modality.SPEECH
        if (self.speech is not None, self.text is not None) != (speech, text):
            raise ValueError(f"modality '{self.modality}' does not fit the towers described")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels {list(self.labels)} repeat")
        return self

    def with_temperature(self, temperature: float, note: str = "") -> Contract:
        """The same contract for a model whose probabilities were calibrated."""
        changed = {"temperature": temperature, "temperature_note": note}
        return Contract.model_validate({**self.model_dump(), **changed})


class FeatureColumn(_Strict):
    """A named feature of a query or a script, and what it is standardised by."""

    name: str = Field(description="`group=value` or `group.name`")
    mean: FiniteFloat = Field(description="over the training rows that have the group")
    scale: FiniteFloat = Field(gt=0, description="standard deviation over the same")


class RankerContract(_Strict):
    """Of a bundle that ranks scripts: all one must know to use it, and where it came from."""

    kind: Literal["ranker"]
    version: Literal[1] = Field(description="of this form")
    width: int = Field(ge=1, description="of the unit vectors of both towers")
    hidden: int = Field(ge=1, description="units of a tower's hidden layer")
    max_characters: int = Field(ge=4, description="longer texts are cut to this length")
    meaning: str = Field("", description="sentence encoder that is read beside n-grams")
    query: tuple[FeatureColumn, ...] = Field(description="features of what was said and how")
    item: tuple[FeatureColumn, ...] = Field(description="features of scripts")
    slope: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="of the log-odds that a script fits, by score"
    )
    offset: FiniteFloat = Field(
        0.0, description="of the same: log-odds are slope * score + offset, fitted on the dev split"
    )
    packages: dict[str, str] = Field(description="versions that wrote the bundle")
    data_fingerprint: str = Field(description="of the pairs and scripts it was trained on")
    metrics: dict[str, FiniteFloat] = Field(description="on held-out customers")
    training: dict[str, JsonValue] = Field(description="configuration of the run")


def _kind(contract: object) -> str:
    named = contract.get("kind") if isinstance(contract, dict) else getattr(contract, "kind", None)
    return f"<{'ranker' if named == 'ranker' else 'labels'}>"


class Manifest(_Strict):
    """bundle.json."""

    contract: Annotated[
        Annotated[Contract, Tag("<labels>")] | Annotated[RankerContract, Tag("<ranker>")],
        Discriminator(_kind),
    ]
    files: dict[FileName, Sha256] = Field(description="SHA-256 of every other file")
