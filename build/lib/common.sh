# shellcheck shell=bash
# Shared by the commands in build/: sourced, never run. Needs `root` (the checkout).
: "${root:?}"

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Print those of the named Debian packages that are not installed.
missing_packages() {
    local name
    for name; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$name"
    done
}

# Install the named Debian packages that are missing; says which. Elsewhere: only warns.
# No service is started, and none that came with them is left enabled: a VPN server is
# wanted in the tests' namespaces, not on the host.
need_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: expecting the equivalents of: $*"
        return 0
    fi
    local missing
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || die "run as root, or first: apt-get install ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    (
        export DEBIAN_FRONTEND=noninteractive
        apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
        policy=/usr/sbin/policy-rc.d
        if [[ ! -e $policy ]]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi
        "${apt[@]}" update >&2
        "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2
        if command -v systemctl >/dev/null; then
            for name in "${missing[@]}"; do
                case $name in
                softether-*) systemctl --quiet disable "$name.service" >&2 || true ;;
                esac
            done
        fi
    )
}

# Hold a lock until this shell ends: several people may call build/dev at once.
lock() {
    mkdir -p "$root/.cache"
    exec 9>"$root/.cache/$1.lock"
    if ! flock --nonblock 9; then
        say "waiting for another $1 to finish"
        flock 9
    fi
}
