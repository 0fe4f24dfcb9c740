"""How often the robot understands: wordings that stand in no dialogue set, alone and inside a
longer turn, and sentences that no exchange is about.

    python -m benchmarks.robot_meaning [--dialogues dialogues.jsonl.gz]

With --dialogues (TeleAntiFraud) also the turns of callers that others wrote: how many find an
exchange, and of frauds that the set has by the same name, how often one of that fraud.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks.dialogues import dialogues, first_of_each
from benchmarks.shared import described
from persona_ray.config.screening import DialogueConfig, ScreeningConfig
from persona_ray.inference.screening.dialogue.dialogue_set import DialogueSet, load_dialogue_set
from persona_ray.inference.screening.dialogue.nearest import Nearest
from persona_ray.inference.screening.dialogue.sentences import build_vectors
from persona_ray.inference.screening.records import Speaker, Turn
from persona_ray.inference.screening.robot import build_robot

_WORDINGS = Path(__file__).with_name("robot_paraphrases.yaml")
# Frauds of TeleAntiFraud that are one category here.
_SAME = {
    "投资诈骗": "investment_fraud",
    "银行诈骗": "account_fraud",
    "绑架诈骗": "kidnapping_fraud",
    "彩票诈骗": "prize_fraud",
}
_OF_EACH = 20
_BEFORE = ("喂，您好。", "哎，那个，劳驾问一声，", "先生您好，冒昧给您来电，", "跟您说个情况啊，")
_AFTER = ("。您觉得呢？", "，您清楚了吧？", "，喂，您在听吗？", "。")


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--dialogue", default="", help="a set; default: the shipped one")
    parser.add_argument("--dialogues", type=Path, help="dialogues.jsonl.gz of TeleAntiFraud")
    parser.add_argument("--engines", nargs="+", default=["ngrams", "meaning", "both"])
    chosen = parser.parse_args()
    dialogue = load_dialogue_set(chosen.dialogue, ScreeningConfig().policy.categories)
    wordings = yaml.safe_load(_WORDINGS.read_text(encoding="utf-8"))
    asked = [(name, text) for name, texts in wordings["exchanges"].items() for text in texts]
    print(
        f"{dialogue.name}: {len(dialogue.exchanges)} exchanges; {len(asked)} wordings, "
        f"{len(wordings['none'])} sentences about nothing in it"
    )
    for engine in chosen.engines:
        _measure(engine, dialogue, asked, wordings["none"])
    if chosen.dialogues is not None:
        _of_others(chosen.dialogues)


def _measure(
    engine: str, dialogue: DialogueSet, asked: list[tuple[str, str]], none: list[str]
) -> None:
    begun = time.perf_counter()
    says = [text for exchange in dialogue.exchanges for text in exchange.says]
    vectors = build_vectors(engine, says)
    nearest = Nearest(dialogue, vectors)
    loaded = time.perf_counter() - begun
    strangers = np.array([nearest.of(text, {}, 0.0)[0].nearness for text in none])
    print(
        f"{engine} ({vectors.name}): loaded in {loaded:.1f} s, threshold {vectors.threshold}, "
        f"asked to go on: {np.mean(strangers < vectors.threshold):.0%} of the strange sentences"
    )
    longer = [
        (name, _BEFORE[place % 4] + text + _AFTER[place // 4 % 4])
        for place, (name, text) in enumerate(asked)
    ]
    asides = {exchange.id for exchange in dialogue.exchanges if exchange.aside}
    longer = [(name, text) for name, text in longer if name not in asides]
    for words, sentences in (("alone", asked), ("in a turn", longer)):
        begun = time.process_time()
        found = [nearest.of(text, {}, 0.0) for _, text in sentences]
        each_ms = (time.process_time() - begun) / len(sentences) * 1e3
        names = [[near.exchange.id for near in row] for row in found]
        right = np.array([row[0] == name for row, (name, _) in zip(names, sentences, strict=True)])
        three = np.mean([name in row[:3] for row, (name, _) in zip(names, sentences, strict=True)])
        sure = np.array([row[0].nearness >= vectors.threshold for row in found])
        print(
            f"  {words}: top-1 {right.mean():.3f}, top-3 {three:.3f}; answered {sure.mean():.1%}, "
            f"of those right {right[sure].mean():.3f}; {each_ms:.1f} ms of a core a turn"
        )


def _of_others(file: Path) -> None:
    """The robot as it is shipped, asked after each turn of callers of a sample."""
    robot = build_robot(DialogueConfig(), ScreeningConfig().policy.categories)
    about = {exchange.id: exchange.category for exchange in robot.dialogue.exchanges}
    answered: list[bool] = []
    same: dict[str, list[bool]] = {name: [] for name in _SAME.values()}
    for row in first_of_each(dialogues(file), _OF_EACH):
        for text in row.turns[::2]:
            answer = robot.think([Turn(Speaker.CALLER, text, 0.0, 0.0)], None)
            answered.append(bool(answer.exchange))
            if row.category in _SAME and answer.exchange and text == row.opening:
                same[_SAME[row.category]].append(about[answer.exchange] == _SAME[row.category])
    print(f"turns of other authors: {len(answered)}, an exchange found for {np.mean(answered):.1%}")
    for name, hits in same.items():
        print(f"  openings of {name}: {len(hits)} answered, {np.mean(hits):.1%} as such")


if __name__ == "__main__":
    main()
