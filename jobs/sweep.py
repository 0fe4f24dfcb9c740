r"""Many fine-tunings of the annotated clips -> the best values of a few settings.

Needs a corpus and imported annotations in the workspace. Leaves sweep/: a table, a page with a heat
map and best.yaml for jobs/finetune.py. A sweep that was stopped, killed or lost goes on when the
same job is submitted again: what has ended is not trained a second time.

    ray job submit --working-dir . \
      --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}' \
      -- python jobs/sweep.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__)
    from persona_ray.launch.sweep.job import sweep
    from persona_ray.progress import RichProgress

    print(sweep(options.config, RichProgress(), fresh=options.fresh))


if __name__ == "__main__":
    run_entry(main)
