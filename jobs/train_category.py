r"""Labelled dialogues -> the category model of screening, on Ray Train.

Leaves category/bundle and category/report.html in the workspace, and a version in the registry. A
run that was stopped, killed or lost goes on from its last checkpoint when the same job is submitted
again.

    ray job submit --working-dir . \
      --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}' \
      -- python jobs/train_category.py --set 'screening.category.dialogues=[/shared/calls.jsonl]'
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__, promotes=True)
    from persona_ray.launch.category import train_category
    from persona_ray.progress import RichProgress

    print(
        train_category(options.config, RichProgress(), fresh=options.fresh, promote=options.promote)
    )


if __name__ == "__main__":
    run_entry(main)
