"""What it takes to get an innocent number into the shared sets by reports, and out again.

    python -m benchmarks.report_attacks

Each row is an attack. The first table adds one defence after the other to a plain count, the
second leaves one out of the shipped rules. A cell is the smallest number of attackers (of devices,
where one person attacks) with which the number is listed, `-` where 1000 are not enough. The last
rows are no attacks: how many honest persons list a number that does defraud. Exact, nothing is
drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table

from persona_ray.config.screening import ReportsConfig
from persona_ray.inference.screening.reports import judge
from persona_ray.store.screening.records import Report, ReporterRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MOST = 1000
RULES = ReportsConfig()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who reports: known for `days`, `hours` ago, from `device`, with a record."""

    name: str = "p"
    hours: float = 0.0
    days: float = 400.0
    agreed: int = 0
    contradicted: int = 0
    withdrawn: int = 0
    device: str = ""
    standing: str = "illegal"


@dataclass(frozen=True, slots=True)
class Defences:
    """The rules, and whether persons and devices count once."""

    rules: ReportsConfig = RULES
    persons: bool = True
    devices: bool = True


NEW = Person()
PROVEN = replace(NEW, agreed=20)
FRESH = replace(NEW, days=0.0)
Attack = Callable[[int], Sequence[Person]]


def without(**changes: object) -> Defences:
    """The shipped rules with other values, also such as a configuration does not take."""
    return Defences(RULES.model_copy(update=changes))


# Everybody weighs 1, at once and for ever.
_EQUAL: Mapping[str, object] = {
    "newcomer_weight": 1.0,
    "prior_reports": 1e9,
    "min_weight": 4.0,
    "half_life_days": 1e9,
    "maturity_days": 0.0,
    "unproven_share": 1e9,
    "burst_hours": 0.0,
}
_RECORDS: Mapping[str, object] = {
    "maturity_days": 0.0,
    "unproven_share": 1e9,
    "burst_hours": 0.0,
}
BUILT_UP: Mapping[str, Defences] = {
    "5 reports": Defences(without(**_EQUAL).rules, persons=False, devices=False),
    "5 persons": Defences(without(**_EQUAL).rules, devices=False),
    "+ devices": without(**_EQUAL),
    "+ records": without(**_RECORDS),
    "+ maturity": without(**{**_RECORDS, "maturity_days": RULES.maturity_days}),
    "+ cap on newcomers": without(burst_hours=0.0),
    "+ bursts = shipped": Defences(),
}
LEFT_OUT: Mapping[str, Defences] = {
    "shipped": Defences(),
    "persons": Defences(persons=False, devices=False),
    "devices": Defences(devices=False),
    "newcomers' weight": without(newcomer_weight=1.0),
    "maturity": without(maturity_days=0.0),
    "cap on newcomers": without(unproven_share=1e9),
    "bursts": without(burst_hours=0.0),
    "cost of wrong": without(contradiction_cost=0.0, withdrawal_cost=0.0),
}


def is_listed(persons: Sequence[Person], defences: Defences) -> bool:
    """Whether the reports of these suffice now."""
    reports, records = [], {}
    for place, person in enumerate(persons):
        name = person.name if defences.persons else f"report {place}"
        at = NOW - timedelta(hours=person.hours)
        since = at - timedelta(days=person.days)
        record = ReporterRecord(name, since, person.agreed, person.contradicted, person.withdrawn)
        records[name] = record
        reports.append(
            Report(
                report_id=f"{place:05}",
                kind="numbers",
                key="+8613800138000",
                reporter=name,
                device=person.device if defences.devices else "",
                category="prize_fraud",
                standing=person.standing,
                at=at,
            )
        )
    return judge(reports, records, NOW, defences.rules).standing != ""


def needed(attack: Attack, defences: Defences, most: int = MOST) -> int | None:
    """The smallest number of attackers that suffices; None where `most` do not."""
    if not is_listed(attack(most), defences):
        return None
    low, high = 0, 1
    while not is_listed(attack(high), defences):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_listed(attack(middle), defences) else (middle, high)
    return high


def spread(count: int, like: Person = NEW, over: float = 7.0) -> list[Person]:
    """`count` persons like one whose reports come evenly over so many days."""
    step = 24.0 * over / max(count, 1)
    return [
        replace(like, name=f"{like.name}{place}", hours=step * (count - 1 - place))
        for place in range(count)
    ]


def one_person(count: int) -> list[Person]:
    """One proven person reports from many devices."""
    some = enumerate(spread(count, PROVEN))
    return [replace(person, name="p", device=f"d{place}") for place, person in some]


def vouched(attackers: Sequence[Person], count: int, like: Person) -> list[Person]:
    """With persons who say that the number is good."""
    good = replace(like, name="good", standing="normal")
    return [*attackers, *spread(count, good)]


def right(agreed: int) -> Person:
    """Somebody who was right so often."""
    return replace(NEW, agreed=agreed)


ATTACKS: Mapping[str, Attack] = {
    "accounts made for it today": lambda n: spread(n, FRESH, over=1),
    "accounts made a year ago, never used": spread,
    "one proven person, many devices": one_person,
    "proven accounts on one device": lambda n: spread(n, replace(PROVEN, device="d")),
    "burst: proven persons within an hour": lambda n: spread(n, PROVEN, over=0.99 / 24),
    "slow collusion, 1 right report each": lambda n: spread(n, right(1)),
    "slow collusion, 3 right reports each": lambda n: spread(n, right(3)),
    "slow collusion, 10 right reports each": lambda n: spread(n, right(10)),
    "slow collusion, 20 right reports each": lambda n: spread(n, PROVEN),
    "  where 5 proven persons vouch": lambda n: vouched(spread(n, PROVEN), 5, PROVEN),
    "  again after an appeal": lambda n: spread(n, replace(PROVEN, contradicted=1)),
    "  again after 3 appeals": lambda n: spread(n, replace(PROVEN, contradicted=3)),
    "  again after 3 retractions": lambda n: spread(n, replace(PROVEN, withdrawn=3)),
}

HONEST: Mapping[str, Attack] = {
    "a fraud: persons with 5 right reports": lambda n: spread(n, right(5), over=1),
    "a fraud: half of them newcomers": lambda n: [
        replace(person, agreed=5 * (place % 2))
        for place, person in enumerate(spread(n, NEW, over=1))
    ],
    "a fraud that 1000 new accounts vouch for": lambda n: vouched(
        spread(n, right(5), over=1), MOST, FRESH
    ),
}


def show(console: Console, title: str, variants: Mapping[str, Defences]) -> None:
    table = Table(title=title)
    table.add_column("attack", no_wrap=True)
    for name in variants:
        table.add_column(name, justify="right", max_width=11)
    for rows in (ATTACKS, HONEST):
        for name, attack in rows.items():
            counts = [needed(attack, defences) for defences in variants.values()]
            table.add_row(name, *("-" if count is None else str(count) for count in counts))
        table.add_section()
    console.print(table)


def main() -> None:
    console = Console(width=140)
    show(console, "attackers needed, defence by defence", BUILT_UP)
    show(console, "attackers needed, shipped rules but for one defence", LEFT_OUT)


if __name__ == "__main__":
    main()
