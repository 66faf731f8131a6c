# Completion of ww's command line for fish. Have it read at the start of a shell:
#   ww completion fish > ~/.config/fish/completions/ww.fish
function __ww_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$current"
            case :folders
                __fish_complete_directories "$current"
            case '*'
                echo $line
        end
    end
end
complete -c ww -e
complete -c ww -f -a '(__ww_complete)'
