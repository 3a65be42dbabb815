"""Folders and files of the spool: only their owner may see them, and they stand on a disk of this machine."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from dfinery_async.errors import SpoolError

__all__ = ["check_disk", "make_folder", "make_reserve", "prepare_file", "sync_folder"]

_log = logging.getLogger("dfinery_async.spool")

_FOLDER: Final = 0o700
_FILE: Final = 0o600
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK: Final = frozenset(
    {
        *(
            "9p",
            "afs",
            "afpfs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
            "nfs",
            "nfs4",
        ),
        *("ocfs2", "orangefs", "smb3", "smbfs", "vboxsf"),
    }
)
_NETWORK_FUSE: Final = ("ceph", "davfs", "gcsfuse", "glusterfs", "juicefs", "rclone", "s3fs", "seaweedfs", "sshfs")


def make_folder(path: Path) -> None:
    """Make a folder for its owner alone, and those above it; an existing one must be as good.

    Raises:
        SpoolError: it is a link, belongs to somebody else, others may write to it, or it can't be made.
    """
    try:
        _make(path)
        status = path.lstat()
    except OSError as error:
        raise SpoolError(f"the spool's folder {path} can't be made: {_reason(error)}") from None
    if stat.S_ISLNK(status.st_mode):
        raise SpoolError(f"the spool's folder {path} is a symbolic link; name the folder itself")
    if not stat.S_ISDIR(status.st_mode):
        raise SpoolError(f"the spool needs a folder, and {path} is none")
    if status.st_uid != os.geteuid():
        raise SpoolError(f"the spool's folder {path} belongs to another user")
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise SpoolError(f"others may write to the spool's folder {path}: chmod 700 keeps it to you")
    if not os.access(path, os.W_OK | os.X_OK):
        raise SpoolError(f"the spool's folder {path} can't be written to")


def _make(path: Path) -> None:
    if path.is_symlink() or path.exists():
        return
    if not path.parent.exists():
        _make(path.parent)
    try:
        path.mkdir(_FOLDER)
    except FileExistsError:
        return  # another process was quicker
    path.chmod(_FOLDER)  # whatever the umask
    sync_folder(path.parent)


def prepare_file(path: Path) -> int:
    """See that a file is there and that it is a plain one of ours, before anything opens it by its name.

    SQLite follows links, and gives its other files the mode that it finds here.

    Returns:
        Its size.

    Raises:
        SpoolError: it is no plain file, or belongs to somebody else.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        os.close(os.open(path, flags, _FILE))
    except FileExistsError:
        pass
    except OSError as error:
        raise SpoolError(f"the spool's file {path} can't be made: {_reason(error)}") from None
    for each in (path, *beside(path)):
        try:
            status = each.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise SpoolError(f"the spool's file {each} is no plain file of this user; nothing was touched")
        if status.st_mode & 0o777 != _FILE:
            each.chmod(_FILE)
    return path.stat().st_size


def beside(path: Path) -> tuple[Path, Path]:
    """Return the names of the files that SQLite keeps beside its main one."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def sync_folder(path: Path) -> None:
    """Make new names in a folder survive a power cut."""
    folder = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_reserve(path: Path, size: int) -> bool:
    """Take up room that can be given back when the disk is full. Returns whether it is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        disk = os.statvfs(path.parent)
        if path.exists():
            return True
        if disk.f_bavail * disk.f_frsize < size + size // 4:  # tell a full disk without filling it
            return False
        with os.fdopen(os.open(path, flags, _FILE), "wb", buffering=0) as file:
            left = size
            while left > 0:  # written out: a hole would take no room
                left -= file.write(bytes(min(left, 1 << 16)))
    except OSError:
        path.unlink(missing_ok=True)
        return False
    return True


def check_disk(path: Path, mounts: Path = _MOUNTS) -> None:
    """Refuse a disk of another machine, whose locks and syncs are not to be relied on; warn of one that is memory.

    Only Linux tells, in its table of mounts.

    Raises:
        SpoolError: the folder lies on a network file system.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    kind = _kind_of(path.resolve(), table)
    if kind in _NETWORK or (kind.startswith("fuse.") and any(name in kind for name in _NETWORK_FUSE)):
        raise SpoolError(
            f"the spool's folder {path} lies on a network file system ({kind}); choose a disk of this machine"
        )
    if kind in {"tmpfs", "ramfs"}:
        _log.warning("the spool's folder lies in memory (%s): it outlives this process, but not the machine", kind)


def _kind_of(path: Path, table: str) -> str:
    """Return the kind of file system that a path lies on, empty where the table does not say."""
    best, kind = -1, ""
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        columns = fields.split(" ")
        if len(columns) < 5 or not rest:
            continue
        point = Path(columns[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        depth = len(point.parts)
        if path.is_relative_to(point) and depth >= best:  # of two mounts at one place, the later one is seen
            best, kind = depth, rest.split(" ", 1)[0]
    return kind


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
