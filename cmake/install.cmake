# What `cmake --install` puts where: the program with its shared files, manual and completions, and
# the library with its headers and CMake package. The Debian package takes the first part alone.
include(CMakePackageConfigHelpers)

set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME program)
install(TARGETS gemma4 RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/share/ DESTINATION ${CMAKE_INSTALL_DATADIR}/gemma4)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
  FILES_MATCHING PATTERN "*.1" PATTERN sections EXCLUDE)
set(completions ${PROJECT_SOURCE_DIR}/completions)
install(FILES ${completions}/gemma4.bash RENAME gemma4
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${completions}/_gemma4 DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${completions}/gemma4.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME development)
install(TARGETS libgemma4 EXPORT gemma4-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(folder lib kernels)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gemma4
    FILES_MATCHING PATTERN "*.h")
endforeach()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/gemma4)
install(EXPORT gemma4-targets NAMESPACE gemma4:: DESTINATION ${package})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/gemma4-config.cmake.in
  ${PROJECT_BINARY_DIR}/gemma4-config.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gemma4-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gemma4-config.cmake
  ${PROJECT_BINARY_DIR}/gemma4-config-version.cmake DESTINATION ${package})
