# sevpn as a flake. The recipe is build/static, the very file that runs without Nix, and all
# that gets into the binary is fetched by the hashes of its own lock files, compiler included:
# nixpkgs gives only the tools that run the recipe, so the bytes are the same with any of it.
# Names taken from nixpkgs are listed in build/nix-stub; build/check-nix.sh holds us to that.
{
  description = "SoftEther VPN client for Linux: one static file";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs = { self, nixpkgs }:
    let
      inherit (builtins) elem elemAt fromTOML match readFile replaceStrings;
      lib = nixpkgs.lib;
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forSystems = f: lib.genAttrs systems (system: f system nixpkgs.legacyPackages.${system});
      inherit ((fromTOML (readFile ./pyproject.toml)).project) version description;

      # What the recipe reads: another README compiles nothing again.
      source = builtins.path {
        name = "sevpn-source";
        path = ./.;
        filter = path: _:
          elem (elemAt (match "/([^/]+).*" (replaceStrings [ (toString ./.) ] [ "" ] path)) 0)
            [ "build" "pyx" "sevpn" "pyproject.toml" ];
      };
      locked = fromTOML (readFile ./build/static_parts/sources.lock);
      # [ version, hash, _, hash for aarch64 if that differs ]
      pinned = name:
        match ".*\n${name}==([0-9.]+)[^=]*=sha256:([0-9a-f]+)([^=]*=sha256:([0-9a-f]+))?\n.*"
          (readFile ./build/static_parts/requirements.lock);
      zigPlatform = {
        x86_64-linux = "manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64";
        aarch64-linux = "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64";
      };
      wheel = pkgs: name: hash: platform:
        pkgs.fetchPypi {
          pname = name;
          version = elemAt (pinned name) 0;
          format = "wheel";
          dist = "py3";
          python = "py3";
          inherit platform;
          sha256 = elemAt (pinned name) hash;
        };

      sevpnFor = system: pkgs:
        let
          arch = lib.removeSuffix "-linux" system;
          file = if arch == "x86_64" then "sevpn" else "sevpn-${arch}";
          archives = map
            (source: pkgs.fetchurl {
              url = replaceStrings [ "{version}" ] [ source.version ] source.release_url;
              inherit (source) sha256;
            })
            [ locked.python locked.openssl ];
        in
        pkgs.stdenvNoCC.mkDerivation {
          pname = "sevpn";
          inherit version;
          src = source;
          nativeBuildInputs = [ pkgs.python313 pkgs.perl ];
          wheels = [
            (wheel pkgs "cython" 1 "any")
            (wheel pkgs "pyroute2" 1 "any")
            (wheel pkgs "ziglang" (if arch == "x86_64" then 1 else 3) zigPlatform.${system})
          ];
          configurePhase = ''
            for wheel in $wheels; do python3 -m zipfile -e "$wheel" tools; done
            chmod +x tools/ziglang/zig
          '';
          buildPhase = ''
            export SEVPN_PYTHON_TOOLS=$PWD/tools SEVPN_JOBS=$NIX_BUILD_CORES
            export SEVPN_SOURCES=${lib.concatStringsSep ":" archives}
            python3 build/static --target ${arch}
          '';
          installPhase = ''
            install -D -m 755 dist/${file} $out/bin/sevpn
            install -D -m 644 dist/${file}.cdx.json $out/share/sevpn/sevpn.cdx.json
          '';
          dontFixup = true; # stripped and static already
          allowedReferences = [ ]; # it runs wherever it is copied to
          meta = { inherit description; mainProgram = "sevpn"; platforms = systems; };
        };

      testPython = pkgs: pkgs.python313.withPackages
        (ps: [ ps.cython ps.setuptools ps.pyroute2 ps.pytest ps.pytest-timeout ps.hypothesis ]);
    in
    {
      packages = forSystems (system: pkgs: rec { default = sevpn; sevpn = sevpnFor system pkgs; });

      apps = forSystems (system: pkgs: {
        default = {
          type = "app";
          program = "${self.packages.${system}.sevpn}/bin/sevpn";
          meta = { inherit description; };
        };
      });

      devShells = forSystems (_: pkgs: {
        default = pkgs.mkShell {
          packages = [ (testPython pkgs) pkgs.perl pkgs.openssl pkgs.ruff pkgs.shellcheck pkgs.iproute2 ];
          SEVPN_PYTHON = "${pkgs.python313}/bin/python3"; # for build/dev
        };
      });

      checks = forSystems (system: pkgs: import ./build/nix-checks.nix {
        inherit pkgs system version source;
        python = testPython pkgs;
        sevpn = self.packages.${system}.sevpn;
        checkout = self;
      });
    };
}
