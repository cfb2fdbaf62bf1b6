# pb_room(NAME USES room... LINKS target... SOURCES file...)
#   One static library `pb_NAME` for the folder NAME. Its headers are reached as "NAME/x.h" through a forwarding folder that
#   holds nothing but this room, so that linking a room is the only way to see its headers.
#   USES   rooms whose headers this room may include (and publishes to whoever uses it only by their own pb_room line)
#   LINKS  outside libraries; private, so that for instance only mpi/ can include mpi.h
function(pb_room NAME)
  cmake_parse_arguments(ROOM "" "" "USES;LINKS;SOURCES" ${ARGN})
  set(view ${CMAKE_BINARY_DIR}/rooms/${NAME})
  file(MAKE_DIRECTORY ${view})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${NAME} ${view}/${NAME} SYMBOLIC)

  add_library(pb_${NAME} STATIC ${ROOM_SOURCES})
  target_include_directories(pb_${NAME} PUBLIC ${view})
  pb_compile_rules(pb_${NAME})
  foreach(used IN LISTS ROOM_USES)
    # The headers of a used room are visible here but not handed on; the objects are.
    target_include_directories(pb_${NAME} PRIVATE ${CMAKE_BINARY_DIR}/rooms/${used})
    target_link_libraries(pb_${NAME} INTERFACE $<LINK_ONLY:pb_${used}>)
  endforeach()
  target_link_libraries(pb_${NAME} PRIVATE ${ROOM_LINKS})
endfunction()

# The rules every C source of ours is compiled under. -ffp-contract=off: arithmetic that decides is written out (a fused
# multiply-add is spelled fmaf), never left to the compiler; see docs/ARCHITECTURE.md, invariant 1.
set(PB_C_OPTIONS -ffp-contract=off -fno-math-errno -Wall -Wextra -Wpedantic -Wshadow
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings
  -Wformat=2 -Wundef -Wvla)
function(pb_compile_rules TARGET)
  target_compile_definitions(${TARGET} PRIVATE _GNU_SOURCE)
  target_compile_options(${TARGET} PRIVATE "$<$<COMPILE_LANGUAGE:C>:${PB_C_OPTIONS}>")
  if(PB_WERROR)
    target_compile_options(${TARGET} PRIVATE $<$<COMPILE_LANGUAGE:C>:-Werror>)
  endif()
  if(PB_SANITIZE)
    target_compile_options(${TARGET} PRIVATE -fsanitize=${PB_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${TARGET} PUBLIC -fsanitize=${PB_SANITIZE})
  endif()
endfunction()

# The rules of CUDA sources, beside those above for a target's C: no contraction here either. nvcc's own code for launches is not
# pedantic.
function(pb_cuda_compile_rules TARGET)
  set(warnings -Xcompiler=-Wall,-Wextra)
  if(PB_WERROR)
    list(APPEND warnings -Werror=all-warnings -Xcompiler=-Werror)
  endif()
  target_compile_options(${TARGET} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-ffp-contract=off,-fno-exceptions;${warnings}>")
endfunction()
