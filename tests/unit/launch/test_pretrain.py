"""Continued pretraining in one process: what is left, and what is not repeated."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona_ray.config import RunConfig, write_config
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.errors import ConfigError, CorpusError, EncoderError, TrainingError
from persona_ray.launch.encoders import content, pretrained
from persona_ray.launch.pretrain import pretrain_speech, pretrain_text
from persona_ray.launch.unlabelled import UnlabelledClips, open_unlabelled
from persona_ray.models.lineage import Heard, Lineage, Use, heard_before
from persona_ray.progress import SilentProgress
from persona_ray.training.pretrain.curve import read_curves
from tests.unit.corpus.calls import SENTENCES, make_archive
from tests.unit.launch.pretraining import Watching, built, changed, losses


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return built(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def config(archive: RunConfig, tmp_path: Path) -> RunConfig:
    """The same in a workspace of its own."""
    (tmp_path / "corpus").symlink_to(archive.corpus_dir)
    return archive.model_copy(update={"workspace": tmp_path})


def test_text_leaves_an_encoder_and_its_curve(config: RunConfig) -> None:
    from persona_ray.models.text import TextEncoder

    result = pretrain_text(config, SilentProgress())
    (curve,) = result.curves
    assert curve.complete
    assert curve.last.loss < curve.points[0].loss
    assert TextEncoder.load(str(config.encoder_dir("text")), 64).model.config.hidden_size == 16
    assert read_curves(config.workspace / "pretraining" / "text.json") == result.curves
    # Nothing that only a rerun would need is left.
    assert [p.name for p in (config.workspace / "pretraining").iterdir()] == ["text.json"]
    assert "no customer can be held out" in str(result)
    assert f"{curve.updates} updates" in str(result)


def test_a_finished_run_is_not_repeated_but_a_changed_one_is(config: RunConfig) -> None:
    first = pretrain_text(config, SilentProgress())
    before = content(str(config.encoder_dir("text")))
    watching = Watching()
    again = pretrain_text(config, watching)
    assert "nothing to do" in str(again)
    assert again.curves == first.curves
    assert not any(name.startswith("pretraining") for name in watching.told)
    assert content(str(config.encoder_dir("text"))) == before
    for other in (changed(config, "text", seed=1), changed(config, "text", epochs=7)):
        assert "nothing to do" not in str(pretrain_text(other, SilentProgress()))
    assert content(str(config.encoder_dir("text"))) != before
    fresh = pretrain_text(config, SilentProgress(), fresh=True)
    assert losses(fresh) == losses(first)


def test_a_stopped_run_goes_on_where_it_was(config: RunConfig, tmp_path: Path) -> None:
    other = config.model_copy(update={"workspace": tmp_path / "undisturbed"})
    other.workspace.mkdir()
    (other.workspace / "corpus").symlink_to(config.corpus_dir)
    expected = pretrain_text(other, SilentProgress())
    with pytest.raises(KeyboardInterrupt):
        pretrain_text(config, Watching("pretraining text", 6))
    assert not config.encoder_dir("text").exists()
    watching = Watching()
    result = pretrain_text(config, watching)
    # One update may pass between the signal and the stop.
    assert watching.told["pretraining text"][0] in (7, 8)
    assert losses(result)[0] == pytest.approx(losses(expected)[0], abs=1e-5)


def test_a_killed_run_goes_on_from_its_checkpoint(
    config: RunConfig, tmp_path: Path, repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = tmp_path / "run.yaml"
    write_config(config, written)
    script = f"""
import signal
from pathlib import Path
from persona_ray.config import load_config
from persona_ray.launch.pretrain import pretrain_text
from tests.unit.launch.test_pretrain import Watching
watching = Watching("pretraining text", 6, signal.SIGKILL)
pretrain_text(load_config(Path({str(written)!r})), watching)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    watching = Watching()
    result = pretrain_text(config, watching)
    # The checkpoint of update 4 is the last.
    assert watching.told["pretraining text"][0] == 5
    assert "pretraining text goes on from" in caplog.text
    undisturbed = pretrain_text(config, SilentProgress(), fresh=True)
    assert losses(result)[0] == pytest.approx(losses(undisturbed)[0], abs=1e-5)


