r"""Texts of the clips -> text encoder trained further by masked words, on Ray Train.

Needs a corpus in the workspace, or texts in pretraining.text.files; no labels. Starts from
model.text.path, or builds the small BERT, and leaves the Hugging Face folder encoders/text, from
which fine-tuning starts where pretraining.encoders names text. A run that was stopped, killed or
lost goes on from its last checkpoint when the same job is submitted again.
jobs/pretrain_text_large.yaml is set for chinese-roberta-wwm-ext-large on 8 GPUs.

    ray job submit --working-dir . \
      --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}' \
      -- python jobs/pretrain_text.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__)
    from persona_ray.launch.pretrain import pretrain_text
    from persona_ray.progress import RichProgress

    print(pretrain_text(options.config, RichProgress(), fresh=options.fresh))


if __name__ == "__main__":
    run_entry(main)
