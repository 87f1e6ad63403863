#!/usr/bin/env bash
# Check flake.nix with Nix itself, offline: build/nix-stub stands in for nixpkgs, this machine's
# tools for its packages, everything fetched comes from build/static's cache.
#
#   build/check-nix.sh         two minutes and a half after build/static
#   build/check-nix.sh --full  OpenSSL and CPython are compiled as well: half an hour
#
# Nix builds the package twice and compares; the result must also be what build/static made,
# byte for byte. What this cannot show: that nixpkgs has the names (they were looked up), and
# that its builders run the recipe as ours do. The store is private and gone afterwards.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=lib/common.sh
. "$root/build/lib/common.sh"
# shellcheck source=lib/packages.sh
. "$root/build/lib/packages.sh"

answer_help "$@"
cache=$root/.cache/static
case ${1:-} in
'') export SEVPN_STUB_CACHE=$cache ;;
--full) export SEVPN_STUB_CACHE= ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

need_packages nix-bin git perl make
lock nix
"$root/build/dev"
"$root/build/static"

scratch=$root/.cache/nix
files=$scratch/files
clean() {
    chmod -R u+w "$scratch/private" 2>/dev/null || true # what is in a store is read-only
    rm -rf "$scratch/private" "$scratch/checkout"
}
clean
trap clean EXIT
mkdir -p "$files" "$scratch/private/tmp" "$scratch/checkout"

# A copy of what git knows: the flake sees nothing else, and nobody edits it meanwhile.
say "copying the checkout"
git -C "$root" ls-files -z | tar -C "$root" --null --ignore-failed-read -c -T - |
    tar -C "$scratch/checkout" -x
cd "$scratch/checkout"
git init -q
git add -A

# What fetchurl would fetch, under the names at the other end.
say "gathering the sources"
"$root/.venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps \
    --require-hashes --only-binary :all: -d "$files" -r build/static_parts/requirements.lock
for archive in "$cache"/archives/*-*-*; do
    IFS=- read -r name number _ <<<"${archive##*/}"
    case $name in
    python) ln -f "$archive" "$files/Python-$number.tar.xz" ;;
    *) ln -f "$archive" "$files/$name-$number.tar.gz" ;;
    esac
done

export SEVPN_STUB_FILES=$files SEVPN_STUB_TOOLS=$root/.cache/nix/tools
export PATH=$root/.venv/bin:$PATH
export NIX_STORE_DIR=$scratch/private/store NIX_STATE_DIR=$scratch/private/state
export NIX_LOG_DIR=$scratch/private/log NIX_CONF_DIR=$scratch/private XDG_CACHE_HOME=$scratch/private
export NIX_CONFIG='experimental-features = nix-command flakes
sandbox = false
substituters =
build-users-group =
warn-dirty = false'
unset NIX_PATH NIX_REMOTE
stub=(--impure --override-input nixpkgs path:./build/nix-stub --no-write-lock-file)

step() {
    say "nix: $*"
    SECONDS=0
}
done_in() { say "    $SECONDS s"; }

say "$(nix --version)"
step "the lock fits the flake"
nix flake metadata --no-update-lock-file . | grep -i nixpkgs
done_in

step build
nix build -L "${stub[@]}" --out-link "$scratch/private/result" .
binary=$scratch/private/result/bin/sevpn
done_in

step "build again and compare"
nix build --rebuild "${stub[@]}" --no-link .
done_in

step "the same as build/static's"
cmp "$binary" "$root/dist/sevpn"

step run
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
[[ $(nix run "${stub[@]}" . -- -version) == "sevpn $version" ]] || die "nix run said something else"
done_in

step "static linking"
if readelf -lW "$binary" | grep -E 'INTERP|DYNAMIC'; then
    die "$binary is not static"
fi

step "flake check"
nix flake check -L "${stub[@]}" .
done_in

step "aarch64 evaluates"
for output in packages.aarch64-linux.default checks.aarch64-linux.{smoke,static,unit,lint} \
    devShells.aarch64-linux.default; do
    nix eval --raw "${stub[@]}" ".#$output.drvPath"
    echo
done
nix eval --raw "${stub[@]}" .#apps.aarch64-linux.default.program
echo
done_in

step develop
# shellcheck disable=SC2016  # for the shell inside
nix develop "${stub[@]}" -c bash -c 'test -n "$SEVPN_PYTHON" && test -n "$IN_NIX_SHELL"'
done_in

step "a name that nixpkgs lacks is an error"
sed -i 's/pkgs\.perl /pkgs.prel /' flake.nix
if said=$(nix eval --raw "${stub[@]}" .#packages.x86_64-linux.default.drvPath 2>&1); then
    die "the stub accepted pkgs.prel"
fi
grep -o "attribute 'prel' missing" <<<"$said"
say "flake.nix: all checks passed"
