# shellcheck shell=bash
# Shared by the commands in build/: sourced, never run. Needs `root` (the checkout).
: "${root:?}"

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Print the comment at the top of the script when help is asked for, and end; call it before
# anything is done.
answer_help() {
    case ${1:-} in
    -h | --help)
        awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
        exit 0
        ;;
    esac
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
