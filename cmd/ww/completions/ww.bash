# Completion of ww's command line for bash. Have it read at the start of a shell:
#   source <(ww completion bash)
_ww() {
    local ww=${COMP_WORDS[0]/#\~/$HOME} current=${COMP_WORDS[COMP_CWORD]} line kind=
    COMPREPLY=()
    [[ $current == = ]] && current=
    while IFS= read -r line; do
        case $line in
            :*) kind=${line#:} ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <("$ww" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case $kind in
        files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        folders) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    esac
}
complete -F _ww ww
