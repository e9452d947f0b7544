# SPDX-License-Identifier: BSD-3-Clause
# Compiler and linker flags of all C code in the tree.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# For clang-tidy.
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wformat-security
	-fstack-protector-strong
	# __FILE__ goes into log lines: show it as in the source tree, wherever that was built.
	-fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
# GCC guesses wrong where an output is set on success alone, which is the rule here. The kernel turns it
# off for the same reason; clang-analyzer's path-sensitive check stays on (scripts/lint).
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	add_compile_options(-Wno-maybe-uninitialized)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
	# ethtool's structs end in an array that the caller provides room for behind them.
	add_compile_options(-Wno-gnu-variable-sized-type-not-at-end)
endif()
if(DEVMEM_WERROR)
	add_compile_options(-Werror)
endif()
add_link_options(LINKER:--as-needed LINKER:-z,relro LINKER:-z,now)

if(DEVMEM_MUTANTS)
	add_compile_definitions(DEVMEM_MUTANTS)
endif()

if(DEVMEM_SANITIZE)
	add_compile_options(-fsanitize=${DEVMEM_SANITIZE} -fno-omit-frame-pointer
		-fno-sanitize-recover=all)
	add_link_options(-fsanitize=${DEVMEM_SANITIZE})
	# Fences are there for GPUs and NICs, which ThreadSanitizer does not see; threads use atomic variables.
	if(DEVMEM_SANITIZE MATCHES thread AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
		add_compile_options(-Wno-tsan)
	endif()
else()
	# Fortified libc calls need the optimiser and hide errors from the sanitizers.
	add_compile_definitions($<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()
