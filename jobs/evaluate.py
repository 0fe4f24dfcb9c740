"""Bundle -> report on customers never heard.

ray job submit --working-dir . -- python jobs/evaluate.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_config


def main() -> None:
    from persona_ray.launch.evaluate import evaluate_run
    from persona_ray.progress import RichProgress

    print(evaluate_run(job_config(__doc__ or "", __file__), RichProgress()))


if __name__ == "__main__":
    run_entry(main)
