# What `cmake --install` puts where: the program, the library with its headers and CMake package,
# and the shared files.
include(CMakePackageConfigHelpers)

install(TARGETS gemma4 RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS libgemma4 EXPORT gemma4-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(folder lib kernels)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gemma4
    FILES_MATCHING PATTERN "*.h")
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/share/ DESTINATION ${CMAKE_INSTALL_DATADIR}/gemma4)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/gemma4)
install(EXPORT gemma4-targets NAMESPACE gemma4:: DESTINATION ${package})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/gemma4-config.cmake.in
  ${PROJECT_BINARY_DIR}/gemma4-config.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gemma4-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gemma4-config.cmake
  ${PROJECT_BINARY_DIR}/gemma4-config-version.cmake DESTINATION ${package})
