"""Whether a folder lies on a disk that other machines share: there is no place there for a DuckDB or SQLite file that is written.

Belongs here: which file systems those are, and asking the system where a folder lies. Does not: opening files (`connection`).
Their locks are not kept between machines, or late, or not at all, and what one machine wrote another may not see: two writers at
once destroy the file. Where the system does not tell its mounts (no Linux), nothing is refused.
"""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK_TYPES = {
    "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3",
    "smbfs", "fuse.blobfuse2", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.mount-s3",
    "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs", "fuse.sshfs",
}  # fmt: skip


def network_type(folder: Path, mounts: Path = MOUNTS) -> str:
    """The type of the network file system that a folder lies on, such as `nfs4`; empty where it is a disk of this machine."""
    try:
        lines = mounts.read_text("utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    above, found = {folder.resolve(), *folder.resolve().parents}, ("", "")
    # Of two mounts at one place the later hides the earlier.
    for place, kind in map(_place_and_type, lines):
        if Path(place) in above and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1] if found[1] in NETWORK_TYPES else ""


def _place_and_type(line: str) -> tuple[str, str]:
    """Mount point and type of a line of mountinfo (proc(5)), whose blanks inside names are written as octal numbers."""
    before, _, after = line.partition(" - ")
    place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
    return place, after.split(" ")[0]
