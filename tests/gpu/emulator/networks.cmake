# The emulated plugin with the CPU's networks, for whole jobs (networks.c): it has a copy of gpu/, of which nothing goes out, and
# brings the NCCL of the tests along.
add_library(pb_cuda_emulated_networks SHARED emulator/networks.c)
pb_compile_rules(pb_cuda_emulated_networks)
target_include_directories(pb_cuda_emulated_networks PRIVATE ${CMAKE_BINARY_DIR}/rooms/gpu ${CMAKE_BINARY_DIR}/rooms/base)
target_link_libraries(pb_cuda_emulated_networks PRIVATE pb_cuda_emulated pb_nccl_stub pb_gpu pb_base ${CMAKE_DL_LIBS})
target_compile_definitions(pb_cuda_emulated_networks PRIVATE PB_EMULATED_PLUGIN="$<TARGET_FILE:pb_cuda_emulated>")
target_link_options(pb_cuda_emulated_networks PRIVATE -Wl,-z,defs
  -Wl,--version-script=${CMAKE_SOURCE_DIR}/gpu/cuda/export.map)
