r"""All steps, from the archive to the report.

Corpus, annotations (annotation.files), pretraining of the encoders in pretraining.encoders,
fine-tuning, evaluation. A job that was stopped, killed or lost goes on with the step it was at when
it is submitted again; --fresh starts all of them over.

    ray job submit --working-dir . \
      --runtime-env-json '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}' \
      -- python jobs/main_job.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__)
    from persona_ray.launch.main_job import run_main_job
    from persona_ray.progress import RichProgress

    print(run_main_job(options.config, RichProgress(), fresh=options.fresh))


if __name__ == "__main__":
    run_entry(main)
