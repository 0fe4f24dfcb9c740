"""Weights load: the bundle, the recogniser, the encoders that training starts from."""

from __future__ import annotations

from persona_ray.config import RunConfig
from persona_ray.errors import BundleError
from persona_ray.launch.doctor.finding import NotWellError, not_applicable
from persona_ray.launch.encoders import absolute, pretrained
from persona_ray.models.manifest import verify


def bundle(config: RunConfig) -> str:
    """The workspace's is whole."""
    if not config.bundle_dir.exists():
        raise not_applicable(f"{config.bundle_dir} is not there: `persona-ray finetune` makes it")
    try:
        manifest = verify(config.bundle_dir)
    except BundleError as error:
        raise NotWellError(
            str(error), "copy the whole folder again, or make it anew: `persona-ray finetune`"
        ) from None
    return f"{config.bundle_dir}: {len(manifest.files)} files, whole"


def recogniser(config: RunConfig) -> str:
    """The speech recogniser hears."""
    import numpy as np

    from persona_ray.asr.build import build_recognizer
    from persona_ray.audio.vad import Span

    found = build_recognizer(config.asr)
    second = (0.01 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    found.transcribe(second, 16_000, [Span(0.0, 1.0)])
    return f"{config.asr.engine} {config.asr.model} hears, on {config.asr.device}"


def encoders(config: RunConfig) -> str:
    """Those that fine-tuning starts from can be loaded."""
    from persona_ray.models.load import load_speech_tower, load_text_tower

    left = config.pretraining.encoders
    missing = [tower for tower in left if not config.encoder_dir(tower).is_dir()]
    if missing:
        raise not_applicable(f"{' and '.join(missing)} not pretrained yet: `persona-ray pretrain`")
    model = pretrained(config).model
    told: list[str] = []
    if model.speech.path:
        load_speech_tower(absolute(model.speech.path))
        told.append(f"speech {model.speech.path}")
    if model.text.path:
        load_text_tower(absolute(model.text.path), model.text.max_tokens)
        told.append(f"text {model.text.path}")
    if not told:
        raise not_applicable("none is named: small ones are built for training")
    return f"{', '.join(told)}: loaded"
