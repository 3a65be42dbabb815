"""Folders, files and locks of the spool."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from spool_kit import modes

from dfinery_async.errors import SpoolError, SpoolLocked
from dfinery_async.runtime.spool.files import check_disk, make_folder, make_reserve
from dfinery_async.runtime.spool.slots import claim, existing, owner_of, take_over


def test_each_claim_gets_a_slot_of_its_own_and_the_first_free_one(tmp_path: Path) -> None:
    root = tmp_path / "a" / "spool"
    first, second, third = claim(root), claim(root), claim(root)
    assert [slot.folder.name for slot in (first, second, third)] == ["slot-000", "slot-001", "slot-002"]
    second.release()
    again = claim(root)
    assert again.folder == second.folder
    assert list(take_over(root)) == []
    third.release()
    taken = list(take_over(root))
    assert [slot.folder.name for slot in taken] == ["slot-002"]
    for slot in (first, again, *taken):
        slot.release()
        slot.release()  # which does nothing
    assert len(existing(root)) == 3


def test_one_owner_alone_is_named(tmp_path: Path) -> None:
    slot = claim(tmp_path, alone=True)
    assert owner_of(slot.folder) == os.getpid()
    with pytest.raises(SpoolLocked, match=f"in use by process {os.getpid()}$"):
        claim(tmp_path, alone=True)
    slot.release()
    assert owner_of(slot.folder) is None
    claim(tmp_path, alone=True).release()
    assert owner_of(tmp_path / "nowhere") is None


def test_folders_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        claim(tmp_path / "a" / "b").release()
    finally:
        os.umask(before)
    assert modes(tmp_path) == {
        "a": "0o700",
        "a/b": "0o700",
        "a/b/slot-000": "0o700",
        "a/b/slot-000/lock": "0o600",
    }


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = f"""
        from pathlib import Path
        from dfinery_async.runtime.spool.slots import claim
        slot = claim(Path({str(tmp_path)!r}))
        print("held", flush=True)
        input()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert owner_of(tmp_path / "slot-000") == child.pid
        assert list(take_over(tmp_path)) == []
        with pytest.raises(SpoolLocked, match=f"process {child.pid}"):
            claim(tmp_path, alone=True)
        child.kill()
        child.wait()
        (slot,) = take_over(tmp_path)
        slot.release()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.symlink_to(path.parent), "symbolic link"),
        (lambda path: path.write_text("x"), "is none"),
        (lambda path: (path.mkdir(), path.chmod(0o777)), "others may write"),
        (lambda path: (path.mkdir(), path.chmod(0o720)), "others may write"),
    ],
)
def test_a_folder_that_others_could_reach_is_refused(tmp_path: Path, spoil: object, problem: str) -> None:
    spoil(tmp_path / "spool")  # type: ignore[operator]
    with pytest.raises(SpoolError, match=problem):
        make_folder(tmp_path / "spool")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    os.chown(tmp_path / "spool", 12345, 12345)
    with pytest.raises(SpoolError, match="another user"):
        make_folder(tmp_path / "spool")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"can't be made: not a directory|is none"):
        make_folder(tmp_path / "file" / "spool")


TABLE = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /net/share rw,relatime shared:9 - nfs4 server:/share rw
31 22 0:27 / /net/with\\040space rw - cifs //server/x rw
32 22 0:28 / /net/fuse rw - fuse.sshfs user@host: rw
33 30 0:29 / /net/share/local rw - xfs /dev/vdb rw
34 22 0:30 / /dev/shm rw - tmpfs tmpfs rw
35 22 0:31 / /net/fuse-here rw - fuse.ntfs /dev/vdc rw
36 22 0:32 / /net/hidden rw - nfs server:/h rw
37 36 0:33 / /net/hidden rw - ext4 /dev/vdd rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/spool", None),
        ("/net/share/spool", "nfs4"),
        ("/net/share/local/spool", None),
        ("/net/shared/spool", None),
        ("/net/with space/spool", "cifs"),
        ("/net/fuse/spool", "fuse.sshfs"),
        ("/net/fuse-here/spool", None),
        ("/net/hidden/spool", None),
    ],
)
def test_disks_of_other_machines_are_refused(tmp_path: Path, path: str, kind: str | None) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(TABLE)
    if kind is None:
        check_disk(Path(path), mounts)
    else:
        with pytest.raises(SpoolError, match=rf"network file system \({kind}\)"):
            check_disk(Path(path), mounts)


def test_memory_instead_of_a_disk_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(TABLE)
    check_disk(Path("/dev/shm/spool"), mounts)  # noqa: S108 - it is only looked up
    assert "lies in memory" in caplog.text
    check_disk(Path("/srv"), tmp_path / "no such table")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        check_disk(tmp_path)  # this machine's own table can be read


def test_a_reserve_takes_real_room(tmp_path: Path) -> None:
    reserve = tmp_path / "reserve"
    assert make_reserve(reserve, 1 << 20)
    assert make_reserve(reserve, 1 << 20)
    assert reserve.stat().st_blocks * 512 >= 1 << 20
    assert modes(tmp_path) == {"reserve": "0o600"}
    assert not make_reserve(tmp_path / "missing" / "reserve", 1)
    assert not make_reserve(tmp_path / "larger than the disk", 1 << 60)
    assert modes(tmp_path) == {"reserve": "0o600"}
