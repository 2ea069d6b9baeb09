#!/bin/sh
# Makes DIRECTORY/python, an emulated ARM64 Python with LiteRT, from Debian's and Python's packages.
#   tools/arm_emulator.sh DIRECTORY
#   KERAS_TICKETS_ARM_PYTHON=DIRECTORY/python python -m pytest -m slow tests/export/test_arm_emulator.py
# Takes about a minute and 180 MB. Needs Debian or Ubuntu, and once, as root:
#   dpkg --add-architecture arm64 && apt-get update && apt-get install qemu-user binutils
set -eu
stop() { echo "$1" >&2; exit 1; }
[ $# -eq 1 ] || stop "Usage: $0 DIRECTORY"
command -v qemu-aarch64 > /dev/null || stop "qemu-aarch64 is missing; as root: apt-get install qemu-user"
dpkg --print-foreign-architectures | grep -qx arm64 ||
    stop "apt does not know arm64; as root: dpkg --add-architecture arm64 && apt-get update"
mkdir -p "$1/packages" "$1/sysroot/proc" "$1/site"
prefix=$(cd "$1" && pwd)
version=$(apt-cache depends python3-minimal | sed -n 's/.*Depends: python\(3\.[0-9]*\)-minimal.*/\1/p')

cd "$prefix/packages"
for package in libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 \
    "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib"; do
    apt-get download "$package:arm64"
done
for file in *.deb; do dpkg -x "$file" "$prefix/sysroot"; done
python3 -m pip install --target "$prefix/site" --only-binary=:all: --python-version "$version" \
    --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_28_aarch64 ai-edge-litert numpy

# LiteRT reads here what the processor can do; without it, it reads that of the host, and crashes.
printf 'processor\t: 0\nFeatures\t: fp asimd crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd07\nCPU revision\t: 3\n' \
    > "$prefix/sysroot/proc/cpuinfo"
cat > "$prefix/python" <<WRAPPER
#!/bin/sh
unset LD_LIBRARY_PATH
PYTHONHOME='$prefix/sysroot/usr' PYTHONPATH='$prefix/site' exec qemu-aarch64 -cpu cortex-a57 -L '$prefix/sysroot' \\
    '$prefix/sysroot/usr/bin/python$version' "\$@"
WRAPPER
chmod +x "$prefix/python"
"$prefix/python" -c 'import platform, ai_edge_litert.interpreter; print(platform.machine())'
