# Installs Debian packages; no service is started meanwhile.
#
# A shell does this because its trap also runs when a person presses Ctrl-C.
# $1 is the policy file of invoke-rc.d, the packages follow.
set -eu

policy=$1
shift
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
install() {
    apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
        install --yes --no-install-recommends "$@"
}
if ! install "$@"; then
    echo "    the package lists may be old or absent: fetching them with apt-get update"
    apt-get -qq update
    install "$@"
fi
