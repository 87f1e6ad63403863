# What 'nix flake check' runs. The whole test suite is build/test: it needs root and namespaces.
{ pkgs, system, version, source, python, sevpn, checkout }:
{
  # The output counts, not only the exit status; and nothing of the environment is needed.
  smoke = pkgs.runCommand "sevpn-smoke" { } ''
    run() { env -i ${sevpn}/bin/sevpn "$@"; }
    run -version | tee said
    grep -qF '${version}' said
    run -print-config -host vpn.example.com -user somebody | grep -qF vpn.example.com
    status=0
    run -no-such-flag 2>said || status=$?
    test "$status" = 2
    grep -qF no-such-flag said
    touch $out
  '';

  static = pkgs.runCommand "sevpn-static" { nativeBuildInputs = [ pkgs.python313 ]; } ''
    export PYTHONPATH=${source}/build PYTHONDONTWRITEBYTECODE=1
    python3 - <<'PYTHON'
    from pathlib import Path
    from static_parts import elf

    facts = elf.read(Path("${sevpn}/bin/sevpn"))
    print(facts)
    assert facts.is_static and "${system}" == f"{facts.machine}-linux"
    PYTHON
    touch $out
  '';

  # The parts that touch no host: what they need builds in seconds and runs unprivileged.
  unit = pkgs.stdenv.mkDerivation {
    pname = "sevpn-unit";
    inherit version;
    src = checkout;
    nativeBuildInputs = [ python ];
    buildPhase = ''
      python3 build/cythonize.py --into sevpn --scratch .cache/dev _sha0 _pack _block
      # Warnings of another pytest than ours are no failures here.
      python3 -m pytest -q -W default \
        tests/unit/dhcp tests/unit/flags tests/unit/proto \
        tests/unit/test__block.py tests/unit/test__pack.py tests/unit/test__sha0.py
    '';
    installPhase = "touch $out";
  };

  # Only what every version of ruff calls an error; the full rules are pinned in build/test.
  lint = pkgs.runCommand "sevpn-lint" { nativeBuildInputs = [ pkgs.ruff ]; } ''
    ruff check --isolated --no-cache --select E9,F ${checkout}
    touch $out
  '';
}
