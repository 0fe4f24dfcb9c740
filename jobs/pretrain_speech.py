"""Audio of the clips -> speech encoder trained further by masked units, on Ray Train.

ray job submit --working-dir . -- python jobs/pretrain_speech.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_config


def main() -> None:
    from persona_ray.launch.pretrain import pretrain_speech
    from persona_ray.progress import RichProgress

    print(pretrain_speech(job_config(__doc__ or "", __file__), RichProgress()))


if __name__ == "__main__":
    run_entry(main)
