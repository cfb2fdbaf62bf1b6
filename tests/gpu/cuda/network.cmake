# Networks on the "cuda" device, as far as they are without a GPU: graphs, weights and plans against plain twins. A fake
# libcudnn.so.9 is linked, so that pb_cudnn_open finds it.
set(network_sources cuda/test_precision.c cuda/test_network_graph.c cuda/test_network_weights.c cuda/test_network_cache.c)
if(PB_CUDNN)
  add_library(fake_cudnn SHARED cuda/fake_cudnn.c cuda/simulator.c)
  pb_compile_rules(fake_cudnn)
  set_target_properties(fake_cudnn PROPERTIES OUTPUT_NAME cudnn SOVERSION 9)
  target_include_directories(fake_cudnn PRIVATE ${CMAKE_BINARY_DIR}/rooms/gpu ${CMAKE_BINARY_DIR}/rooms/base)
  target_include_directories(fake_cudnn SYSTEM PRIVATE ${CUDNN_INCLUDE_DIR} ${PB_CUDA_INCLUDE_DIRS})
  target_link_libraries(fake_cudnn PRIVATE m)
  list(APPEND network_sources cuda/test_network_cudnn.c cuda/test_network_plan.c cuda/test_network.c
    cuda/test_network_slots.c cuda/fake_runtime.c ${CMAKE_SOURCE_DIR}/gpu/cuda/network_slots.c)
else()
  list(APPEND network_sources cuda/simulator.c)
endif()
pb_unit_test(cuda_network
  USES gpu base
  SOURCES networks.c ${network_sources})
target_include_directories(test_cuda_network PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
if(PB_CUDNN)
  target_link_libraries(test_cuda_network PRIVATE fake_cudnn)
endif()

# docs/PERFORMANCE.md has the table that this program makes.
add_executable(roofline cuda/roofline.c)
pb_compile_rules(roofline)
target_link_libraries(roofline PRIVATE pb_cuda_network pb_gpu pb_base m)
add_test(NAME docs/roofline COMMAND roofline --check ${CMAKE_SOURCE_DIR}/docs/PERFORMANCE.md)
set_tests_properties(docs/roofline PROPERTIES LABELS unit)
add_dependencies(unit_tests roofline)

# The real cuDNN makes plans where its library is, with NVRTC and a driver that only says yes (fake_driver.c).
find_file(CUDNN_LIBRARY libcudnn.so.9 HINTS ${PB_CUDA_LIBRARY_DIR})
if(PB_SANITIZE)
  return()
endif()
if(NOT PB_CUDNN OR NOT CUDNN_LIBRARY)
  add_test(NAME plans COMMAND ${CMAKE_COMMAND} -E echo "SKIPPED: no cuDNN here to make plans")
  set_tests_properties(plans PROPERTIES LABELS plans SKIP_REGULAR_EXPRESSION "SKIPPED: no cuDNN")
  return()
endif()
add_library(fake_driver SHARED cuda/fake_driver.c)
pb_compile_rules(fake_driver)
set_target_properties(fake_driver PROPERTIES OUTPUT_NAME cuda SOVERSION 1
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/driver)
add_executable(test_plans cuda/test_plans.c networks.c)
pb_compile_rules(test_plans)
target_compile_options(test_plans PRIVATE -Wno-pedantic -Wno-shadow -Wno-missing-prototypes -Wno-cast-qual)
target_include_directories(test_plans PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(test_plans PRIVATE PB_PLANS_FOLDER="${CMAKE_CURRENT_BINARY_DIR}/plans")
file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/plans)
target_link_libraries(test_plans PRIVATE pb_cuda_network pb_gpu pb_base PkgConfig::CRITERION m)
add_dependencies(test_plans fake_driver)
get_filename_component(cudnn_folder ${CUDNN_LIBRARY} DIRECTORY)
foreach(case serve_all_gpus_of_a_model
    fp32_square fp32_rectangle tf32_square tf32_rectangle fp16_square fp16_rectangle bf16_square bf16_rectangle
    fp32_tokens tf32_tokens fp16_tokens bf16_tokens)
  add_test(NAME plans/${case} COMMAND test_plans --filter plans/${case})
  set_tests_properties(plans/${case} PROPERTIES LABELS plans
    ENVIRONMENT "LD_LIBRARY_PATH=$<TARGET_FILE_DIR:fake_driver>:${cudnn_folder}:$ENV{LD_LIBRARY_PATH}")
endforeach()
