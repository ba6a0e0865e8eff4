#!/usr/bin/env bash
# Completes words in real shells and shows manual pages with `man`: `tests/shells/check.sh PROGRAM`.
#
# Shells and `man` are installed only where that was asked for (EXPERTGRID_INSTALL=1) or on a machine of
# continuous integration (CI=true), on Debian as root. Prints a line for each check.
# Exit codes: 0 all fine, 1 something is wrong, 77 a program was missing and the rest is fine.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
program="$(realpath "$1")"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
# The shells must know the command by its name.
mkdir bin && ln -s "$program" bin/expertgrid
PATH="$folder/bin:$PATH"

missing=()
for name in bash zsh fish man; do command -v "$name" >/dev/null || missing+=("$name"); done
if [ ${#missing[@]} -gt 0 ] && { [ "${EXPERTGRID_INSTALL:-}" = 1 ] || [ "${CI:-}" = true ]; } &&
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    packages=("${missing[@]/#man/man-db}")
    { apt-get update && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y --no-install-recommends "${packages[@]}"; } >/dev/null 2>&1
fi

code=0
skip() { echo "skipped: no $1 here"; [ "$code" = 0 ] && code=77; }
same() { # what, expected, found
    if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "WRONG: $1: [$3] in the place of [$2]"; code=1; fi
}
holds() { # what, part, text
    case "$3" in *"$2"*) echo "ok: $1" ;; *) echo "WRONG: $1: there is no [$2] in: $3"; code=1 ;; esac
}

# Each shell offers the same for the same words.
check() { # shell
    same "$1: commands" "status store" "$(offered "$1" 'expertgrid st')"
    same "$1: commands of commands" "audit" "$(offered "$1" 'expertgrid store au')"
    same "$1: options" "--dry-run" "$(offered "$1" 'expertgrid run --dry')"
    same "$1: profiles" "phantom" "$(offered "$1" 'expertgrid run --profile ph')"
    same "$1: values" "markdown" "$(offered "$1" 'expertgrid report --format ma')"
    same "$1: tables" "table1 table2 table3" "$(offered "$1" 'expertgrid run tab')"
    touch mine1.toml mine2.toml other.txt
    same "$1: manifests" "mine1.toml mine2.toml" "$(offered "$1" 'expertgrid run mi')"
    rm mine1.toml mine2.toml other.txt
}

# The words that a shell offers for the last one of a line, sorted.
offered() { # shell, line
    "offered_by_$1" "$2" | sort -u | paste -sd' '
}
offered_by_bash() {
    bash --norc -c 'source ./script.bash
        read -ra COMP_WORDS <<< "$1"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$1; COMP_POINT=${#1}
        _expertgrid expertgrid "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        # Where nothing is offered, readline offers files if it was told to.
        case "$(complete -p expertgrid)" in *"-o default"*)
            [ ${#COMPREPLY[@]} = 0 ] && COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
        esac
        printf "%s\n" "${COMPREPLY[@]}"' bash "$1"
}
offered_by_fish() {
    XDG_CONFIG_HOME="$folder" HOME="$folder" fish --no-config -c 'source script.fish; complete -C $argv[1]' "$1" | cut -f1
}
offered_by_zsh() { HOME="$folder" zsh -f "$here/offered.zsh" "$folder/functions" "$1"; }

for shell in bash zsh fish; do
    if ! command -v "$shell" >/dev/null; then skip "$shell"; continue; fi
    expertgrid completions "$shell" > "script.$shell" || { echo "WRONG: no completions for $shell"; code=1; continue; }
    if [ "$shell" = zsh ]; then mkdir -p functions; cp script.zsh functions/_expertgrid; fi
    check "$shell"
done

if command -v man >/dev/null; then
    expertgrid man -o man1 >/dev/null || { echo "WRONG: no manual pages"; code=1; }
    shown() { MANWIDTH=78 MAN_KEEP_FORMATTING='' man --warnings -P cat -l "man1/$1.1" 2>&1 | sed 's/.\x08//g'; }
    text="$(shown expertgrid)"
    holds "man: the commands" "expertgrid-run(1)" "$text"
    text="$(shown expertgrid-run)"
    holds "man: options" "--dry-run" "$text"
    holds "man: examples" "       expertgrid run experiments/table2.toml --profile phantom
" "$text"
    warnings="$(for page in man1/*.1; do MANWIDTH=78 man --warnings -P cat -l "$page" 2>&1 >/dev/null; done)"
    same "man: warnings of $(find man1 -name '*.1' | wc -l) pages" "" "$warnings"
else
    skip man
fi
exit "$code"
