"""TeleAntiFraud's honest calls as conversations of agents with customers.

    python -m benchmarks.assist_data --out runs/teleantifraud-assist.jsonl.gz

The caller is the agent, the callee the customer. Nothing is labelled: they teach which reply
follows on what was said, not which script fits.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from benchmarks.shared import arguments
from persona_ray.conversation import Speaker
from persona_ray.corpus.conversations import Conversation, ConversationTurn, write_conversations

_SIDES = (Speaker.AGENT, Speaker.CUSTOMER)


def conversation(row: Mapping[str, Any]) -> Conversation:
    """Of one dialogue, the caller first."""
    replies = zip_longest(row["caller"], row["callee"])
    said = chain.from_iterable(zip(_SIDES, pair, strict=True) for pair in replies)
    turns = [
        ConversationTurn(speaker=speaker, text=text)
        for speaker, text in said
        if text and any(map(str.isalnum, text))
    ]
    return Conversation(id=row["id"], turns=tuple(turns))


def teleantifraud(file: Path) -> list[Conversation]:
    """Those that are no fraud."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [conversation(row) for row in map(json.loads, lines) if not row["fraud"]]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/teleantifraud"))
    parser.add_argument("--out", type=Path, default=Path("runs/teleantifraud-assist.jsonl.gz"))
    chosen = parser.parse_args()
    file = chosen.data / "dialogues.jsonl.gz"
    if not file.is_file():
        sys.exit(f"error: there is no {file}: give the folder of the dialogues with --data")
    written = write_conversations(chosen.out, teleantifraud(file))
    print(f"{written} conversations: {chosen.out}")


if __name__ == "__main__":
    main()
