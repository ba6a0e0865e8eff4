# Prints the words that zsh offers for the last one of a line: `zsh -f offered.zsh FUNCTIONS LINE`.
#
# An interactive zsh in a pseudo-terminal completes the line; its `compadd` writes what it is given to a file.
zmodload zsh/zpty
typeset -r found=$(mktemp)
zpty shell zsh -f -i
zpty -w shell "
PROMPT=
fpath=($1 \$fpath)
autoload -Uz compinit; compinit -u -D
compadd () {
    if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd \"\$@\"; return; fi
    local -a hits
    builtin compadd -A hits \"\$@\"
    print -rl -- \$hits >> $found
    builtin compadd \"\$@\"
}
finish () { print -n end >> $found.end }
comppostfuncs=(finish)
bindkey '^I' complete-word
print ready > $found.ready"
await () { # file, what
    repeat 600 { [[ -e $1 ]] && return; sleep 0.1 }
    print -u2 "zsh: not $2 after a minute"
    exit 1
}
await $found.ready ready
zpty -w -n shell "$2"$'\t'
await $found.end "done completing"
zpty -d shell
# Without the empty lines of calls that offered nothing.
grep -v '^$' $found
rm -f $found $found.end $found.ready
