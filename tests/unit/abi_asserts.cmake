# SPDX-License-Identifier: BSD-3-Clause
# Makes compile-time checks of the plugin ABI's layout out of its table of facts:
#   cmake -DTSV=nccl-net-abi.tsv -DOUT=abi_asserts.h -P abi_asserts.cmake
# One ABI_MEMBER(struct, member, offset, size, type) or ABI_TOTAL(struct, size) per row.
file(STRINGS "${TSV}" rows REGEX "^[^#]")
set(text "/* Made from the layout table. Do not edit. */\n")
set(count 0)
foreach(row IN LISTS rows)
	if(NOT row MATCHES "^([A-Za-z0-9_]+)\t([A-Za-z0-9_()]+)\t([0-9]+)\t([0-9]+)\t(.+)$")
		message(FATAL_ERROR "${TSV}: not a layout row: ${row}")
	endif()
	if(CMAKE_MATCH_2 STREQUAL "(total)")
		string(APPEND text "ABI_TOTAL(${CMAKE_MATCH_1}, ${CMAKE_MATCH_4})\n")
	else()
		string(APPEND text "ABI_MEMBER(${CMAKE_MATCH_1}, ${CMAKE_MATCH_2}, ${CMAKE_MATCH_3}, ")
		string(APPEND text "${CMAKE_MATCH_4}, ${CMAKE_MATCH_5})\n")
	endif()
	math(EXPR count "${count} + 1")
endforeach()
string(APPEND text "#define ABI_ROWS ${count}\n")
file(WRITE "${OUT}" "${text}")
