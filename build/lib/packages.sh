# shellcheck shell=bash
# Debian packages: which are needed for what, and installing them. Sourced after common.sh.
# shellcheck disable=SC2034  # the lists are used by those who source this

# To build.
BUILD_PACKAGES=(python3 python3-venv python3-dev gcc libc6-dev libssl-dev)

# To check the sources and for the unit tests; systemd for systemd-analyze, which judges our unit
# file, iproute2 and procps for those that look at the host.
LINT_PACKAGES=(git shellcheck systemd iproute2 procps openssl)

# The lab of the end-to-end tests and the demo: a real server and client, a DHCP server,
# namespaces, traffic, captures and certificates.
LAB_PACKAGES=(
    softether-common softether-vpnserver softether-vpnclient softether-vpncmd
    dnsmasq-base iperf3 iproute2 nftables iputils-ping
    tcpdump tshark openssl procps psmisc util-linux
)

# For the static binary: what builds it, and where it is tried: in containers, beside musl, on
# another Debian and (emulated) on another machine.
STATIC_PACKAGES=(
    make perl
    podman runc busybox-static musl debootstrap qemu-user-static
)

# Debian 13 dropped softether-vpn; Debian 12's packages install and run there.
OLDER_SUITE=bookworm

APT=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)

# Install the named Debian packages that are missing; says which. Elsewhere: only warns.
# No service is started, and none that came with them is left enabled: a VPN server is
# wanted in the tests' namespaces, not on the host.
need_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: expecting the equivalents of: $*"
        return 0
    fi
    local missing
    mapfile -t missing < <(_missing_packages "$@")
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || die "run as root, or first: apt-get install ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    (_install "${missing[@]}") >&2
}

_missing_packages() {
    local name
    for name; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$name"
    done
}

# In a subshell: what it makes beside the packages is gone when it ends.
_install() {
    export DEBIAN_FRONTEND=noninteractive
    local scratch policy='' name here=() older=()
    scratch=$(mktemp -d)
    # shellcheck disable=SC2064  # expand now: the locals are gone when the trap runs
    trap "rm -rf '$scratch'" EXIT
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        policy=/usr/sbin/policy-rc.d
        # shellcheck disable=SC2064
        trap "rm -rf '$scratch' $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi

    "${APT[@]}" update
    for name; do
        # Whole outputs, no early-ending grep: with pipefail that would look like a failure.
        if [[ $(LC_ALL=C apt-cache policy "$name") =~ Candidate:\ [^\(] ]]; then
            here+=("$name")
        else
            older+=("$name")
        fi
    done
    if ((${#older[@]})); then
        say "not in this Debian, taken from $OLDER_SUITE: ${older[*]}"
        _download_older "$scratch" "${older[@]}"
        here+=("$scratch"/*.deb)
    fi
    "${APT[@]}" install -y --no-install-recommends "${here[@]}"

    for name; do
        case $name in
        softether-vpn[cs]*) _disable "$name" "$name.service" ;;
        podman)
            _disable podman podman.service podman.socket podman-restart.service \
                podman-auto-update.service podman-auto-update.timer
            ;;
        esac
    done
}

# _disable PACKAGE UNIT...
_disable() {
    local package=$1
    shift
    # Without the variable it does nothing: it wants to be called by a package's own script.
    DPKG_MAINTSCRIPT_PACKAGE=$package deb-systemd-helper disable "$@" 2>/dev/null || true
}

# Download packages of OLDER_SUITE into a directory; apt checks the signatures as always,
# and its own sources and lists stay as they are.
_download_older() {
    local directory=$1 mirror options
    shift
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | awk '/\/debian\/$/ {uri = $0} END {print uri}')
    [[ $mirror ]] || die "this machine's apt has no Debian mirror: $* cannot be had"
    mkdir -p "$directory/lists/partial" "$directory/cache/archives/partial"
    chmod -R 755 "$directory"
    printf 'deb [signed-by=%s] %s %s main\n' \
        /usr/share/keyrings/debian-archive-keyring.gpg "$mirror" "$OLDER_SUITE" \
        >"$directory/sources.list"
    options=(
        -o "Dir::Etc::SourceList=$directory/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$directory/lists" -o "Dir::Cache=$directory/cache"
        -o APT::Sandbox::User=root
    )
    "${APT[@]}" "${options[@]}" update
    (cd "$directory" && "${APT[@]}" "${options[@]}" download "$@")
}
