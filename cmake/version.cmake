# The version stands in project() alone; the commit is asked of git once per configure and is "unknown" outside a checkout.
find_package(Git QUIET)
set(PB_COMMIT "unknown")
if(Git_FOUND AND EXISTS ${CMAKE_SOURCE_DIR}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${CMAKE_SOURCE_DIR} describe --always --dirty --abbrev=12
    OUTPUT_VARIABLE PB_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE git_failed)
  if(git_failed)
    set(PB_COMMIT "unknown")
  endif()
endif()
