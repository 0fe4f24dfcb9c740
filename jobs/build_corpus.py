"""Call archive -> clips, on Ray Data.

ray job submit --working-dir . -- python jobs/build_corpus.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_config


def main() -> None:
    from persona_ray.cli.tables import print_corpus
    from persona_ray.launch.corpus import build_corpus
    from persona_ray.progress import RichProgress

    print_corpus(build_corpus(job_config(__doc__ or "", __file__), RichProgress()))


if __name__ == "__main__":
    run_entry(main)
