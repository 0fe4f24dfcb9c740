"""Bundle and call archive -> colour of every call and every customer, on Ray Data.

Results go to the store and to recognitions/ of the workspace. A job that was killed goes on where
it was, and calls that are new in the database are added; sentences that the workspace's corpus has
are not recognised anew. recognition.bundle names a registered version; default: the workspace's.

    ray job submit --working-dir . -- python jobs/recognize_archive.py --set workspace=/shared/runs
"""

from __future__ import annotations

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__)
    from persona_ray.cli.recognize_archive import tell_archive
    from persona_ray.launch.archive.job import recognize_archive
    from persona_ray.progress import RichProgress

    tell_archive(recognize_archive(options.config, RichProgress(), fresh=options.fresh))


if __name__ == "__main__":
    run_entry(main)
