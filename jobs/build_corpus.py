"""Call archive -> clips of the customer's sentences, on Ray Data.

Reads the calls that archive.query gives, recognises the customer's channel and cuts sentences into
corpus/ of the workspace; what cannot be used is listed in corpus/quarantine.csv with the reason. A
build that was killed goes on where it was, and calls that are new in the database are added.

    ray job submit --working-dir . -- python jobs/build_corpus.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__)
    from persona_ray.cli.corpus import tell_build
    from persona_ray.launch.corpus import build_corpus
    from persona_ray.progress import RichProgress

    tell_build(build_corpus(options.config, RichProgress(), fresh=options.fresh))


if __name__ == "__main__":
    run_entry(main)
