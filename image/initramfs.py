"""The two initramfs: the small one of an installed UKI, and the medium's, which carries the image file besides.

    early    init and the drivers between it and its root; zstd, so that firmware has less to load
    medium   the same, then uncompressed, since both are compressed already:
             /head.img  the image file up to its root part;  /root.img  the root part
"""

import pathlib
import shutil

import cpio
import debian

# Where init expects to mount, and the kernel's own /root.
DIRECTORIES = ("dev", "proc", "sys", "run", "root")


def early(out: pathlib.Path, tree: pathlib.Path, init: pathlib.Path, epoch: int, level: int = 19) -> None:
    """`tree` is lib/modules with tables of just the modules in it."""
    plain = out.with_suffix(".cpio")
    with open(plain, "wb") as opened:
        writer = cpio.Writer(opened, epoch)
        for name in DIRECTORIES:
            writer.directory(name)
        for path in sorted(tree.rglob("*")):
            name = str(path.relative_to(tree))
            writer.directory(name) if path.is_dir() else writer.file(name, path)
        writer.file("init", init, 0o755)
        writer.close()
    # One thread: how the work is cut up shows in the result. 8 MiB is the largest window that the kernel takes.
    debian.run(["zstd", "-q", "-f", f"-{level}", "--single-thread", "--no-check", plain, "-o", out])
    plain.unlink()


def medium(out: pathlib.Path, early_file: pathlib.Path, head: pathlib.Path, root: pathlib.Path, epoch: int) -> None:
    scratch = out.with_name(out.name + ".new")
    with open(scratch, "wb") as opened:
        with open(early_file, "rb") as first:
            shutil.copyfileobj(first, opened)
        # The kernel looks for the next archive at a multiple of 4, past zeros.
        opened.write(cpio.padding(opened.tell()))
        writer = cpio.Writer(opened, epoch)
        writer.file("head.img", head)
        writer.file("root.img", root)
        writer.close()
    scratch.rename(out)
