"""Bundle -> report on customers never heard.

Writes report.html and report.json into the workspace. Also trains text only, speech only and both
with every customer held out once (evaluation.folds, 0 leaves it out).

    ray job submit --working-dir . -- python jobs/evaluate.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__, resumable=False)
    from persona_ray.launch.evaluate import evaluate_run
    from persona_ray.progress import RichProgress

    print(evaluate_run(options.config, RichProgress()))


if __name__ == "__main__":
    run_entry(main)
