"""Is everything there that the work needs, seen from inside the cluster; what to do where not.

Checks the cluster's nodes, a real all-reduce over them, the workspace that they share, storage,
database, registry, models, tokens and clocks. The job fails where a check does.

    ray job submit --working-dir . -- python jobs/doctor.py --set workspace=/shared/runs/one
"""

from __future__ import annotations

import sys

from persona_ray.cli import run_entry
from persona_ray.cli.options import job_options


def main() -> None:
    options = job_options(__doc__ or "", __file__, resumable=False)
    from persona_ray.cli.doctor import tell_findings
    from persona_ray.launch.doctor.examine import examine

    if tell_findings(examine(options.config, ()), as_json=False):
        sys.exit(1)


if __name__ == "__main__":
    run_entry(main)
