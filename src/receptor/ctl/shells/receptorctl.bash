# Completion of receptorctl for bash.
# To install: receptorctl completion bash > ~/.local/share/bash-completion/completions/receptorctl

_receptorctl() {
    local kind value help
    COMPREPLY=()
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            file) compopt -o default -o filenames 2> /dev/null ;;
        esac
    done < <(_RECEPTORCTL_COMPLETE=bash_complete COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_TYPE="$COMP_TYPE" \
        COMP_WORDBREAKS="$COMP_WORDBREAKS" "${1/#\~/$HOME}" 2> /dev/null)
}

# Old versions sort in any case.
complete -o nosort -F _receptorctl receptorctl 2> /dev/null || complete -F _receptorctl receptorctl
