r"""Labelled conversations -> the emotion model of assistance, on Ray Train.

Leaves emotion/bundle and emotion/report.html in the workspace, and a version in the registry. A
run that was stopped, killed or lost goes on from its last checkpoint when the same job is submitted
again.

    ray job submit --working-dir . \
      --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}' \
      -- python jobs/train_emotion.py --set 'assist.emotion.conversations=[/shared/calls.jsonl]'
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__, promotes=True)
    from persona_ray.launch.assist.emotion import train_emotion
    from persona_ray.progress import RichProgress

    print(
        train_emotion(options.config, RichProgress(), fresh=options.fresh, promote=options.promote)
    )


if __name__ == "__main__":
    run_entry(main)
