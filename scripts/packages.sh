# shellcheck shell=bash
# Sourced by the scripts beside it: how they install what they need through the platform's package manager, and say so.

# Tells people what a script does; its output stays its own.
say() { printf '%s\n' "scripts/$(basename "$0"): $*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "not root and no sudo here: run this yourself: $*"
        return 1
    fi
}

with_apt() {
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@")
    # A machine's lists of packages may be old, or none.
    as_root "${get[@]}" || { as_root apt-get update && as_root "${get[@]}"; }
}
with_dnf() { as_root dnf install -y "$@"; }
with_apk() { as_root apk add --no-cache "$@"; }
with_brew() { brew install "$@"; }

# install_packages WHAT MANAGER=PACKAGES...: with the first of apt, dnf, apk and brew that is here, in the order given.
install_packages() {
    local what=$1 choice manager command packages
    shift
    for choice in "$@"; do
        manager=${choice%%=*}
        command=$manager
        [ "$manager" = apt ] && command=apt-get
        command -v "$command" >/dev/null || continue
        read -ra packages <<<"${choice#*=}"
        say "$what is missing: installing ${packages[*]} with $command"
        "with_$manager" "${packages[@]}" </dev/null >&2
        return
    done
    say "$what is missing, and there is no package manager that this script knows (apt-get, dnf, apk, brew)"
    return 1
}
