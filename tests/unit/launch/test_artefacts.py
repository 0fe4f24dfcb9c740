"""Finished work in a bucket and back: whole, checked, once, and gone when it is gone here."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ArtefactError
from persona_ray.launch.storage import artefacts as module
from persona_ray.launch.storage.artefacts import Artefacts
from persona_ray.launch.storage.copies import copied, mirrored
from persona_ray.progress import Progress, SilentProgress
from tests.services import S3


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITS_S", (0.01,))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("persona_ray.remote._S3FS_TRIES", 1)


@pytest.fixture
def place(s3: S3) -> str:
    return f"{s3.uri}/runs/one"


@pytest.fixture
def there(tmp_path: Path) -> str:
    """A folder, where nothing of S3 matters."""
    return str(tmp_path / "there")


def run_in(workspace: Path, place: str) -> RunConfig:
    return load_config(None, [f"workspace={workspace}", f"storage.artefacts={place}"])


def artefacts_of(workspace: Path, place: str) -> Artefacts:
    return Artefacts(run_in(workspace, place), SilentProgress())


def worked(workspace: Path) -> None:
    """A workspace with a corpus, work under way in it, and a bundle."""
    for name, text in {
        "corpus/corpus.json": "{}",
        "corpus/clips-0.parquet": "clips",
        "corpus/.lock": "",
        "corpus/staging/a/call.parquet": "half a build",
        "bundle/bundle.json": "contract",
        "bundle/speech/model.safetensors": "weights",
        "history.json": "epochs",
        "store.sqlite": "rows",
    }.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def files_of(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_an_empty_workspace_gets_what_was_finished(tmp_path: Path, place: str) -> None:
    worked(tmp_path / "one")
    assert [part.name for part in artefacts_of(tmp_path / "one", place).push()] == [
        "corpus",
        "bundle",
    ]
    fetched = artefacts_of(tmp_path / "two", place).pull()
    assert [part.name for part in fetched] == ["bundle", "corpus"]
    assert files_of(tmp_path / "two") == {
        "corpus/corpus.json": "{}",
        "corpus/clips-0.parquet": "clips",
        "bundle/bundle.json": "contract",
        "bundle/speech/model.safetensors": "weights",
        "history.json": "epochs",
    }
    # What is there is not replaced.
    (tmp_path / "two/bundle/bundle.json").write_text("mine")
    assert artefacts_of(tmp_path / "two", place).pull() == []
    assert (tmp_path / "two/bundle/bundle.json").read_text() == "mine"


def test_only_what_changed_is_sent_and_what_went_is_removed(
    tmp_path: Path, place: str, s3: S3
) -> None:
    worked(tmp_path)
    artefacts = artefacts_of(tmp_path, place)
    artefacts.push()
    s3.front.asked.clear()
    artefacts.push()
    assert not [asked for asked in s3.front.asked if asked.startswith("PUT")]
    before = s3.keys()
    (tmp_path / "corpus/clips-0.parquet").write_text("clips of fewer people")
    artefacts.push(["corpus"])
    # The new shard and the document; the old shard is gone.
    assert len([asked for asked in s3.front.asked if asked.startswith("PUT")]) == 2
    assert len(s3.keys()) == len(before)
    bodies = s3.contents()
    assert b"clips" not in bodies
    assert b"clips of fewer people" in bodies
    artefacts.remove(["corpus", "bundle"])
    assert s3.keys() == []


def test_a_push_that_breaks_off_leaves_the_old_part_and_goes_on(
    tmp_path: Path, place: str, s3: S3
) -> None:
    worked(tmp_path / "one")
    artefacts = artefacts_of(tmp_path / "one", place)
    artefacts.push(["bundle"])
    (tmp_path / "one/bundle/speech/model.safetensors").write_text("better weights")
    (tmp_path / "one/bundle/bundle.json").write_text("new contract")
    with s3.front.failing(status=503, only="documents/"), pytest.raises(ArtefactError) as told:
        artefacts.push(["bundle"])
    assert place in str(told.value)
    old = artefacts_of(tmp_path / "two", place)
    old.pull()
    assert (tmp_path / "two/bundle/speech/model.safetensors").read_text() == "weights"
    s3.front.asked.clear()
    artefacts.push(["bundle"])
    assert [asked.split("/")[-2] for asked in s3.front.asked if "PUT" in asked] == ["documents"]


@pytest.mark.parametrize("trouble", [{"status": 503}, {"status": 403}, {"cut": True}])
def test_a_pull_that_fails_leaves_nothing(
    tmp_path: Path, place: str, s3: S3, trouble: dict[str, object]
) -> None:
    worked(tmp_path / "one")
    artefacts_of(tmp_path / "one", place).push()
    with s3.front.failing(only="objects/", **trouble), pytest.raises(ArtefactError) as told:
        artefacts_of(tmp_path / "two", place).pull(["corpus"])
    assert "\n" not in str(told.value)
    assert files_of(tmp_path / "two") == {}
    assert artefacts_of(tmp_path / "two", place).pull(["corpus"])


def test_a_changed_copy_and_a_document_that_leads_out_are_refused(
    tmp_path: Path, place: str, s3: S3
) -> None:
    worked(tmp_path / "one")
    artefacts_of(tmp_path / "one", place).push(["bundle"])
    (key,) = s3.keys("runs/one/artefacts/documents/")
    document = s3.client().get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    for other in ("../../etc/cron.d/x", "/etc/x", "corpus/x", "bundle/../../x", "bundle/.ssh"):
        changed = document.replace(b"bundle/bundle.json", other.encode())
        s3.client().put_object(Bucket=s3.bucket, Key=key, Body=changed)
        with pytest.raises(ArtefactError, match="no file of the part"):
            artefacts_of(tmp_path / "two", place).pull()
    s3.client().put_object(Bucket=s3.bucket, Key=key, Body=document)
    for name in s3.keys("runs/one/artefacts/objects/"):
        s3.client().put_object(Bucket=s3.bucket, Key=name, Body=b"another bundle")
    with pytest.raises(ArtefactError, match="damaged"):
        artefacts_of(tmp_path / "two", place).pull()
    assert files_of(tmp_path / "two") == {}


def test_a_part_of_a_newer_release_is_left_alone(tmp_path: Path, place: str, s3: S3) -> None:
    worked(tmp_path / "one")
    artefacts_of(tmp_path / "one", place).push()
    (key,) = s3.keys("runs/one/artefacts/documents/corpus")
    document = s3.client().get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    newer = document.replace(b'"corpus"', b'"voices"').replace(b'"corpus/', b'"voices/')
    s3.client().put_object(Bucket=s3.bucket, Key=key.replace("corpus", "voices"), Body=newer)
    artefacts = artefacts_of(tmp_path / "one", place)
    artefacts.remove(["corpus", "bundle"])
    assert [part.name for part in artefacts.pushed()] == ["voices"]
    assert len(s3.keys("runs/one/artefacts/objects/")) == 2
    assert artefacts_of(tmp_path / "two", place).pull() == []


def test_a_bucket_that_is_not_there_is_told_before_the_work(tmp_path: Path, s3: S3) -> None:  # noqa: ARG001
    begun = False

    @copied("bundle")
    def step(config: RunConfig, progress: Progress) -> None:  # noqa: ARG001
        nonlocal begun
        begun = True

    with pytest.raises(ArtefactError, match="no-such-bucket"):
        step(run_in(tmp_path, "s3://no-such-bucket/x"), SilentProgress())
    assert not begun


@copied("corpus")
def build(config: RunConfig, progress: Progress, fresh: bool = False) -> str:  # noqa: ARG001
    """Like a step: makes nothing twice."""
    path = config.workspace / "corpus/corpus.json"
    if path.is_file() and not fresh:
        return "known"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("made")
    return "made"


@copied("bundle", needs=("corpus",))
def train(config: RunConfig, progress: Progress, fresh: bool = False) -> str:  # noqa: ARG001
    corpus = (config.workspace / "corpus/corpus.json").read_text()
    (config.workspace / "bundle").mkdir(exist_ok=True)
    (config.workspace / "bundle/bundle.json").write_text(f"of {corpus}")
    return corpus


@copied("corpus", "bundle")
def both(config: RunConfig, progress: Progress, fresh: bool = False) -> list[str]:
    return [build(config, progress, fresh), train(config, progress)]


def test_a_job_on_a_new_cluster_goes_on(tmp_path: Path, there: str) -> None:
    silent = SilentProgress()
    assert build(run_in(tmp_path / "one", there), silent) == "made"
    assert train(run_in(tmp_path / "two", there), silent) == "made"
    assert both(run_in(tmp_path / "three", there), silent) == ["known", "made"]
    assert both(run_in(tmp_path / "four", there), silent, fresh=True) == ["made", "made"]


def test_a_step_fetches_what_its_configuration_needs(tmp_path: Path, there: str) -> None:
    worked(tmp_path / "one")
    artefacts_of(tmp_path / "one", there).push()

    @copied("recognitions", needs=lambda config: ["corpus"] if config.recognition.texts else [])
    def step(config: RunConfig, progress: Progress) -> bool:  # noqa: ARG001
        return (config.workspace / "corpus").exists()

    config = run_in(tmp_path / "two", there)
    assert not step(config, SilentProgress())
    texts = config.recognition.model_copy(update={"texts": True})
    assert step(config.model_copy(update={"recognition": texts}), SilentProgress())


def test_a_copy_that_fails_costs_no_work_and_is_tried_again(
    tmp_path: Path, place: str, s3: S3, caplog: pytest.LogCaptureFixture
) -> None:
    config = run_in(tmp_path / "one", place)

    @copied("corpus")
    def lucky(config: RunConfig, progress: Progress) -> None:
        with s3.front.failing(status=403):
            build(config, progress)

    lucky(config, SilentProgress())
    assert "it is tried again at the end" in caplog.text
    assert [part.name for part in artefacts_of(tmp_path / "two", place).pull()] == ["corpus"]

    @copied("bundle")
    def unlucky(config: RunConfig, progress: Progress) -> None:  # noqa: ARG001
        (config.workspace / "bundle").mkdir()
        (config.workspace / "bundle/bundle.json").write_text("contract")
        s3.front.trouble.status = 403

    with pytest.raises(ArtefactError, match="the work is done and whole") as told:
        unlucky(config, SilentProgress())
    assert "artefacts push" in str(told.value)
    assert (config.workspace / "bundle/bundle.json").is_file()
    s3.front.trouble.status = 0


def test_a_workspace_that_cannot_be_written_or_read_is_told(tmp_path: Path, there: str) -> None:
    worked(tmp_path / "one")
    artefacts_of(tmp_path / "one", there).push(["corpus"])
    (tmp_path / "two").write_text("no folder")
    with pytest.raises(ArtefactError, match="name another workspace"):
        artefacts_of(tmp_path / "two", there).pull()


def test_what_is_deleted_here_is_deleted_there(tmp_path: Path, there: str) -> None:
    worked(tmp_path / "one")
    artefacts_of(tmp_path / "one", there).push()
    workspace = tmp_path / "two"
    with mirrored(run_in(workspace, there), SilentProgress()):
        # Of a workspace that had not even fetched it.
        (workspace / "corpus/clips-0.parquet").write_text("others")
        (workspace / "bundle/bundle.json").unlink()
        (workspace / "bundle/speech/model.safetensors").unlink()
        (workspace / "bundle/speech").rmdir()
    names = [part.name for part in artefacts_of(workspace, there).pushed()]
    assert names == ["corpus"]
    objects = (tmp_path / "there/artefacts/objects").rglob("*/*")
    bodies = {path.read_bytes() for path in objects}
    assert bodies == {b"{}", b"others"}


def test_commands(tmp_path: Path) -> None:
    place = tmp_path / "there"
    worked(tmp_path / "one")

    def run(command: str, workspace: str) -> str:
        options = [f"workspace={tmp_path / workspace}", f"storage.artefacts={place}"]
        sets = [word for option in options for word in ("--set", option)]
        answer = CliRunner().invoke(app, ["artefacts", *command.split(), *sets])
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "corpus" in run("push corpus", "one")
    assert "lacks it" in run("list", "two")
    assert "corpus" in run("pull", "two")
    assert "has it" in run("list", "two")
    assert "nothing fetched" in run("pull", "two")
    answer = CliRunner().invoke(app, ["artefacts", "push", "--set", f"workspace={tmp_path}"])
    assert isinstance(answer.exception, ArtefactError)
    assert "storage.artefacts is empty" in str(answer.exception)
    with pytest.raises(ArtefactError, match="no part is called 'corps'"):
        artefacts_of(tmp_path, str(place)).push(["corps"])
