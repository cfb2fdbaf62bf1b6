# Networks on the "cuda" device: a part of its plugin, in C alone and in a library of its own, so that tests link it without CUDA.
add_library(pb_cuda_network STATIC
  cuda/network_graph.c cuda/network_weights.c)
pb_compile_rules(pb_cuda_network)
set_target_properties(pb_cuda_network PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(pb_cuda_network PUBLIC ${CMAKE_BINARY_DIR}/rooms/gpu PRIVATE ${CMAKE_BINARY_DIR}/rooms/base)
target_link_libraries(pb_cuda_network INTERFACE $<LINK_ONLY:pb_base> m)
