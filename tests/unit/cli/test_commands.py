"""The command line: help that teaches, mistakes that end in one line and an exit code."""

from __future__ import annotations

import errno
import resource
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from persona_ray.cli import main, run_entry
from persona_ray.cli.app import app
from persona_ray.config import RunConfig

MAIN = "from persona_ray.cli import main; main()"


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["corpus", "build", "--set", "training.epoch=1"], 2, "training.epochs"),
        (["corpus", "build", "--config", "absent.yaml"], 2, "absent.yaml does not exist"),
        (["corpus", "build", "--set", "archive.url=sqlite:///absent.db"], 3, "absent.db"),
        (["corpus", "show"], 3, "corpus"),
        (["annotate", "import", "absent.csv"], 3, "corpus"),
        (["pretrain", "text"], 3, "corpus"),
        (["pretrain", "speech"], 3, "corpus"),
        (["pretrain", "text", "--set", "model.text.path=/no/such"], 2, "there is no such folder"),
        (["pretrain", "speech", "--set", "model.speech.path=/no/such"], 2, "no such folder"),
        (["finetune", "--set", "model.text.path=/no/such"], 2, "there is no such folder"),
        (["pretrain", "text", "--set", "tracking.url=http://127.0.0.1:9"], 2, "no MLflow server"),
        (["finetune"], 3, "corpus"),
        (["finetune", "--set", "pretraining.encoders=[text]"], 2, "persona-ray pretrain text"),
        (["sweep"], 3, "corpus"),
        (["sweep", "--set", "sweep.space.model.text.path={grid: [/no/such]}"], 2, "no such folder"),
        (["sweep", "--set", "launch.backend=plain"], 2, "launch.backend=ray"),
        (["sweep", "--set", "sweep.space.training.epochs={grid: [1]}"], 2, "lower the threshold"),
        (["recognize"], 2, "nothing to recognise"),
        (["recognize", "a.wav", "--text", "x"], 2, "--clip"),
        (["recognize", "a.wav"], 2, "bundle.json"),
        (["recognize-archive", "--bundle", "models:/persona"], 2, "models:/NAME@ALIAS"),
        (["corpus", "build", "--set", "workspace=/dev/null/x"], 2, "/dev/null is a file"),
        (["pretrain", "text", "--set", "workspace=/dev/null/x"], 2, "/dev/null is a file"),
        (["recognize", "--text", "x", "--bundle", "models:/persona"], 2, "models:/NAME@ALIAS"),
        (["models", "register", "--set", "tracking.url=off"], 2, "there is no registry"),
        (["models", "promote", "--set", "tracking.url=mlruns"], 2, "neither http"),
        (["models", "lineage"], 2, "--customer ID"),
        (["run"], 2, "annotation.files is empty"),
        (["run", "--set", "annotation.files=[absent.csv]"], 2, "absent.csv does not exist"),
    ],
)
def test_mistake_is_one_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["persona-ray", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert ended.value.code == code, line
    assert line.startswith("error: ")
    assert part in line


@pytest.mark.parametrize(
    ("command", "code", "part"),
    [("evaluate", 3, "corpus"), ("recognize-archive", 2, "bundle.json")],
)
def test_a_process_says_nothing_beside_its_mistake(
    command: str, code: int, part: str, tmp_path: Path
) -> None:
    """Not even where it has loaded what computes."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=120,
    )
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == code, line
    assert line.startswith("error: ")
    assert part in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x/corpus"), "change its rights"),
        (OSError(errno.EROFS, "Read-only file system", "/x/corpus"), "change its rights"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/corpus"), "free some"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/corpus"), "move it away"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    error: OSError, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def entry() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_entry(entry)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: /x/corpus: {error.strerror}: {said}")


def test_weights_that_find_no_room_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import save_file

    def entry() -> None:
        # No file of this process may be larger: the number is another, the way the same.
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        try:
            save_file({"weights": np.zeros(1 << 16, dtype=np.float32)}, tmp_path / "weights")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.raises(SystemExit) as ended:
        run_entry(entry)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: File too large: free some")


def test_a_file_that_the_product_lost_is_no_message_of_the_machine() -> None:
    def entry() -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/corpus")

    with pytest.raises(FileNotFoundError):
        run_entry(entry)


def test_help_teaches_the_main_job() -> None:
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    for command in ("corpus build", "annotate export", "finetune", "evaluate", "recognize"):
        assert command in answer.output


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", [["config", "keys"], ["synth", "keys"]])
def test_keys_are_whole_however_narrow_the_terminal(
    command: list[str], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from persona_ray.config import describe
    from persona_ray.synth.config import SynthConfig

    monkeypatch.setenv("COLUMNS", str(columns))
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0
    lines = answer.output.splitlines()
    expected = describe(SynthConfig) if command[0] == "synth" else describe(items=True)
    for key, default, meaning in expected:
        first, *_ = default.splitlines()
        assert f"{key}: {first}" in lines
        assert " ".join(meaning.split()) in " ".join(answer.output.split())
        lines = [line for line in lines if line.strip() not in default]
    # Meanings are broken, not cut.
    meanings = [line for line in lines if line.startswith(" " * 8)]
    assert max(map(len, meanings)) in range(columns - 20, columns + 1)


def test_readme_names_every_room(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    rooms = {p.parent.name for p in (repository / "persona_ray").glob("*/__init__.py")}
    assert {room for room in rooms if f"{room}/" not in readme} == set()


def test_jobs_read_the_configuration_beside_them(repository: Path) -> None:
    from persona_ray.config import load_config

    scripts = sorted((repository / "jobs").glob("*.py"))
    assert scripts
    for script in scripts:
        assert script.with_suffix(".yaml").is_file()
        assert len(script.read_text(encoding="utf-8").splitlines()) < 60
    for path in (repository / "jobs").glob("*.yaml"):
        load_config(path)


# What each script calls, and which options it takes beside those of all.
JOBS = {
    "build_corpus": ("persona_ray.launch.corpus.build_corpus", ["fresh"]),
    "doctor": ("persona_ray.launch.doctor.examine.examine", []),
    "evaluate": ("persona_ray.launch.evaluate.evaluate_run", []),
    "finetune": ("persona_ray.launch.finetune.finetune", ["fresh"]),
    "main_job": ("persona_ray.launch.main_job.run_main_job", ["fresh"]),
    "pretrain_speech": ("persona_ray.launch.pretrain.pretrain_speech", ["fresh"]),
    "pretrain_text": ("persona_ray.launch.pretrain.pretrain_text", ["fresh"]),
    "recognize_archive": ("persona_ray.launch.archive.job.recognize_archive", ["fresh"]),
    "sweep": ("persona_ray.launch.sweep.job.sweep", ["fresh"]),
    "train_category": ("persona_ray.launch.category.train_category", ["fresh", "promote"]),
    "train_emotion": ("persona_ray.launch.assist.emotion.train_emotion", ["fresh", "promote"]),
    "train_ranker": ("persona_ray.launch.assist.ranker.train_ranker", ["promote"]),
    "retrain_assist": ("persona_ray.launch.assist.retrain.retrain", []),
}
# What a job asks for of its own.
OWN = {"retrain_assist": {"if_due": True}}


def test_every_job_is_known_here(repository: Path) -> None:
    assert {script.stem for script in (repository / "jobs").glob("*.py")} == set(JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_help_of_a_job_shows_how_it_is_submitted_and_stopped(
    repository: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = str(repository / "jobs" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(script, run_name="__main__")
    said = capsys.readouterr().out
    for part in ("ray job submit", f"python jobs/{name}.py", f"{name}.yaml", "config keys"):
        assert part in " ".join(said.split())
    assert [one for one in ("fresh", "promote") if f"--{one}" in said] == JOBS[name][1]
    stoppable = name in (
        "finetune", "main_job", "pretrain_speech", "pretrain_text", "sweep", "train_category",
        "train_emotion",
    )  # fmt: skip
    assert ("RAY_JOB_STOP_WAIT_TIME_S makes these more" in said) == stoppable
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize(
    ("name", "given"),
    [(name, given) for name, (_, options) in JOBS.items() for given in ("", *options)],
)
def test_a_job_hands_its_options_on(
    repository: Path, name: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, known = JOBS[name]
    called: dict[str, Any] = {}

    class ReachedError(Exception):
        pass

    def stand_in(config: RunConfig, _: object, **options: bool) -> None:
        called.update(options, epochs=config.training.epochs)
        raise ReachedError

    monkeypatch.setattr(target, stand_in)
    options = ["--set", "training.epochs=7", *([f"--{given}"] if given else [])]
    monkeypatch.setattr(sys, "argv", [name, *options])
    main = runpy.run_path(str(repository / "jobs" / f"{name}.py"))["main"]
    with pytest.raises(ReachedError):
        main()
    assert called.pop("epochs") == 7
    assert called == {one: one == given for one in known} | OWN.get(name, {})


@pytest.mark.parametrize("tower", ["text", "speech"])
def test_large_models_are_set_for_eight_gpus(repository: Path, tower: str) -> None:
    from persona_ray.config import load_config
    from persona_ray.training.pretrain.settings import PretrainSettings

    config = load_config(repository / "jobs" / f"pretrain_{tower}_large.yaml")
    assert config.pretraining.encoders == (tower,)
    assert (config.engine.kind, config.engine.zero_stage) == ("deepspeed", 2)
    assert config.engine.precision == "bf16"
    assert (config.launch.workers, config.launch.gpus_per_worker) == (8, 1)
    settings = PretrainSettings.of(getattr(config.pretraining, tower))
    assert (settings.learning_rate, settings.epochs) == (1e-5, 60)
    # Every worker has something to do in every update.
    assert settings.update_size >= 8 * settings.micro_size
