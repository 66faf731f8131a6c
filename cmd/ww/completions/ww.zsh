#compdef ww
# Completion of ww's command line for zsh. Have it read at the start of a shell,
# after compinit, or put it into a folder of $fpath as _ww:
#   source <(ww completion zsh)
_ww() {
    local -a found
    local line kind= value help
    for line in "${(@f)$(${(Q)words[1]} __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :*) kind=${line#:} ;;
            *$'\t'*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            *) found+=("${line//:/\\:}") ;;
        esac
    done
    case $kind in
        files) _files ;;
        folders) _files -/ ;;
        *) (( $#found )) && _describe -t ww ww found ;;
    esac
}
if [[ $funcstack[1] == _ww ]]; then
    _ww "$@"
else
    compdef _ww ww
fi