def test_an_unfinished_run_may_be_given_more_epochs(config: RunConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain_text(config, Watching("pretraining text", 6))
    watching = Watching()
    result = pretrain_text(changed(config, "text", epochs=8), watching)
    assert watching.told["pretraining text"][0] in (7, 8)
    assert result.curves[0].last.epoch == 8


def test_a_mistyped_setting_does_not_cost_an_unfinished_run(config: RunConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain_text(config, Watching("pretraining text", 6))
    other = changed(config, "text", learning_rate=0.5)
    with pytest.raises(TrainingError, match="unfinished pretraining of another configuration"):
        pretrain_text(other, SilentProgress())
    mark = config.workspace / "pretraining" / "text" / "chain"
    known = mark.read_bytes()
    mark.unlink()
    with pytest.raises(TrainingError, match=r"nothing tells of which configuration \(.*chain is"):
        pretrain_text(config, SilentProgress())
    mark.write_bytes(known)
    watching = Watching()
    pretrain_text(config, watching)
    assert watching.told["pretraining text"][0] in (7, 8)


def test_a_checkpoint_without_a_head_gets_one_first(config: RunConfig, tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForMaskedLM

    pretrain_text(config, SilentProgress())
    whole = AutoModelForMaskedLM.from_pretrained(config.encoder_dir("text"))
    bare = tmp_path / "bare"
    whole.bert.save_pretrained(bare)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((config.encoder_dir("text") / name).read_bytes())
    tree = config.model_dump(mode="json")
    tree["model"]["text"]["path"] = str(bare)
    tree["workspace"] = str(tmp_path / "second")
    second = RunConfig.model_validate(tree)
    second.workspace.mkdir()
    (second.workspace / "corpus").symlink_to(config.corpus_dir)
    result = pretrain_text(second, SilentProgress())
    assert [curve.name for curve in result.curves] == ["text head", "text"]
    assert "has no masked-word head" in str(result)
    # The main run goes on from the head's last loss, not from a new head's.
    head, main = result.curves
    assert main.points[0].loss < head.points[0].loss
    weights = load_file(second.encoder_dir("text") / "model.safetensors")
    assert any(name.startswith("cls.predictions") for name in weights)


def test_speech_iterations_follow_each_other_and_are_not_repeated(config: RunConfig) -> None:
    from persona_ray.models.speech import SpeechEncoder

    second = "pretraining speech, iteration 2"
    with pytest.raises(KeyboardInterrupt):
        pretrain_speech(config, Watching(second, 2))
    watching = Watching()
    result = pretrain_speech(config, watching)
    assert [curve.name for curve in result.curves] == ["speech, iteration 1", "speech, iteration 2"]
    assert "pretraining speech, iteration 1" not in watching.told
    assert watching.told[second][0] in (3, 4)
    assert all(curve.complete for curve in result.curves)
    assert len(list((config.corpus_dir / "units").iterdir())) >= 2
    assert SpeechEncoder.load(str(config.encoder_dir("speech"))).sample_rate_hz == 8000
    assert "min of audio" in str(result)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"clusters": 60000}, r"iterations\[1\]\.clusters 60000: the clips have 28\d\d frames"),
        (
            {"features": "layer", "layer": 9, "clusters": 4},
            r"iterations\[1\]\.layer 9: the encoder has 2 blocks",
        ),
    ],
)
def test_what_a_later_iteration_cannot_have_is_said_before_the_first(
    config: RunConfig, second: dict[str, Any], said: str
) -> None:
    watching = Watching()
    with pytest.raises(ConfigError, match=said):
        pretrain_speech(changed(config, "speech", iterations=[{"clusters": 4}, second]), watching)
    assert watching.told == {}


def test_no_corpus_is_said_before_anything_else(config: RunConfig, tmp_path: Path) -> None:
    empty = config.model_copy(update={"workspace": tmp_path / "empty"})
    for pretrain in (pretrain_text, pretrain_speech):
        with pytest.raises(CorpusError, match="corpus build"):
            pretrain(empty, SilentProgress())


def test_an_empty_corpus_is_told_with_its_reasons(config: RunConfig, tmp_path: Path) -> None:
    url = make_archive(tmp_path / "broken", 3, broken=0)
    for file in (tmp_path / "broken" / "audio").iterdir():
        file.unlink()
    tree = config.model_dump(mode="json")
    tree["workspace"] = str(tmp_path / "empty")
    tree["archive"] |= {"url": url, "audio_root": str(tmp_path / "broken")}
    empty = RunConfig.model_validate(tree)
    build_corpus(empty)
    for pretrain in (pretrain_text, pretrain_speech):
        with pytest.raises(CorpusError, match=r"no call gave a clip: .*quarantine\.csv says why"):
            pretrain(empty, SilentProgress())
    # Texts beside the corpus are enough for words.
    (tmp_path / "more.txt").write_text("\n".join(SENTENCES * 3), encoding="utf-8")
    beside = changed(empty, "text", files=[str(tmp_path / "more.txt")], epochs=1)
    assert pretrain_text(beside, SilentProgress()).curves


