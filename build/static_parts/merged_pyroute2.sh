# shellcheck shell=bash disable=SC2154
# pyroute2 as the binaries want it: its message codecs below an empty package. Sourced; needs `root`.

# merge_pyroute2 PYTHON DIRECTORY: make DIRECTORY/pyroute2 from the installed one and stubs/.
merge_pyroute2() {
    local installed
    installed=$("$1" -c 'import importlib.util as u; print(u.find_spec("pyroute2").submodule_search_locations[0])')
    rm -rf "$2/pyroute2"
    mkdir -p "$2"
    cp -r "$installed" "$2/pyroute2"
    rm -rf "$2/pyroute2/config"
    cp "$root"/build/static_parts/stubs/pyroute2/*.py "$2/pyroute2/"
    find "$2/pyroute2" -name __pycache__ -prune -exec rm -rf {} +
}
