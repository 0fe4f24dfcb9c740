"""From what was heard on a channel to a sentence of its speaker, beside that speaker's baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from persona_ray.asr.text import normalise
from persona_ray.conversation import Speaker, Tone
from persona_ray.inference.assist.baseline import Baseline
from persona_ray.inference.assist.records import NotHeard, Sentence
from persona_ray.types import Word

if TYPE_CHECKING:
    from persona_ray.config.assist import EarsConfig
    from persona_ray.inference.assist.crosstalk import OwnSpeech
    from persona_ray.inference.assist.hearing import Heard

# Nobody speaks faster, in syllables a second: words that come faster were made up.
_FASTEST = 14.0
# Sound that is quieter and has no pitch holds no words, whatever a recogniser reads into it.
_QUIETEST_DB = -55.0
# What Whisper learned from subtitles and hears in noise; nobody says it on the telephone.
_SUBTITLES = ("字幕", "点赞订阅", "订阅转发", "感谢观看", "谢谢观看", "多谢您的观看", "明镜与点点")


class Turns:
    """The turns of one call: what is known of how its speakers usually sound.

    For each stretch between two pauses: `own_speech` of both channels, `Ears.hear` of what it
    leaves, then `turn`, once each, in the order in which they ended.
    """

    def __init__(self, config: EarsConfig) -> None:
        self._config = config
        self._baselines = {speaker: Baseline(config.baseline_s) for speaker in Speaker}

    def turn(self, speaker: Speaker, own: OwnSpeech, heard: Heard) -> Sentence | NotHeard:
        """`heard` in `own`. The speaker's baseline knows it from now on, unless the other side
        talked over it."""
        start_s = own.start_s + own.speech[0].start_s
        end_s = own.start_s + own.speech[-1].end_s
        if _is_nothing(heard):
            return NotHeard(start_s, end_s, "no_words")
        overlapped = own.overlap >= self._config.overlap
        baseline = self._baselines[speaker]
        if overlapped:
            tone, tones = Tone(), (Tone(),) * len(heard.words)
        else:
            tone, tones = baseline.tones(heard.sound, heard.sounds)
            baseline.add(heard.sound)
        return Sentence(
            speaker=speaker,
            text=heard.text,
            start_s=start_s,
            end_s=end_s,
            tone=tone,
            words=_moved(heard.words, own.start_s),
            tones=tones,
            overlapped=overlapped,
        )

    def dump(self) -> dict[str, Any]:
        """For `read`, as JSON has it."""
        return {speaker.value: one.dump() for speaker, one in self._baselines.items()}

    @classmethod
    def read(cls, config: EarsConfig, kept: Mapping[str, Any]) -> Turns:
        """A call that is gone on with, from what `dump` gave. ValueError for anything else."""
        found = cls(config)
        found._baselines = {
            speaker: Baseline.read(config.baseline_s, kept.get(speaker.value, ()))
            for speaker in Speaker
        }
        return found


def _is_nothing(heard: Heard) -> bool:
    """No words, or such as a recogniser makes up over noise."""
    text = normalise(heard.text)
    made_up = any(phrase in text for phrase in _SUBTITLES)
    quiet = not heard.sound.voiced and heard.sound.level_db < _QUIETEST_DB
    return not text or made_up or quiet or heard.sound.rate > _FASTEST


def _moved(words: Sequence[Word], by_s: float) -> tuple[Word, ...]:
    return tuple(
        replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in words
    )
