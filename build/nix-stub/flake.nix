# A stand-in for nixpkgs with which Nix really builds our flake, offline, from this machine's
# tools. build/check-nix.sh passes it by --override-input; see there for the variables.
#
# The names below are all that flake.nix may take from nixpkgs: another one is an error here.
# Before adding one, look it up in nixpkgs' own files and note beside it where it is.
{
  outputs = { self }:
    let
      inherit (builtins) deepSeq getEnv listToAttrs removeAttrs;

      # lib/attrsets.nix, lib/strings.nix
      lib = {
        genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
        removeSuffix = suffix: text:
          let found = builtins.match "(.*)${suffix}" text;
          in if found == null then text else builtins.head found;
        concatStringsSep = builtins.concatStringsSep;
      };

      # A package of which only the name matters: the real thing comes from PATH.
      tool = name: { inherit name; outPath = "${getEnv "SEVPN_STUB_TOOLS"}/${name}"; };

      pkgsFor = system:
        let
          # pkgs/stdenv/generic/make-derivation.nix, cut down to what our phases use.
          mkDerivation = given:
            let
              inputs = (given.nativeBuildInputs or [ ]) ++ (given.buildInputs or [ ]);
              rest = removeAttrs given [ "meta" "nativeBuildInputs" "buildInputs" ];
            in
            # Forced, or a misspelt input would go unnoticed.
            deepSeq (map (input: input.name) inputs) (derivation ({
              name = given.name or "${given.pname}-${given.version}";
              inherit system;
              builder = "/bin/bash"; # 'nix develop' wants bash and the variable outputs
              outputs = [ "out" ];
              PATH = getEnv "PATH";
              SOURCE_DATE_EPOCH = "315532800";
              stubCache = getEnv "SEVPN_STUB_CACHE";
              args = [
                "-euo" "pipefail" "-c" ''
                  cd "$TMPDIR"
                  if [[ -n ''${src:-} ]]; then
                    cp -r "$src" source
                    chmod -R u+w source
                    cd source
                  fi
                  eval "''${configurePhase:-}"
                  # OpenSSL and CPython as build/static left them: ten minutes less. Zig
                  # where it stood, too, or it would compile musl for its new place.
                  if [[ -n $stubCache && -e tools/ziglang ]]; then
                    mkdir -p .cache/static
                    ln -s "$stubCache"/{openssl,cpython}-*-* "$stubCache/zig" .cache/static/
                    for kept in "$stubCache"/python-tools-*/ziglang; do
                      if cmp -s tools/ziglang/zig "$kept/zig"; then
                        rm -r tools/ziglang
                        ln -s "$kept" tools/ziglang
                        break
                      fi
                    done
                  fi
                  eval "$buildPhase"
                  eval "$installPhase"
                  # Not by an exec of the last command: cp closes its output before it ends,
                  # and Nix kills a builder that has closed its output.
                  exit 0
                ''
              ];
            } // rest)) // { meta = given.meta or { }; };

          # pkgs/build-support/trivial-builders/default.nix
          runCommand = name: more: buildPhase:
            mkDerivation (more // { inherit name buildPhase; installPhase = ""; });

          # pkgs/build-support/mkshell/default.nix
          mkShell = given: mkDerivation (removeAttrs given [ "packages" ] // {
            name = "shell";
            nativeBuildInputs = given.packages or [ ];
            buildPhase = "";
            installPhase = "touch $out";
          });

          # The file is one that build/check-nix.sh has put there under its name; Nix compares
          # the content with the hash.
          fetched = name: sha256: derivation {
            inherit name system;
            builder = "/bin/bash";
            args = [ "-euc" "cp ${getEnv "SEVPN_STUB_FILES"}/${name} $out; exit 0" ];
            PATH = getEnv "PATH";
            outputHashMode = "flat";
            outputHashAlgo = "sha256";
            outputHash = sha256;
          };

          # pkgs/build-support/fetchurl/default.nix
          fetchurl = { url, sha256 }: fetched (baseNameOf url) sha256;

          # pkgs/build-support/fetchpypi/default.nix, computeWheelUrl
          fetchPypi = { pname, version, format, dist, python, abi ? "none", platform, sha256 }:
            assert format == "wheel" && dist == python;
            fetched "${pname}-${version}-${python}-${abi}-${platform}.whl" sha256;

          # pkgs/top-level/all-packages.nix (inherit (pythonInterpreters) ... python313);
          # withPackages: pkgs/development/interpreters/python/passthrufun.nix
          python313 = tool "python" // {
            withPackages = choose: deepSeq (map (one: one.name) (choose pythonPackages)) python313;
          };
          # pkgs/top-level/python-packages.nix; pkgs/development/python-modules/NAME
          pythonPackages = lib.genAttrs
            [ "cython" "hypothesis" "pyroute2" "pytest" "pytest-timeout" "setuptools" ] tool;
        in
        {
          # pkgs/stdenv/generic/default.nix; stdenvNoCC: pkgs/top-level/stage.nix
          stdenv = { inherit mkDerivation; };
          stdenvNoCC = { inherit mkDerivation; };
          inherit fetchPypi fetchurl mkShell python313 runCommand; # top-level/all-packages.nix
        } // lib.genAttrs [
          "iproute2" # pkgs/by-name/ip/iproute2/package.nix
          "openssl" # pkgs/top-level/all-packages.nix: openssl = openssl_3_6
          "perl" # pkgs/top-level/all-packages.nix: perl = perl5
          "ruff" # pkgs/by-name/ru/ruff/package.nix
          "shellcheck" # pkgs/development/tools/shellcheck/default.nix
        ] tool;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] pkgsFor;
    };
}
