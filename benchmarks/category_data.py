"""TeleAntiFraud dialogues in the form that the category model is trained on.

    python -m benchmarks.category_data --out runs/teleantifraud.jsonl.gz

Turns are put in their order, the caller first. Ids and categories stay.
"""

from __future__ import annotations

import gzip
import json
import sys
from itertools import zip_longest
from pathlib import Path

from benchmarks.shared import arguments
from persona_ray.corpus.dialogues import Dialogue, Said, Side, write_dialogues


def teleantifraud(file: Path) -> list[Dialogue]:
    found = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            pairs = zip_longest(row["caller"], row["callee"])
            turns = [
                Said(side, text)
                for pair in pairs
                for side, text in zip(Side, pair, strict=True)
                if text and any(map(str.isalnum, text))
            ]
            found.append(Dialogue(row["id"], row["category"], tuple(turns)))
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/teleantifraud"))
    parser.add_argument("--out", type=Path, default=Path("runs/teleantifraud.jsonl.gz"))
    chosen = parser.parse_args()
    file = chosen.data / "dialogues.jsonl.gz"
    if not file.is_file():
        sys.exit(f"error: there is no {file}: give the folder of the dialogues with --data")
    found = teleantifraud(file)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    write_dialogues(chosen.out, found)
    print(f"{len(found)} dialogues: {chosen.out}")


if __name__ == "__main__":
    main()
