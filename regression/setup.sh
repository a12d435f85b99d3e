#!/bin/sh
# setup.sh: from a bare Debian or Ubuntu machine and a fresh checkout to a
# built hymn. Installs what is missing (as root or through sudo; otherwise
# prints the line to run), bootstraps, configures and builds, each only when it
# is needed: a second run takes a second and no network.
#
#   HYMN_BUILD=$(sh regression/setup.sh) || exit
#
# The last thing it does is to print the build directory; what happens on the
# way goes to standard error, the whole output to setup.log there.
#
#   HYMN_BUILD      build directory (build/ in the checkout; the checkout itself
#                   where it has been configured by hand)
#   HYMN_CONFIGURE  arguments for configure, e.g. '--enable-sanitizers'
#   HYMN_PACKAGES   'no': install nothing, configure names what it misses
#
# Exit code 5 where something could not be installed or built.
set -u
top=$(cd "$(dirname "$0")/.." && pwd) || exit 5

say() { echo "setup: $*" >&2; }

fail() {
  if [ -s "${log-}" ]; then
    tail -n 30 "$log" >&2
    set -- "$@" "(all of it in $log)"
  fi
  say "error: $*"
  exit 5
}

# A command that only this package brings, or - for a library.
packages='gcc gcc
g++ g++
make make
autoreconf autoconf
automake automake
pkg-config pkg-config
mpicc libopenmpi-dev
mpirun openmpi-bin
h5dump hdf5-tools
gnuplot gnuplot-nox
- libc6-dev
- libhdf5-openmpi-dev
- libopenblas-dev
- libjansson-dev
- libpcre2-dev
- libutf8proc-dev
- libcmocka-dev
- zlib1g-dev
- libzstd-dev
- libsnappy-dev
zstd zstd'

missing() {
  echo "$packages" | while read -r command package; do
    if [ "$command" = - ]; then
      dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
        grep -q 'ok installed' || echo "$package"
    else
      command -v "$command" >/dev/null || echo "$package"
    fi
  done
}

install_missing() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || return 0
  want=$(missing | tr '\n' ' ')
  [ -n "$want" ] || return 0
  line="apt-get install -y --no-install-recommends $want"
  if [ "$(id -u)" = 0 ]; then
    sudo=
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null ||
    [ -t 0 ]; }; then
    sudo=sudo
  else
    say "error: these packages are missing and only root can install them; run"
    say "  sudo apt-get update && sudo $line"
    exit 5
  fi
  say "installing $want"
  # shellcheck disable=SC2086 # words on purpose
  {
    $sudo env DEBIAN_FRONTEND=noninteractive \
      apt-get -o DPkg::Lock::Timeout=300 update
    $sudo env DEBIAN_FRONTEND=noninteractive \
      apt-get -o DPkg::Lock::Timeout=300 ${line#apt-get }
  } >>"$log" 2>&1 </dev/null
  left=$(missing | tr '\n' ' ')
  [ -z "$left" ] ||
    fail "apt-get could not install $left; is the network there? Try: $line"
}

if [ -n "${HYMN_BUILD-}" ]; then
  build=$HYMN_BUILD
elif [ -e "$top/config.status" ]; then
  build=$top
else
  build=$top/build
fi
mkdir -p "$build" || fail "cannot make the build directory $build"
build=$(cd "$build" && pwd)
log=$build/setup.log
: >"$log" || fail "cannot write into the build directory $build"

[ "${HYMN_PACKAGES-}" = no ] || install_missing

if [ ! -e "$top/configure" ] || [ ! -e "$top/Makefile.in" ]; then
  say "bootstrap"
  sh "$top/bootstrap" >>"$log" 2>&1 || fail "bootstrap failed"
fi
if [ ! -e "$build/config.status" ] || [ ! -e "$build/Makefile" ]; then
  say "configure in $build"
  # shellcheck disable=SC2086 # words on purpose
  (cd "$build" && "$top/configure" ${HYMN_CONFIGURE-}) >>"$log" 2>&1 ||
    fail "configure failed"
fi
cores=$(nproc 2>/dev/null || echo 2)
say "make -j$cores"
make -C "$build" "-j$cores" >>"$log" 2>&1 || fail "the build failed"
echo "$build"
