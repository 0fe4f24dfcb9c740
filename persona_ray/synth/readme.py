"""The README that goes into every archive."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from persona_ray.synth.config import Engine, SynthConfig

if TYPE_CHECKING:
    from persona_ray.synth.build import ArchiveSummary

_SPEECH = {
    Engine.KOKORO: "Speech is by Kokoro-82M (Apache-2.0); every voice is a blend of the base "
    "voices\nin kokoro-js 1.2.1 (Apache-2.0).",
    Engine.ESPEAK: "Speech is by espeak-ng.",
    Engine.TONE: "There is no speech in it: its people are tones.",
}


def readme(config: SynthConfig, summary: ArchiveSummary) -> str:
    """Markdown text."""
    dirt = Counter(config.dirt.kinds())
    minutes = summary.customer_speech_s / 60
    lines = "\n".join(f"| {kind} | {count} |" for kind, count in dirt.items())
    return f"""# A synthetic archive of calls, with planted truth

**Nobody in here exists.** Names, facts and sentences are invented by a generator, voices are
synthetic. {_SPEECH[config.engine]}

The archive looks like a call centre's: a business database and {summary.calls} stereo calls at
{config.sample_rate_hz} Hz, agent on channel 0, customer on channel 1; {summary.customers} people,
{minutes:.1f} minutes of customer speech in {summary.sentences} sentences.

Each customer has a planted primary and secondary colour (red, blue, yellow, green). Sentences and
prosody lean with them and overlap widely: neither text nor voice gives a colour away for sure.
What comes out of this archive says how the pipeline works, nothing about real people.

| file | what |
|---|---|
| `business.sqlite` | tables `customers`, `agents`, `calls`, `transcripts` |
| `audio/YYYY-MM/` | the recordings that `calls.audio_uri` names, relative to this folder |
| `annotations.csv` | simulated annotators, ties adjudicated ({summary.annotations} rows) |
| `truth/calls.jsonl` | per call: colours, dirt, true channel, what a corpus job should do |
| `truth/utterances.jsonl` | per utterance: who, when, text, colour, leaning, dirt |
| `truth/customers.jsonl` | per customer: colours, voice blend, planted prosody |
| `truth/archive.json` | sizes, strengths and seed it was made with |

| dirty calls | number |
|---|---|
{lines}

Made by `persona-ray synth build` with `configs/demo_archive.yaml`; the same seed gives the same
truth and database, and with the same engine the same sound. `benchmarks/probe_archive.py` says how
much of the colours cheap classifiers find in it. Licence: Apache-2.0.
"""
