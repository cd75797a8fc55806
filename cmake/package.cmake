# `cpack -G DEB` in the build folder: a Debian package of the program, its shared files, manual and
# completions; not of the library.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gemma4)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "command-line toolkit for Google's Gemma 4 models")
set(CPACK_PACKAGE_CONTACT "gemma4 <root@localhost>" CACHE STRING
  "maintainer that packages name; Debian wants one")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
if(EXISTS ${PROJECT_SOURCE_DIR}/LICENSE)
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright COMPONENT program
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/gemma4)
endif()

set(CPACK_COMPONENTS_ALL program)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME gemma4)
set(CPACK_DEBIAN_PROGRAM_FILE_NAME DEB-DEFAULT)  # gemma4_VERSION_ARCHITECTURE.deb
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION
  "Runs Gemma 4 models from the checkpoint directories that Google publishes, in
a terminal or in a pipeline: answers and conversations, structured output,
quantisation, measurement of speed, and download of checkpoints.")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)           # dependencies: the libraries that are linked
set(CPACK_DEBIAN_PACKAGE_DEPENDS ca-certificates)  # gemma4 pull speaks https
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)          # that every dpkg reads
set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