def test_a_corpus_of_held_out_customers_alone_is_told(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    import persona_ray.launch.pretrain

    def all_held_out(given: RunConfig) -> UnlabelledClips:
        clips = open_unlabelled(given)
        return replace(clips, infos=(), held_out=len(clips.infos))

    monkeypatch.setattr(persona_ray.launch.pretrain, "open_unlabelled", all_held_out)
    for pretrain in (pretrain_text, pretrain_speech):
        with pytest.raises(CorpusError, match=r"all 24 clips .*pretraining\.hold_out=false"):
            pretrain(config, SilentProgress())


def test_plain_is_one_process(config: RunConfig) -> None:
    launch = config.launch.model_copy(update={"workers": 2})
    with pytest.raises(ConfigError, match=r"launch\.backend ray"):
        pretrain_text(config.model_copy(update={"launch": launch}), SilentProgress())


def test_fine_tuning_starts_from_what_was_pretrained(config: RunConfig) -> None:
    asking = config.model_copy(
        update={"pretraining": config.pretraining.model_copy(update={"encoders": ("text",)})}
    )
    with pytest.raises(EncoderError, match="persona-ray pretrain text"):
        pretrained(asking)
    assert pretrained(config).model == config.model
    pretrain_text(config, SilentProgress())
    model = pretrained(asking).model
    assert model.text.path == str(config.encoder_dir("text").absolute())
    assert model.speech == config.model.speech


def test_an_encoder_tells_whom_it_heard(config: RunConfig, tmp_path: Path) -> None:
    clips = {
        Heard(info.clip_id, info.customer_id, Use.PRETRAINING)
        for info in open_unlabelled(config).infos
    }
    pretrain_text(config, SilentProgress())
    folder = config.encoder_dir("text")
    assert set(Lineage.read(folder)) == clips
    # An older release left none: the same command notes it, and learns nothing anew.
    note = folder / "lineage.parquet"
    before = note.read_bytes()
    note.unlink()
    with pytest.raises(EncoderError, match="does not tell whom it heard"):
        heard_before(str(folder))
    assert "nothing to do" in str(pretrain_text(config, SilentProgress()))
    assert note.read_bytes() == before
    # What goes on from it has heard them too, whatever it learns from itself.
    tree = config.model_dump(mode="json")
    tree["model"]["text"]["path"] = str(folder)
    tree["pretraining"]["text"] |= {"corpus": False, "files": [str(tmp_path / "texts.jsonl")]}
    tree["workspace"] = str(tmp_path / "second")
    (tmp_path / "texts.jsonl").write_text('{"text": "这个产品的收益到底怎么样"}\n' * 8)
    second = RunConfig.model_validate(tree)
    pretrain_text(second, SilentProgress())
    assert set(Lineage.read(second.encoder_dir("text"))) == clips


def test_a_damaged_encoder_is_made_anew_by_fresh_alone(config: RunConfig) -> None:
    pretrain_text(config, SilentProgress())
    asking = config.model_copy(
        update={"pretraining": config.pretraining.model_copy(update={"encoders": ("text",)})}
    )
    weights = config.encoder_dir("text") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(EncoderError, match=r"broken model\.safetensors.*pretrain text --fresh"):
        pretrained(asking)
    with pytest.raises(EncoderError, match=r"broken model\.safetensors.*pretrain text --fresh"):
        pretrain_text(config, SilentProgress())
    pretrain_text(config, SilentProgress(), fresh=True)
    assert pretrained(asking).model.text.path == str(config.encoder_dir("text").absolute())


def test_a_damaged_note_is_named(config: RunConfig) -> None:
    pretrain_text(config, SilentProgress())
    note = config.encoder_dir("text") / "pretraining.json"
    note.write_text("{", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"pretraining\.json is damaged"):
        pretrain_text(config, SilentProgress())
    assert "nothing to do" not in str(pretrain_text(config, SilentProgress(), fresh=True))


def test_content_changes_with_any_file_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    seen = {content(str(tmp_path))}
    (tmp_path / "sub" / "a").write_text("2")
    seen.add(content(str(tmp_path)))
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    seen.add(content(str(tmp_path)))
    assert len(seen) == 3
    assert content("hfl/chinese-roberta-wwm-ext-large") == "hfl/chinese-roberta-wwm-ext-large"
