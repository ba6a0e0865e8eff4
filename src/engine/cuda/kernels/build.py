#!/usr/bin/env python3
"""Compiles the kernels with NVRTC and writes them, compressed, to `built/`.

    build.py [--into FOLDER]

For each architecture of ARCHITECTURES one image of all files, and PTX for newer cards; beside them
`digest`, of the sources that they were made from. NVRTC comes as a wheel (25 MB) and needs neither
a GPU nor a driver. Registers, spills and stack of every kernel are printed where `cuobjdump` is.
"""

import argparse
import ctypes
import gzip
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# PTX 8.4, for drivers from 550 on.
WHEEL = "nvidia-cuda-nvrtc-cu12==12.4.127"
CUBINS = ["sm_80", "sm_90"]
PTX = "compute_80"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=HERE / "built")
    parser.add_argument("--wheels", type=Path, help="where the wheel is kept")
    asked = parser.parse_args()
    asked.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        nvrtc = load(asked.wheels or Path(folder))
        for arch in CUBINS:
            write(asked.into / f"{arch}.cubin.gz", compile_all(nvrtc, arch, "CUBIN"))
        write(asked.into / f"{PTX}.ptx.gz", compile_all(nvrtc, PTX, "PTX"))
    (asked.into / "digest").write_text(digest() + "\n")


def sources():
    """One source of all files; each has names of its own."""
    files = sorted(HERE.glob("*.cu"))
    text = '#include "gpu.h"\n'
    for file in files:
        text += f"namespace in_{file.stem} {{\n#include \"{file.name}\"\n}}\n"
    return text, [HERE / "gpu.h", *files]


def digest():
    """FNV-1a of the sources, each after its name and a line's end, in 64 bits."""
    whole = 0xCBF29CE484222325
    for file in sources()[1]:
        for byte in file.name.encode() + b"\n" + file.read_bytes():
            whole = (whole ^ byte) * 0x100000001B3 % 2**64
    return f"{whole:016x}"


def load(wheels):
    wheels.mkdir(parents=True, exist_ok=True)
    if not list(wheels.glob("*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d",
                        str(wheels), WHEEL], check=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(wheels)
    folder = next(wheels.glob("nvidia/*/lib"))
    ctypes.CDLL(str(next(folder.glob("libnvrtc-builtins.so*"))), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(next(folder.glob("libnvrtc.so*"))))


def compile_all(nvrtc, arch, form):
    text, files = sources()
    names = [file.name.encode() for file in files]
    contents = [file.read_bytes() for file in files]
    program = ctypes.c_void_p()
    array = ctypes.c_char_p * len(files)
    check(nvrtc, nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), text.encode(), b"kernels.cu", len(files),
        array(*contents), array(*names)))
    options = [f"--gpu-architecture={arch}".encode(), b"--std=c++17", b"--fmad=true"]
    code = nvrtc.nvrtcCompileProgram(
        program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if log.value.strip():
        print(log.value.decode(), file=sys.stderr)
    check(nvrtc, code)
    check(nvrtc, getattr(nvrtc, f"nvrtcGet{form}Size")(program, ctypes.byref(size)))
    image = ctypes.create_string_buffer(size.value)
    check(nvrtc, getattr(nvrtc, f"nvrtcGet{form}")(program, image))
    return image.raw.rstrip(b"\0") if form == "PTX" else image.raw


def write(path, image):
    # Without a name and a time, so that the same image gives the same bytes.
    path.write_bytes(gzip.compress(image, 9, mtime=0))
    print(f"{path.name}: {len(image)} bytes, {path.stat().st_size} compressed")


def check(nvrtc, code):
    if code != 0:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        sys.exit(f"NVRTC: {nvrtc.nvrtcGetErrorString(code).decode()}")


if __name__ == "__main__":
    main()
