"""A working file on a disk that other machines share is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from warehouse.connection import NetworkDiskError, open_writer
from warehouse.network_disks import network_type

# As Linux shows them: a root, a share, a folder of this machine inside the share, a blank in a name, a mount that hides another.
MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 27 0:48 / /srv/share rw,relatime shared:9 - nfs4 files:/export rw,vers=4.2,local_lock=none
41 40 8:2 / /srv/share/local rw,relatime - xfs /dev/sdb1 rw
42 27 0:50 / /mnt/our\040files rw,relatime - cifs //files/our rw
43 27 0:51 / /mnt/twice rw,relatime - ext4 /dev/sdc1 rw
44 27 0:52 / /mnt/twice rw,relatime - fuse.sshfs me@files:/ rw
""".lstrip()


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTINFO)
    return file


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/data", ""),
        ("/srv/share/data", "nfs4"),
        ("/srv/share/local/data", ""),
        ("/srv/shared", ""),
        ("/mnt/our files/data", "cifs"),
        ("/mnt/twice/data", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_tells(mounts: Path, folder: str, kind: str) -> None:
    assert network_type(Path(folder), mounts) == kind


def test_this_machine_says_where_its_folders_lie(tmp_path: Path) -> None:
    assert network_type(tmp_path) == ""
    assert network_type(tmp_path, tmp_path / "none") == ""


def test_a_working_file_on_one_is_refused_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (tmp_path / "mountinfo").write_text(f"40 27 0:48 / {shared} rw - nfs4 files:/export rw\n")
    monkeypatch.setattr("warehouse.network_disks.network_type.__defaults__", (tmp_path / "mountinfo",))
    with (
        pytest.raises(NetworkDiskError, match=r"lies on a network disk \(nfs4\).*set HTW_DATA_DIR"),
        open_writer(shared / "w.duckdb"),
    ):
        pass
    assert list(shared.iterdir()) == []
