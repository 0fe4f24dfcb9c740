"""Where the processor time of a fine-tuning epoch goes, clip by clip, on one thread.

    python -m benchmarks.finetune_costs --config configs/demo.yaml

Means over a few micro-batches from all over the train split of the configuration's workspace, both
encoders trained. Other encoders: `--set model.speech.path=...`, `--set model.text.path=...`.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.finetune_arms import course_of
from benchmarks.shared import arguments, labelled_job
from persona_ray.config import load_config
from persona_ray.launch.workers.job import TrainingJob

Costs = dict[str, float]


@contextmanager
def timed(costs: Costs, name: str) -> Iterator[None]:
    began = time.process_time()
    yield
    costs[name] += time.process_time() - began


def costs_of(job: TrainingJob, batches: int) -> tuple[Costs, int]:
    """Seconds in all, and of how many clips."""
    import torch

    from persona_ray.objectives.classification import TERM
    from persona_ray.training.engine.adam import adamw
    from persona_ray.training.finetune.classifier import Classifier, groups_of, set_phase
    from persona_ray.training.finetune.history import Phase
    from persona_ray.training.finetune.inputs import LabelledClips

    torch.set_num_threads(1)
    model, config = job.build_model(), job.training
    clips, classifier = LabelledClips(job.train, job.source, model), Classifier(model)
    set_phase(model, Phase.FULL, config)
    groups = groups_of(classifier)
    adam = adamw(groups, torch.device("cpu"))
    trained = [weight for group in groups for weight in group.parameters.values()]
    portions = [part for _, _, parts in course_of(job).dealt(0, 0, 1, 1) for part in parts]
    chosen = portions[:: max(1, len(portions) // batches)][:batches]
    costs: Costs = defaultdict(float)
    # The first is made twice and counted once: libraries are loaded, Adam's moments made.
    for number, part in enumerate((chosen[0], *chosen)):
        counted = costs if number else defaultdict(float)
        with timed(counted, "reading, padding, tokens"):
            inputs = clips.batch(part.positions, 0).inputs
        set_phase(model, Phase.FROZEN, config)
        classifier.train()
        with torch.no_grad(), timed(counted, "frozen encoders"):
            said = classifier.encode(inputs)
        if model.speech is not None:
            with torch.no_grad(), timed(counted, "of which the front"):
                model.speech.front(inputs["waves"], inputs["lengths"])
        kept = {"labels": inputs["labels"]}
        kept |= {} if said.speech is None else {"speech": said.speech}
        kept |= {} if said.text is None else {"text": said.text}
        with timed(counted, "head on kept vectors"):
            torch.autograd.backward(classifier(kept)[f"{TERM}.loss"])
        set_phase(model, Phase.FULL, config)
        classifier.train()
        with timed(counted, "trained encoders, forward"):
            loss = classifier(inputs)[f"{TERM}.loss"]
        with timed(counted, "trained encoders, backward"):
            torch.autograd.backward(loss)
        with timed(counted, "clipping and Adam"):
            torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
            adam.step()
            adam.zero_grad()
    return costs, sum(len(part.positions) for part in chosen)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batches", type=int, default=6)
    chosen = parser.parse_args()
    from persona_ray.errors import PersonaRayError

    try:
        job, _ = labelled_job(load_config(chosen.config, chosen.overrides))
    except PersonaRayError as error:
        sys.exit(f"error: {error}")
    costs, clips = costs_of(job, chosen.batches)
    for name, seconds in costs.items():
        print(f"  {name:<28}{1000 * seconds / clips:8.2f} ms/clip")


if __name__ == "__main__":
    main()
