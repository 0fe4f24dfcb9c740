"""The chain of serving_load.py in LitServe, as its documentation would write it.

A `LitAPI` with `setup`, `decode_request`, `predict` and `encode_response` for clips and one for
calls, in one server; files come as multipart forms. LitServe's own are the workers, the dynamic
batches, and the fast queue (ZeroMQ). One API loads one recogniser per worker.
"""

# No `from __future__ import annotations`: LitServe looks at the type of `request`.
import argparse
from pathlib import Path
from typing import Any

import litserve
from fastapi import Request

from benchmarks.serving_inprocess import add_settings, load_recognizer
from benchmarks.shared import arguments
from persona_ray.config import RunConfig, load_config


class RecognizerAPI(litserve.LitAPI):
    """Loads the recogniser of a worker."""

    def __init__(self, config: RunConfig, threads: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._config, self._threads = config, threads

    def setup(self, device: str) -> None:
        del device
        self.recognizer = load_recognizer(self._config, self._threads)


class Clips(RecognizerAPI):
    def decode_request(self, request: Request) -> Any:
        from persona_ray.audio.decode import decode_bytes
        from persona_ray.inference.clips import ClipInput

        # Of a multipart request the worker gets the form.
        form: Any = request
        audio = decode_bytes(form["file"].file.read(), "clip.wav", 60.0)
        text = form.get("text") or None
        return ClipInput(audio.samples[0].copy(), audio.sample_rate_hz, text)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, clips: Any) -> Any:
        # Without batches it is given one.
        return (
            self.recognizer.clips(clips) if isinstance(clips, list) else self.recognizer.clip(clips)
        )

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        found: dict[str, Any] = output.to_dict()
        return found


class Calls(RecognizerAPI):
    def decode_request(self, request: Request) -> Any:
        form: Any = request
        return form["file"].file.read(), int(form["channel"])

    def predict(self, call: Any) -> Any:
        data, channel = call
        return self.recognizer.upload(data, "call.ogg", channel)

    def encode_response(self, output: Any) -> dict[str, Any]:
        found: dict[str, Any] = output.to_dict()
        return found


def server(config: RunConfig, chosen: argparse.Namespace) -> litserve.LitServer:
    clips = Clips(
        config,
        chosen.threads,
        api_path="/clips",
        max_batch_size=chosen.batch,
        batch_timeout=config.serving.batch.wait_s if chosen.batch > 1 else 0.0,
    )
    calls = Calls(config, chosen.threads, api_path="/calls")
    return litserve.LitServer(
        [clips, calls],
        accelerator="cpu",
        workers_per_device=chosen.workers,
        timeout=False,
        fast_queue=True,
    )


def main() -> None:
    parser = arguments(__doc__)
    add_settings(parser)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, help="not used: arms are started alike")
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides)
    server(config, chosen).run(
        host="127.0.0.1",
        port=chosen.port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
