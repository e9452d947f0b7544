# SPDX-License-Identifier: BSD-3-Clause
#
# What programs that use the plugin's counters find it by.
include(CMakePackageConfigHelpers)

install(FILES include/nccl_devmem.h include/nccl_devmem_stats.h
	DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# bash loads what is named like the command.
foreach(tool IN ITEMS devmem-perf devmem-doctor devmem-top devmem-exporter devmem-nicd)
	if(TARGET ${tool})
		install(FILES tools/completion/devmem-tools.bash
			DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${tool})
	endif()
endforeach()
install(FILES LICENSE README.md docs/environment.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)

configure_file(cmake/nccl-net-devmem.pc.in nccl-net-devmem.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nccl-net-devmem.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/nccl-net-devmem)
set(plugin ${CMAKE_INSTALL_LIBDIR}/libnccl-net-devmem.so)
configure_package_config_file(cmake/nccl-net-devmem-config.cmake.in nccl-net-devmem-config.cmake
	INSTALL_DESTINATION ${config_dir}
	PATH_VARS plugin CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(nccl-net-devmem-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nccl-net-devmem-config.cmake
	${PROJECT_BINARY_DIR}/nccl-net-devmem-config-version.cmake
	DESTINATION ${config_dir})
