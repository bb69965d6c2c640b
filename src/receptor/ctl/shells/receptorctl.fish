# Completion of receptorctl for fish.
# To install: receptorctl completion fish > ~/.config/fish/completions/receptorctl.fish

function __receptorctl
    set -l program (commandline -opc)[1]
    for line in (env _RECEPTORCTL_COMPLETE=fish_complete COMP_LINE=(string join " " -- (commandline -cp)) $program 2> /dev/null)
        set -l parts (string split -m 2 \t -- $line)
        switch $parts[1]
            case plain
                printf '%s\t%s\n' $parts[2] $parts[3]
            case file
                set -l option (string match -r -- '^--[^=]*=' $parts[2])
                set -l paths (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $parts[2]))
                string replace -r -- '^' "$option" $paths
        end
    end
end

complete --command receptorctl --no-files --arguments '(__receptorctl)'
