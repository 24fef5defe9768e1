#!/bin/sh
# Installs darkmux into a development container: the program, its folder, and what starts it.
#
# Takes the binary that lies beside this script, else the release that the options name. DARKMUX_ROOT puts everything
# below another folder.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=${DARKMUX_ROOT:-}
user=${_REMOTE_USER:-root}
version=${VERSION:-0.1.0}
releases=${RELEASES:-}

fail() {
  echo "darkmux: $*" >&2
  exit 1
}

target() {
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) echo x86_64-unknown-linux-gnu ;;
    Linux-aarch64 | Linux-arm64) echo aarch64-unknown-linux-gnu ;;
    *) fail "there is no release for $(uname -s) on $(uname -m); put a binary beside install.sh" ;;
  esac
}

fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --retry 3 --max-time 300 --output "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget --quiet --tries=3 --timeout=60 --output-document="$2" "$1"
  else
    fail "neither curl nor wget is here; install one of them before this feature"
  fi
}

# Prints where the unpacked binary of the release is.
release() {
  [ -n "$releases" ] || fail "put a binary beside install.sh, or set the option \"releases\" to where releases lie"
  name=darkmux-v$version-$(target)
  url=${releases%/}/v$version/$name.tar.gz
  fetch "$url" "$1/$name.tar.gz" || fail "$url can't be fetched"
  fetch "$url.sha256" "$1/$name.tar.gz.sha256" || fail "$url.sha256 can't be fetched"
  (cd "$1" && sha256sum -c "$name.tar.gz.sha256" >/dev/null) || fail "$url is not what its checksum says"
  tar -xzf "$1/$name.tar.gz" -C "$1"
  echo "$1/$name/darkmux"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
binary=$here/darkmux
[ -f "$binary" ] || binary=$(release "$scratch")

mkdir -p "$root/usr/local/bin" "$root/usr/local/share/darkmux" "$root/var/lib/darkmux" ||
  fail "run this as root, as which features are installed; DARKMUX_ROOT puts everything below another folder"
cp "$binary" "$root/usr/local/bin/darkmux"
chmod 755 "$root/usr/local/bin/darkmux"
"$root/usr/local/bin/darkmux" --version >/dev/null ||
  fail "the binary does not run in this image; it needs glibc, so Alpine takes one that was built for it"

# Its state lies in a volume, which gets the owner of this folder.
chmod 700 "$root/var/lib/darkmux"
if [ "$(id -u)" = 0 ]; then chown "$user" "$root/var/lib/darkmux"; fi

cp "$here/start.sh" "$root/usr/local/share/darkmux/start.sh"
chmod 755 "$root/usr/local/share/darkmux/start.sh"
printf '%s\n' "$user" >"$root/usr/local/share/darkmux/user"
