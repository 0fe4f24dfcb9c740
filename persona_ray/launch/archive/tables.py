"""The columns of the archive's results, and records to rows and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from persona_ray.inference.clips import SentenceRecognition
from persona_ray.launch.archive.seen import SeenSentence
from persona_ray.store import ArchivedCall, ArchivedCustomer
from persona_ray.types import CallStatus, NothingUsable, QuarantineReason, Recognition


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """One call's result with its sentences in order of time. `audio_s`: of the customer's track, 0
    where none was used. `seen`: of the sentences, for drift; no table keeps it."""

    call: ArchivedCall
    audio_uri: str
    sentences: tuple[SentenceRecognition, ...] = ()
    audio_s: float = 0.0
    seen: tuple[SeenSentence, ...] = ()


@dataclass(frozen=True, slots=True)
class ResultTables:
    """The columns for a model with `labels`, in its order; probabilities are `p_red`, `p_blue`, ...

    What has no colour has null in all of them. `texts` false: sentences are kept without words.
    """

    labels: tuple[str, ...]
    texts: bool = False

    @property
    def sentences(self) -> pa.Schema:
        return pa.schema(
            [
                ("call_id", pa.string()),
                ("customer_id", pa.string()),
                ("start_s", pa.float64()),
                ("end_s", pa.float64()),
                ("text", pa.string()),
                *self._answer,
                ("reason", pa.string()),
            ]
        )

    @property
    def calls(self) -> pa.Schema:
        return pa.schema(
            [
                ("call_id", pa.string()),
                ("customer_id", pa.string()),
                ("audio_uri", pa.string()),
                ("status", pa.string()),
                ("reason", pa.string()),
                ("detail", pa.string()),
                *self._answer,
                ("clips", pa.int32()),
                ("sentences", pa.int32()),
                ("audio_s", pa.float64()),
                ("flags", pa.list_(pa.string())),
            ]
        )

    @property
    def customers(self) -> pa.Schema:
        return pa.schema(
            [
                ("customer_id", pa.string()),
                *self._answer,
                ("clips", pa.int32()),
                ("calls", pa.int32()),
                ("calls_used", pa.int32()),
                ("reason", pa.string()),
            ]
        )

    @property
    def _answer(self) -> list[tuple[str, pa.DataType]]:
        names = [("primary", pa.string()), ("secondary", pa.string())]
        return [*names, *((f"p_{label}", pa.float64()) for label in self.labels)]

    def staged(self, answer: CallAnswer) -> pa.Table:
        """The sentences of one call, with the call's row in the table's metadata."""
        call = answer.call
        rows = [
            {
                "call_id": call.call_id,
                "customer_id": call.customer_id,
                "start_s": round(sentence.start_s, 3),
                "end_s": round(sentence.end_s, 3),
                "text": sentence.text if self.texts else None,
                **_answer(sentence.result),
                "reason": _why(sentence.result),
            }
            for sentence in answer.sentences
        ]
        row = json.dumps(_call_row(answer), ensure_ascii=False, sort_keys=True)
        table = pa.Table.from_pylist(rows, schema=self.sentences)
        return table.replace_schema_metadata({"call": row, "call_id": call.call_id})

    def call_of(self, row: Mapping[str, Any]) -> ArchivedCall:
        """The store's record of a row of `calls`."""
        shares = {label: row.get(f"p_{label}") or 0.0 for label in self.labels}
        usable = row["primary"] is not None
        return ArchivedCall(
            call_id=row["call_id"],
            customer_id=row["customer_id"],
            status=CallStatus(row["status"]),
            result=Recognition(shares, row["clips"]) if usable else NothingUsable(row["detail"]),
            reason=QuarantineReason(row["reason"]) if row["reason"] else None,
            flags=tuple(row["flags"]),
        )

    def call_table(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        return pa.Table.from_pylist(list(rows), schema=self.calls)

    def customer_table(self, customers: Iterable[ArchivedCustomer]) -> pa.Table:
        rows = [
            {
                "customer_id": customer.customer_id,
                **_answer(customer.result),
                "clips": _clips(customer.result),
                "calls": customer.calls,
                "calls_used": customer.calls_used,
                "reason": _why(customer.result),
            }
            for customer in customers
        ]
        return pa.Table.from_pylist(rows, schema=self.customers)


def staged_row(schema: pa.Schema) -> dict[str, Any]:
    """The call's row that `ResultTables.staged` put there."""
    row: dict[str, Any] = json.loads(schema.metadata[b"call"])
    return row


def _call_row(answer: CallAnswer) -> dict[str, Any]:
    call = answer.call
    return {
        "call_id": call.call_id,
        "customer_id": call.customer_id,
        "audio_uri": answer.audio_uri,
        "status": call.status.value,
        "reason": "" if call.reason is None else call.reason.value,
        "detail": _why(call.result),
        **_answer(call.result),
        "clips": _clips(call.result),
        "sentences": len(answer.sentences),
        "audio_s": answer.audio_s,
        "flags": list(call.flags),
    }


def _answer(result: Recognition | NothingUsable) -> dict[str, Any]:
    if isinstance(result, NothingUsable):
        return {"primary": None, "secondary": None}
    shares = {f"p_{label}": share for label, share in result.probabilities.items()}
    return {"primary": result.primary, "secondary": result.secondary, **shares}


def _clips(result: Recognition | NothingUsable) -> int:
    return result.clips if isinstance(result, Recognition) else 0


def _why(result: Recognition | NothingUsable) -> str:
    return result.reason if isinstance(result, NothingUsable) else ""
