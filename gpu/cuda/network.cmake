# Networks on the "cuda" device: a part of its plugin, in C alone and in a library of its own, so that tests link it without CUDA.
# What calls cuDNN is compiled where its headers are (with CUDA's, which they include); the library is opened at run time.
find_package(CUDAToolkit QUIET)
find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
set(PB_CUDNN OFF CACHE INTERNAL "Whether networks on CUDA devices are built")
if(CUDAToolkit_FOUND AND CUDNN_INCLUDE_DIR)
  set(PB_CUDNN ON CACHE INTERNAL "Whether networks on CUDA devices are built")
  set(PB_CUDA_INCLUDE_DIRS ${CUDAToolkit_INCLUDE_DIRS} CACHE INTERNAL "CUDA's headers")
  set(PB_CUDA_LIBRARY_DIR ${CUDAToolkit_LIBRARY_DIR} CACHE INTERNAL "CUDA's libraries")
endif()

add_library(pb_cuda_network STATIC
  precision.c cuda/precision.c cuda/network_graph.c cuda/network_weights.c cuda/network_cache.c)
pb_compile_rules(pb_cuda_network)
set_target_properties(pb_cuda_network PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(pb_cuda_network PUBLIC ${CMAKE_BINARY_DIR}/rooms/gpu PRIVATE ${CMAKE_BINARY_DIR}/rooms/base)
target_link_libraries(pb_cuda_network INTERFACE $<LINK_ONLY:pb_base> ${CMAKE_DL_LIBS} m)
if(PB_CUDNN)
  target_sources(pb_cuda_network PRIVATE cuda/network_cudnn.c cuda/network_plan.c cuda/network.c)
  target_include_directories(pb_cuda_network SYSTEM PUBLIC ${CUDNN_INCLUDE_DIR} ${CUDAToolkit_INCLUDE_DIRS})
else()
  message(STATUS "No cuDNN headers: networks on CUDA devices are not built")
endif()
