"""Files and folders are whole or absent, at whatever moment their writer is killed."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from persona_ray import files
from persona_ray.files import draft, draft_folder, put_folder, settle, write_whole

OLD, NEW = {"a": "old", "b": "old", "only": "old"}, {"a": "new", "b": "new"}
# Kills itself before the n-th thing that it does to files: Python tells of each beforehand.
KILLED = """
import os, signal, sys
from pathlib import Path
from persona_ray import files

path, left, exchanges, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if exchanges == "no":
    files._exchange = lambda one, other: False
files._host()

def step(event, arguments):
    global left
    if event.partition(".")[0] in ("open", "os", "shutil", "ctypes"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(step)
if kind == "file":
    files.write_whole(path, "new" * 100)
else:
    with files.draft_folder(path) as folder:
        for name in ("a", "b"):
            (folder / name).write_text("new")
"""


def killed_at(step: int, path: Path, exchanges: str, kind: str) -> bool:
    """Write in a process that is killed before its n-th step; false where it has fewer steps."""
    command = [sys.executable, "-c", KILLED, str(path), str(step), exchanges, kind]
    code = subprocess.run(command, check=False).returncode
    assert code in (0, -9)
    return code == -9


def content(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def make(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("before", [None, OLD], ids=["nothing", "a folder"])
def test_a_folder_is_the_old_or_the_new_one_wherever_its_writer_is_killed(
    before: dict[str, str] | None, tmp_path: Path
) -> None:
    seen = []
    step = 1
    while True:
        path = tmp_path / str(step) / "bundle"
        path.parent.mkdir()
        if before is not None:
            make(path, before)
        if not killed_at(step, path, "yes", "folder"):
            break
        seen.append(content(path) if path.exists() else None)
        assert seen[-1] in (before, NEW), step
        settle(path)
        assert (content(path) if path.exists() else None) == seen[-1], step
        assert [entry.name for entry in path.parent.iterdir()] == ["bundle"] * path.exists()
        step += 1
    assert before in seen
    assert before is None or NEW in seen, "killed while the old folder was removed"
    assert content(path) == NEW
    assert step > 8, "the process was killed at steps of the writing"


def test_where_names_cannot_be_exchanged_the_old_folder_comes_back(tmp_path: Path) -> None:
    gaps = 0
    step = 1
    while True:
        path = tmp_path / str(step) / "bundle"
        path.parent.mkdir()
        make(path, OLD)
        if not killed_at(step, path, "no", "folder"):
            break
        gaps += not path.exists()
        settle(path)
        assert content(path) in (OLD, NEW), step
        assert [entry.name for entry in path.parent.iterdir()] == ["bundle"]
        step += 1
    assert gaps == 1, "killed between the two renames"
    assert content(path) == NEW


def test_a_file_is_the_old_or_the_new_one_wherever_its_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    step = 1
    while True:
        path.write_text("old")
        if not killed_at(step, path, "yes", "file"):
            break
        assert path.read_text() in ("old", "new" * 100), step
        step += 1
    assert step > 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.json"], "leftovers are removed"


def hold(path: Path, open_: Event, close: Event) -> None:
    with draft_folder(path) as folder:
        (folder / "a").write_text("slow")
        open_.set()
        close.wait(60)


def test_what_a_living_process_writes_is_let_be(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    spawn = multiprocessing.get_context("spawn")
    opened, close = spawn.Event(), spawn.Event()
    writer = spawn.Process(target=hold, args=(path, opened, close))
    writer.start()
    assert opened.wait(60)
    with draft_folder(path) as folder:
        (folder / "a").write_text("quick")
    assert content(path) == {"a": "quick"}
    close.set()
    writer.join(60)
    assert writer.exitcode == 0
    assert content(path) == {"a": "slow"}, "who ends last, wins"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (".notes.json.{host}-{pid}-{process}-0.draft", True),
        # The same number, of a process before.
        (".notes.json.{host}-{pid}-00000000-0.draft", False),
        (".notes.json.{host}-{dead}-{process}-0.draft", False),
        (".notes.json.ffffffff-{dead}-{process}-0.draft", True),
        (".notes.json.{host}-1-00000000-0.draft", True),
        (".notes.json.{host}-seven-{process}-0.draft", True),
        (".notes.json.{host}-{dead}-{process}-0.json", True),
        (".other.json.{host}-{dead}-{process}-0.draft", True),
    ],
)
def test_only_what_a_dead_process_of_this_host_left_is_removed(
    name: str, kept: bool, tmp_path: Path
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {"host": files._host(), "process": files._process()}
    leftover = tmp_path / name.format(pid=os.getpid(), dead=dead.pid, **names)
    leftover.write_text("half")
    write_whole(tmp_path / "notes.json", "whole")
    assert leftover.exists() == kept


def fail_in_file(path: Path) -> None:
    with draft(path) as file:
        file.write_text("half")
        raise RuntimeError


def fail_in_folder(path: Path) -> None:
    with draft_folder(path) as folder:
        (folder / "a").write_text("half")
        raise RuntimeError


@pytest.mark.parametrize("fail", [fail_in_file, fail_in_folder])
def test_a_block_that_fails_leaves_what_was_there(
    fail: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "it"
    with pytest.raises(RuntimeError):
        fail(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    with pytest.raises(RuntimeError):
        fail(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["it"]


def test_a_second_rename_that_fails_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "bundle", tmp_path / "new"
    make(path, OLD)
    make(new, NEW)
    rename = Path.rename

    def full(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError("no space left")
        return rename(self, target)

    monkeypatch.setattr(files, "_exchange", lambda _one, _other: False)
    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="no space"):
        put_folder(new, path)
    assert content(path) == OLD


def test_a_link_to_a_folder_gives_way_and_its_folder_stays(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", OLD)
    path = tmp_path / "bundle"
    path.symlink_to(tmp_path / "elsewhere")
    with draft_folder(path) as folder:
        (folder / "a").write_text("new")
    assert not path.is_symlink()
    assert content(path) == {"a": "new"}
    assert content(tmp_path / "elsewhere") == OLD
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bundle", "elsewhere"]


def test_threads_that_write_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    texts = [str(number) * 100_000 for number in range(8)]
    threads = [threading.Thread(target=write_whole, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.json"]


def test_an_absent_folder_is_told_by_whoever_writes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "notes.json", "text")


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_was_deleted_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    path = tmp_path / "folder" / "file"
    assert not files.rewrite_whole(path, "new")
    path.parent.mkdir()
    assert not files.rewrite_whole(path, "new")
    path.write_text("old")
    assert files.rewrite_whole(path, "new")
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    assert path.read_text() == "new"
