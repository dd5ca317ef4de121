# What scripts/setup and scripts/page share: a step and its progress, what to do after one that failed, root's rights.
# It is read by them, and is no command. They set `log`, the file with the output of all steps.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154

needed=yes # a step that fails ends everything; else its status is returned
python=${PYTHON:-python3}
job=
trap '[ -z "$job" ] || kill -- "-$job" 2>/dev/null; exit 130' INT TERM HUP

fail() { # the sentence and what to do next
    printf -- "${0##*/}: %s\n" "$@" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

compiled() { # PyPI has ready packages for 64-bit PCs and Pis; everything else compiles some of them
    ! "$python" -I -S -c 'import os, sys; sys.exit(sys.maxsize < 2**32 or os.uname().machine not in ("x86_64", "aarch64"))'
}

step() { # step "what is done" command...: one line with the seconds it took, its output in the log
    local what=$1 began=$SECONDS status=0
    shift
    printf '\n== %s\n' "$what" >>"$log"
    set -m # a process group of its own, so that Ctrl-C can end all of it
    "$@" >>"$log" 2>&1 </dev/null 9>&- &
    job=$!
    set +m
    if [ -t 1 ]; then
        while kill -0 "$job" 2>/dev/null; do
            printf '\r  %s … %ds ' "$what" "$((SECONDS - began))"
            sleep 0.2
        done
    fi
    wait "$job" || status=$?
    job=
    [ ! -t 1 ] || printf '\r\033[K'
    if [ "$status" -ne 0 ]; then
        printf '  %s: failed\n' "$what" >&2
        [ "$needed" = yes ] || return "$status"
        printf '\n%s\n\n' "$(tail -n 15 "$log")" >&2
        fail "'$what' failed; all of its output is in $log" "next: $(advice); then start again, what is done is kept"
    fi
    printf '  %s (%ds)\n' "$what" "$((SECONDS - began))"
}

advice() { # what to do after a failed step, by what it said
    local said pattern what
    said=$(awk '/^== /{text = ""} {text = text $0 "\n"} END{printf "%s", text}' "$log")
    while IFS='|' read -r what pattern; do
        ! grep -qiE -e "$pattern" <<<"$said" || { echo "$what" && return; }
    done <<'EOF'
make room on the disk: df -h shows what is full, sudo apt-get clean frees some|No space left on device|enough free space|Disk quota exceeded
set the clock, without the right time nothing can be fetched: date shows it, sudo timedatectl set-ntp true sets it|is not valid yet|not yet valid|certificate has expired
another program installs packages now: wait until it is done|Could not get lock|Unable to acquire the dpkg frontend lock|is held by process
repair the Debian packages: sudo dpkg --configure -a; sudo apt-get --fix-broken install|dpkg was interrupted|unmet dependencies|held broken packages
a file is not the one that the lock names: if pip has another package index (pip config list), leave it out: PIP_CONFIG_FILE=/dev/null ./scripts/setup|DO NOT MATCH THE HASHES
a package is not the one that the lock names: npm config get registry shows whether npm has another source than its own|EINTEGRITY
free some memory or add swap, the compiler was ended for want of it: free -m|Killed signal|MemoryError|Cannot allocate memory|virtual memory exhausted
make the compiler work: sudo apt-get install --reinstall gcc g++ libc6-dev python3-dev|command .?'?[a-z0-9_-]*(gcc|cc|g\+\+)'? failed|(gcc|cc|g\+\+|cc1|cc1plus)'?: (not found|No such file)|[Uu]nable to find .*compiler|Python\.h: No such file|stdlib\.h: No such file|cannot find crt1\.o|No such file or directory: '[a-z0-9_-]*(gcc|cc|g\+\+)'|C compiler cannot|Failed building wheel|Could not build wheels
give the folder to the user who starts this: sudo chown -R "$(id -un)" .|Permission denied
wait a few minutes, the package server is being updated|Mirror sync in progress|Hash Sum mismatch|unexpected size
check the Internet connection and the name server|name resolution|failure resolving|Could not resolve|Name or service not known|Network is unreachable|No route to host|Connection (refused|reset|aborted|timed out)|[Tt]imed? ?out|NewConnectionError|RemoteDisconnected|IncompleteRead|Failed to fetch|EAI_AGAIN|ENOTFOUND|ECONN(REFUSED|RESET)|ETIMEDOUT|ENETUNREACH|SSLError|ProxyError
look for the cause at the end of that file|
EOF
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -- "$@"; fi
}

may_be_root() { # asks for the password before the first step, whose spinner would hide the question
    [ "$(id -u)" -ne 0 ] || return 0
    has sudo || return 1
    if [ -t 0 ]; then sudo -v; else sudo -n true 2>/dev/null; fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }
