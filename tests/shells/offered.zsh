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
repeat 100 { [[ -e $found.ready ]] && break; sleep 0.1 }
zpty -w -n shell "$2"$'\t'
repeat 100 { [[ -e $found.end ]] && break; sleep 0.1 }
zpty -d shell
# Files are offered with what ends them.
grep -v '^$' $found
rm -f $found $found.end $found.ready
