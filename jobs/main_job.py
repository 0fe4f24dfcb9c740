"""All steps, from the archive to the report.

ray job submit --working-dir . -- python jobs/main_job.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_config


def main() -> None:
    from persona_ray.launch.main_job import run_main_job
    from persona_ray.progress import RichProgress

    print(run_main_job(job_config(__doc__ or "", __file__), RichProgress()))


if __name__ == "__main__":
    run_entry(main)
