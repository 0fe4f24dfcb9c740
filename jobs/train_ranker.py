r"""Conversations and what came of them -> the ranker of scripts.

Leaves ranker/bundle and ranker/report.html in the workspace, and a version in the registry. It
takes a minute or two on one core; a run that was broken off begins again.

    ray job submit --working-dir . -- python jobs/train_ranker.py \
      --set 'assist.ranker.conversations=[/shared/calls.jsonl]'
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__, resumable=False, promotes=True)
    from persona_ray.launch.assist.ranker import train_ranker
    from persona_ray.progress import RichProgress

    print(train_ranker(options.config, RichProgress(), promote=options.promote))


if __name__ == "__main__":
    run_entry(main)
