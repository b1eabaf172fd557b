#!/usr/bin/env bash
# Run both commands of the README on a Debian that has nothing but Python and git:
#
#     tests/packaging/fresh_debian.sh SUITE [arguments of pytest]        # SUITE: bookworm, trixie, forky, ...
#
# Makes a Debian in a temporary folder, clones the last commit of this repository into it, and runs "dev.py demo" and
# "dev.py test" there as its root. Prints the last lines of what each has printed, and exits with the code of the first
# that failed. Whole logs, and the Debian as debootstrap has made it, for the next time, stay in FASTCACHE_DEBIAN_CACHE
# (by default fastcache-debian below XDG_CACHE_HOME, or ~/.cache). Needs root and debootstrap, and no more of the network
# than apt-get and pip need here: how those reach their registries is taken from this machine's own configuration.
set -euo pipefail

suite=${1:?which Debian? bookworm, trixie, forky, ...}
shift
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${FASTCACHE_DEBIAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fastcache-debian}
last_lines=${FASTCACHE_DEBIAN_LINES:-25}

refuse() {
    echo "error: $1" >&2
    exit 2
}
[[ $(id -u) -eq 0 ]] || refuse "chroot and mount need root"
for tool in debootstrap setpriv unshare git; do
    command -v "$tool" >/dev/null || refuse "there is no $tool: apt-get install debootstrap util-linux git"
done

# Everything below happens in namespaces of its own: with this process, however it ends, its mounts and all processes in
# the Debian are gone. What is left then is a folder without mounts, which the outer process removes.
if [[ -z ${FASTCACHE_DEBIAN_TARGET:-} ]]; then
    mkdir -p -- "$cache"
    FASTCACHE_DEBIAN_TARGET=$(mktemp -d "${TMPDIR:-/var/tmp}/fastcache-$suite.XXXXXX")
    export FASTCACHE_DEBIAN_TARGET
    trap 'rm -rf --one-file-system -- "$FASTCACHE_DEBIAN_TARGET"' EXIT
    setpriv --pdeathsig KILL -- unshare --mount --pid --fork --kill-child --propagation private -- \
        "${BASH_SOURCE[0]}" "$suite" "$@" &
    inner=$!
    trap 'kill -KILL "$inner" 2>/dev/null; wait "$inner" 2>/dev/null; exit 130' INT TERM HUP
    code=0
    wait "$inner" || code=$?
    exit "$code"
fi
target=$FASTCACHE_DEBIAN_TARGET

# -- the Debian ---------------------------------------------------------------------------------------------

base="$cache/$suite-$(dpkg --print-architecture).tar"
if [[ ! -f $base ]]; then
    echo "== making a $suite with debootstrap, kept as $base"
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -1)
    script=()
    # A suite that is newer than this debootstrap is made like all others.
    [[ -e /usr/share/debootstrap/scripts/$suite ]] || script=(/usr/share/debootstrap/scripts/sid)
    made="$target/made"
    debootstrap --variant=minbase --include=python3,git "$suite" "$made" "${mirror:-http://deb.debian.org/debian}" \
        "${script[@]}" >"$cache/$suite-debootstrap.log" 2>&1 || {
        tail -n "$last_lines" "$cache/$suite-debootstrap.log"
        refuse "debootstrap failed; all that it said is in $cache/$suite-debootstrap.log"
    }
    tar --one-file-system -C "$made" -cf "$base.new" .
    mv -- "$base.new" "$base"
    rm -rf --one-file-system -- "$made"
fi
debian="$target/debian"
mkdir "$debian"
tar -C "$debian" -xpf "$base"

mount -t proc proc "$debian/proc"
mount -t sysfs -o ro sysfs "$debian/sys"
mount --rbind /dev "$debian/dev"
# Not this machine's: other tests may run there.
mount -t tmpfs -o mode=1777 tmpfs "$debian/dev/shm"

# -- how it reaches the registries: as this machine does ----------------------------------------------------------

lend() { # a file by a copy, a folder by a mount that cannot be written to
    if [[ -f $1 ]]; then
        install -D -m 644 -- "$1" "$debian$1"
    elif [[ -d $1 ]]; then
        mkdir -p -- "$debian$1"
        mount --rbind -- "$1" "$debian$1"
        mount -o remount,bind,ro -- "$debian$1"
    fi
}
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/xdg/pip/pip.conf "$HOME/.pip/pip.conf" "$HOME/.config/pip/pip.conf" \
    /etc/apt/auth.conf /etc/apt/auth.conf.d/* /usr/local/share/ca-certificates/*; do
    [[ ! -f $file ]] || lend "$file"
done
apt-config dump | grep -E '^Acquire::(https?:|Check-|Retries)' >"$debian/etc/apt/apt.conf.d/99this-machine" || true
variables=()
while IFS= read -r variable; do
    variables+=("$variable")
done < <(env | grep -iE '^(PIP_[A-Z_]+|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|https?_proxy|all_proxy|no_proxy)=')
# What these settings of pip name on this machine: certificates, constraints, folders of packages.
{ python3 -m pip config list 2>/dev/null || true; printf '%s\n' "${variables[@]}"; } |
    # An index in a folder leads to files beside it.
    grep -oE "(file://|['= ])/[^'\\\\ ]+" | sed -E "s,^(file://|['= ]),,; s,/simple/?$,," | sort -u | while IFS= read -r path; do
        lend "$path"
    done

# -- a newcomer -----------------------------------------------------------------------------------------------

[[ -z $(git -C "$root" status --porcelain 2>/dev/null) ]] || echo "== what is not committed is not cloned"
git -c safe.directory='*' clone --quiet --bare --no-hardlinks -- "$root" "$debian/srv/fastcache.git"

inside() {
    env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb "${variables[@]}" \
        chroot "$debian" /bin/sh -c 'cd "$HOME" && "$@"' sh "$@"
}
inside git clone --quiet /srv/fastcache.git fastcache
echo "== $suite: $(inside python3 --version), commit $(git -C "$debian/srv/fastcache.git" rev-parse --short HEAD)"
for job in demo test; do
    arguments=()
    [[ $job == demo ]] || arguments=("$@")
    log="$cache/$suite-$job.log"
    began=$SECONDS
    code=0
    inside sh -c 'cd fastcache && python3 dev.py "$@"' sh "$job" "${arguments[@]}" </dev/null >"$log" 2>&1 || code=$?
    echo "== python3 dev.py $job ${arguments[*]-}: exit code $code after $((SECONDS - began)) s; the end of $log:"
    tail -n "$last_lines" "$log"
    [[ $code -eq 0 ]] || exit "$code"
done
