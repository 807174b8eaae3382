"""The words of `./dev image`."""

import argparse
import pathlib

import image_file

KINDS = ("raw", "qcow2", "iso", "pxe")


def parse(checkout: pathlib.Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev image", description="Build Stele's image.")
    parser.add_argument("what", nargs="*", metavar="iso|raw|qcow2|pxe", help="besides the image file and the medium; nothing: all of them")
    parser.add_argument("--out", type=pathlib.Path, default=checkout / "build/image")
    parser.add_argument("--bin", type=pathlib.Path, default=checkout / "build/release/bin", help="our own programs")
    parser.add_argument("--kubelet", metavar="FILE|URL", help="an official kubelet instead of one built from Debian's source")
    parser.add_argument("--list", type=pathlib.Path, action="append", default=[], metavar="FILE", help="enter what FILE lists, too")
    parser.add_argument("--key", type=pathlib.Path, action="append", default=[], metavar="FILE",
                        help="sign with this private key (PEM; Ed25519 or P-256); may be given several times")
    parser.add_argument("--trust", type=pathlib.Path, action="append", default=[], metavar="FILE",
                        help="let nodes take images of this public key (PEM), besides those of --key")
    parser.add_argument("--version", type=image_file.check_version, help="instead of the one in VERSION")
    parser.add_argument("--minimum-version", type=image_file.check_version, metavar="VERSION",
                        help="the oldest version that may be upgraded to this one")
    parser.add_argument("--sector", type=int, choices=[512, 4096], default=512, help="bytes of a sector of the raw disk")
    parser.add_argument("--fast", action="store_true", help="pack with zstd level 9: 10 s instead of 1 min, 9 percent larger")
    parser.add_argument("--refresh", action="store_true", help="take the newest package versions instead of the remembered ones")
    options = parser.parse_args()
    unknown = [word for word in options.what if word not in KINDS]
    if unknown:
        parser.error(f"{unknown[0]}: one of {', '.join(KINDS)}")
    wanted = set(options.what or (KINDS if options.sector == 512 else ["raw"]))
    if options.sector != 512 and wanted != {"raw"}:
        parser.error("--sector is for raw alone")
    if "qcow2" in wanted:
        wanted.add("raw")  # it is made of it
    options.what = [kind for kind in KINDS if kind in wanted]
    options.checkout = checkout
    options.out, options.bin = options.out.absolute(), options.bin.absolute()
    return options
