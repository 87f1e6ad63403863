# shellcheck shell=bash disable=SC2154
# One executable file out of a directory with a program in it. Sourced; needs `root`.
# Needs the packages in ONEFILE_PACKAGES.
# shellcheck disable=SC2034
ONEFILE_PACKAGES=(gcc libc6-dev zlib1g-dev)

# make_onefile PYTHON DIRECTORY PROGRAM TARGET: PROGRAM is a path in DIRECTORY.
make_onefile() {
    local payload=$2.payload
    "$1" "$root/build/onefile/pack.py" "$2" "$payload"
    # zlib is linked in: the file needs the C library and nothing else.
    gcc -O2 -Wall -Wextra -Werror -s -DPAYLOAD="\"$payload\"" -DPROGRAM="\"$3\"" \
        -o "$4.new" "$root/build/onefile/launcher.c" -Wl,-Bstatic -lz -Wl,-Bdynamic
    mv "$4.new" "$4"
}
