# bash completion for towline                                  -*- shell-script -*-

# The names of the images that are here.
_towline_images()
{
	towline "${_towline_where[@]}" images --json 2>/dev/null | tr -d ' \n' |
		grep -o '"RepoTags":\[[^]]*\]' | grep -o '"[^"]*"' | tr -d '"' | grep -v '^RepoTags$'
}

_towline()
{
	local cur prev words cword
	_init_completion -n : || return
	local commands="pull plan login logout doctor images inspect tag rm prune fsck rootfs bundle load save serve"
	local i command="" _towline_where=()

	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		--config | --root | --plugin)
			_towline_where+=("${words[i]}" "${words[i + 1]}")
			((i++))
			;;
		--log-level) ((i++)) ;;
		-*) ;;
		*)
			command=${words[i]}
			break
			;;
		esac
	done
	case $prev in
	--config | --plugin | load) _filedir && return ;;
	--root) _filedir -d && return ;;
	--log-level) COMPREPLY=($(compgen -W "error warn info debug" -- "$cur")) && return ;;
	--progress) COMPREPLY=($(compgen -W "auto bar plain json none" -- "$cur")) && return ;;
	--color) COMPREPLY=($(compgen -W "auto always never" -- "$cur")) && return ;;
	--pull) COMPREPLY=($(compgen -W "always missing newer" -- "$cur")) && return ;;
	--authfile | --ca | --socket) _filedir && return ;;
	--group) COMPREPLY=($(compgen -g -- "$cur")) && return ;;
	--platform) COMPREPLY=($(compgen -W "linux/amd64 linux/arm64 linux/arm/v7 linux/386" -- "$cur")) && return ;;
	esac
	case $command in
	"") COMPREPLY=($(compgen -W "--config --root --plugin --log-level --version --help $commands" -- "$cur")) ;;
	pull) COMPREPLY=($(compgen -W "--platform --all-tags --quiet --progress --color --pull --creds --authfile --ca $(_towline_images)" -- "$cur")) ;;
	plan) COMPREPLY=($(compgen -W "--platform --json --creds --authfile --ca $(_towline_images)" -- "$cur")) ;;
	login) COMPREPLY=($(compgen -W "--username --password-stdin --authfile --ca" -- "$cur")) ;;
	logout) COMPREPLY=($(compgen -W "--authfile" -- "$cur")) ;;
	doctor) COMPREPLY=($(compgen -W "--json" -- "$cur")) ;;
	images) COMPREPLY=($(compgen -W "--json" -- "$cur")) ;;
	rm) COMPREPLY=($(compgen -W "--force $(_towline_images)" -- "$cur")) ;;
	prune) COMPREPLY=($(compgen -W "--dry-run --all" -- "$cur")) ;;
	fsck) COMPREPLY=($(compgen -W "--deep --repair" -- "$cur")) ;;
	inspect | tag) COMPREPLY=($(compgen -W "$(_towline_images)" -- "$cur")) ;;
	rootfs | bundle | save)
		if [[ $prev == "$command" ]]; then
			local options=
			[[ $command == bundle ]] && options=--remove
			COMPREPLY=($(compgen -W "$options $(_towline_images)" -- "$cur"))
		else
			_filedir
		fi
		;;
	load) _filedir ;;
	serve) COMPREPLY=($(compgen -W "--socket --group" -- "$cur")) ;;
	esac
	__ltrim_colon_completions "$cur"
} && complete -F _towline towline
