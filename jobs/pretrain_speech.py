r"""Audio of the clips -> speech encoder trained further by masked units, on Ray Train.

Needs a corpus in the workspace; no labels. Each entry of pretraining.speech.iterations finds units
(clusters of MFCC, or of a layer of the encoder as it then is) and trains on them. Starts from
model.speech.path, or builds the small HuBERT, and leaves the Hugging Face folder encoders/speech,
from which fine-tuning starts where pretraining.encoders names speech. A run that was stopped,
killed or lost goes on from its last checkpoint when the same job is submitted again.
jobs/pretrain_speech_large.yaml is set for chinese-hubert-large on 8 GPUs.

    ray job submit --working-dir . \
      --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}' \
      -- python jobs/pretrain_speech.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__)
    from persona_ray.launch.pretrain import pretrain_speech
    from persona_ray.progress import RichProgress

    print(pretrain_speech(options.config, RichProgress(), fresh=options.fresh))


if __name__ == "__main__":
    run_entry(main)
