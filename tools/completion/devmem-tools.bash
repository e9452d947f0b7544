# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion of devmem-perf, devmem-doctor and the other tools for bash. What a tool takes is read from its --help at the
# moment of completing, so it is that of the version which is installed.

# The help of program $1, or of its subcommand $2.
_devmem_help() {
	if [ "$2" = compare ] || [ "$2" = scale ] || [ "$2" = setup ]; then
		"$1" "$2" --help 2>/dev/null </dev/null
	else
		"$1" --help 2>/dev/null </dev/null
	fi
}

# Of option $1 in the help on stdin: its value's name on the first line ("" where it takes none), then what is said of it.
_devmem_option() {
	local line rest

	while IFS= read -r line; do
		[[ $line =~ ^\ +(-.*)$ ]] || continue
		line=${BASH_REMATCH[1]}
		rest=" ${line%%   *} "
		[[ ${rest//[,=[]/ } == *" $1 "* ]] || continue
		rest=${line#*"$1"}
		# "-t, --type TYPE"
		[[ $rest != ,\ --* ]] || rest=${rest#"${rest%%[a-z][ =[]*}"?}
		[[ $rest =~ ^[\ =[]{1,2}([^\ ]+)(.*)$ ]] && [[ $rest != \ \ * ]] || return 0
		printf '%s\n%s\n' "${BASH_REMATCH[1]%]}" "${BASH_REMATCH[2]}"
		return
	done
}

_devmem_tool() {
	local program=$1 cur=$2 prev=$3 help line='' value='' words first=''

	# readline takes '=' for a word of its own: --json=FILE comes in three.
	if [ "$cur" = = ]; then
		cur=''
	elif [ "$prev" = = ] && [ "$COMP_CWORD" -ge 2 ]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	[ "$COMP_CWORD" -le 1 ] || first=${COMP_WORDS[1]}
	COMPREPLY=()
	help=$(_devmem_help "$program" "$first") || return 0

	if [[ $prev == -* ]]; then
		{ read -r value; read -r line; } < <(_devmem_option "$prev" <<<"$help") || true
		case $value in
		FILE | PATH | DIR) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
		IFACE | NAME | IFNAME) mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net 2>/dev/null)" -- "$cur"); return ;;
		A,B,...)
			if [ "$prev" = --netns ]; then
				words=$(ls /run/netns 2>/dev/null)
				mapfile -t COMPREPLY < <(compgen -P "${cur%"${cur##*,}"}" -W "$words" -- "${cur##*,}")
			fi
			return ;;
		KIND | TYPE)
			# "uint8, int32 or float (float)": the words, without the default.
			words=${line%%(*}
			words=${words// or / }
			mapfile -t COMPREPLY < <(compgen -W "${words//,/ }" -- "$cur")
			return ;;
		'') ;;
		*) return ;;
		esac
	fi

	if [[ $cur == -* ]]; then
		words=$(grep -oE '^ +(-[a-zA-Z], )?--[a-z][a-z-]*|^ +-[a-zA-Z]\b' <<<"$help" | grep -oE -e '-{1,2}[a-zA-Z][a-z-]*')
	elif [ "$COMP_CWORD" -eq 1 ]; then
		# Usage: tool <one|another>
		words=$(sed -nE '1s/^[^<]*<([a-z_|-]+)>.*/\1/p' <<<"$help" | tr '|' '\n')
		# "'devmem-perf compare --help' is about ...": modes of their own.
		words+=$'\n'$(sed -nE "s/.*'[a-z-]+ ([a-z]+) --help'.*/\1/p" <<<"$help")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -o filenames -F _devmem_tool devmem-perf devmem-doctor devmem-train devmem-top devmem-exporter devmem-nicd
