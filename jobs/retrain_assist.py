r"""Feedback -> the ranker of scripts, trained anew where it is due, released where it does better.

Leaves ranker/retraining/report.html in the workspace, and a version in the registry. Give it to
whatever starts jobs by the clock: it does nothing until `assist.retraining` says that it is due.
One that was broken off begins again.

    ray job submit --working-dir . -- python jobs/retrain_assist.py \
      --set 'store.url=postgresql+psycopg://reader@host/calls'
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__, resumable=False)
    from persona_ray.launch.assist.retrain import retrain
    from persona_ray.progress import RichProgress

    print(retrain(options.config, RichProgress(), if_due=True))


if __name__ == "__main__":
    run_entry(main)
