// Each asks the program itself what can stand at the cursor: a line a candidate, the first `:file` where files can.

// The line is split here: bash's own words end at `:` and `=`, which are in the names of images and in options.
const bash = `# bash completion of cadre-containerd: source <(cadre-containerd completion bash)
_cadre_containerd() {
  local line="\${COMP_LINE:0:COMP_POINT}" words current kept
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current="\${words[\${#words[@]}-1]}"
  mapfile -t COMPREPLY < <("$1" completion candidates -- "\${words[@]:1}" 2>/dev/null)
  if [[ \${COMPREPLY[0]-} == :file ]]; then
    compopt -o default 2>/dev/null
    COMPREPLY=()
    return
  fi
  kept="\${current%"\${current##*[:=]}"}"
  COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
}
complete -F _cadre_containerd cadre-containerd
`;

const zsh = `#compdef cadre-containerd
# zsh completion of cadre-containerd: source <(cadre-containerd completion zsh)
_cadre_containerd() {
  local -a found
  found=("\${(@f)$("\${words[1]}" completion candidates -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ \${found[1]-} == :file ]]; then
    _files
  elif [[ -n \${found[1]-} ]]; then
    compadd -a found
  fi
}
if [[ \${funcstack[1]-} == _cadre_containerd ]]; then _cadre_containerd "$@"; else compdef _cadre_containerd cadre-containerd; fi
`;

const fish = `# fish completion of cadre-containerd: cadre-containerd completion fish | source
function __cadre_containerd
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] completion candidates -- $words[2..] 2>/dev/null)
    if test "$found[1]" = :file
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c cadre-containerd -f -a '(__cadre_containerd)'
`;

export const shells: Readonly<Record<string, string>> = { bash, zsh, fish };
