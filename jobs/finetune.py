r"""Annotated clips -> bundle, on Ray Train.

Needs a corpus and imported annotations in the workspace. Leaves bundle/: weights and the contract
they are used by. A run that was stopped, killed or lost goes on from its last checkpoint when the
same job is submitted again.

    ray job submit --working-dir . \
      --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}' \
      -- python jobs/finetune.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__)
    from persona_ray.launch.finetune import finetune
    from persona_ray.progress import RichProgress

    print(finetune(options.config, RichProgress(), fresh=options.fresh))


if __name__ == "__main__":
    run_entry(main)
