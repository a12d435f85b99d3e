# cuda: kernels, a file for each op of src/op/ops.def, and what they share
CU_FILES = \
  cuda/linear.cu \
  cuda/grouped_linear.cu \
  cuda/embedding.cu \
  cuda/rmsnorm.cu \
  cuda/gated_rmsnorm.cu \
  cuda/gate.cu \
  cuda/sum_squares.cu \
  cuda/scaled_norm.cu \
  cuda/conv1d.cu \
  cuda/silu.cu \
  cuda/relu2.cu \
  cuda/softplus.cu \
  cuda/ssd_state.cu \
  cuda/ssd.cu \
  cuda/attention.cu \
  cuda/attention_block.cu \
  cuda/add.cu \
  cuda/concat.cu \
  cuda/router.cu \
  cuda/permute.cu \
  cuda/combine.cu \
  cuda/seq_count.cu \
  cuda/seq_aux.cu \
  cuda/ce_stat.cu \
  cuda/ce.cu \
  cuda/ssd_walk.cu cuda/ssd_walk_mma.cu cuda/ssd_scan_mma.cu cuda/ssd_bwd_mma.cu \
  cuda/ssd_bwd.cu \
  cuda/attention_bwd.cu \
  cuda/kit.cu \
  cuda/travel.cu \
  cuda/region.cu \
  cuda/optim.cu \
  cuda/probe.cu
CU_FILES_H = cuda/cu.h cuda/launch.h cuda/probe.h cuda/ptx.h cuda/sizes.h \
  cuda/rows.h cuda/rows.cuh cuda/conv1d.h cuda/ssd.h cuda/ssd.cuh cuda/ssd_mma.cuh cuda/ssd_bwd.cuh cuda/ssd_bwd_mma.cuh cuda/ssd_bwd_in.cuh \
  cuda/kit.h \
  cuda/region.h \
  cuda/optim.h \
  cuda/router.h cuda/permute.h cuda/combine.h cuda/seq_count.h cuda/seq_aux.h \
  cuda/travel.h cuda/topk.cuh cuda/sort.cuh cuda/piece.cuh cuda/choices.cuh \
  cuda/pack.cuh \
  cuda/pointwise.cuh \
  cuda/attention.h cuda/attention.cuh cuda/attention_fwd.cuh \
  cuda/attention_mma.cuh cuda/attention_fwd_mma.cuh \
  cuda/attention_bwd.cuh cuda/attention_bwd_mma.cuh
CU_NORM_H = \
  cuda/math.cuh \
  cuda/row.cuh \
  cuda/norm.cuh \
  cuda/norm_bwd.cuh \
  cuda/embedding_sort.cuh \
  cuda/norm.h \
  cuda/rmsnorm.h \
  cuda/gated_rmsnorm.h \
  cuda/scaled_norm.h \
  cuda/sum_squares.h \
  cuda/gate.h \
  cuda/silu.h \
  cuda/relu2.h \
  cuda/softplus.h \
  cuda/add.h \
  cuda/concat.h \
  cuda/embedding.h
CU_DENSE_H = \
  cuda/gemm.cuh \
  cuda/gemm_f32.cuh \
  cuda/linear.h \
  cuda/grouped_linear.h \
  cuda/ce.cuh \
  cuda/ce.h \
  cuda/ce_stat.h
EXTRA_DIST += $(CU_FILES) $(CU_FILES_H) $(CU_NORM_H) $(CU_DENSE_H)

# The host side; with the kernels it makes the module for a GPU, with the
# kernels through the shim the tests.
GPU_FILES = \
  src/gpu/gpu.h src/gpu/gpu.c \
  src/gpu/gpu_comm.c src/gpu/gpu_comm.h \
  src/gpu/gpu_coll.h src/gpu/gpu_coll_mpi.c \
  src/gpu/gpu_nccl.c src/gpu/gpu_nccl.h src/gpu/gpu_nccl_open.c \
  src/gpu/gpu_graph.c \
  src/gpu/gpu_rate.c src/gpu/gpu_rate.h src/gpu/gpu_ops.c src/gpu/gpu_mem.c \
  src/gpu/gpu_kit.c src/gpu/gpu_load.c src/gpu/gpu_load.h \
  src/gpu/gpu_space.c src/gpu/gpu_space.h \
  src/gpu/gpu_travel.c \
  src/gpu/gpu_lane.c src/gpu/gpu_lane.h \
  src/gpu/gpu_fetch.c src/gpu/gpu_fetch.h \
  src/gpu/gpu_optim.c src/gpu/gpu_optim.h \
  src/gpu/gpu_pointwise.c \
  src/gpu/gpu_norm.c \
  src/gpu/gpu_conv.c src/gpu/gpu_rows.h \
  src/gpu/gpu_ssd.c \
  src/gpu/gpu_attention.c \
  src/gpu/gpu_moe.c \
  src/gpu/gpu_grouped.c \
  src/gpu/gpu_linear.c src/gpu/gpu_blas.c src/gpu/gpu_blas.h \
  src/gpu/gpu_ce.c

# the version that the module tells the program that loads it
src/gpu/cuda-gpu.$(OBJEXT) src/gpu/shim-gpu.$(OBJEXT): src/base/commit.h

# --- the module for a GPU ------------------------------------------------------
# Kernels by nvcc, each for all architectures; the host side by the C compiler,
# as position-independent code. The program that loads the module has the rest.
src_gpu_libgpu_cuda_a_SHORTNAME = cuda
if HAVE_NVCC
noinst_LIBRARIES += src/gpu/libgpu_cuda.a
src_gpu_libgpu_cuda_a_SOURCES = $(GPU_FILES)
src_gpu_libgpu_cuda_a_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir) $(CUDA_CPPFLAGS) \
  -DHY_CUDA_ARCH='"$(CUDA_ARCH)"'
src_gpu_libgpu_cuda_a_CFLAGS = $(AM_CFLAGS) -fPIC
CU_O = $(CU_FILES:.cu=.nvcc.o)
HYMN_NVCCFLAGS = -std=c++17 -O3 -lineinfo -Xfatbin -compress-all \
  -Xcompiler -fPIC $(CUDA_GENCODE)
AM_V_NVCC = $(am__v_NVCC_@AM_V@)
am__v_NVCC_ = $(am__v_NVCC_@AM_DEFAULT_V@)
am__v_NVCC_0 = @echo "  NVCC    " $@;
cuda/%.nvcc.o: cuda/%.cu
	@$(MKDIR_P) cuda
	$(AM_V_NVCC)$(NVCC) $(HYMN_NVCCFLAGS) $(NVCCFLAGS) -I$(srcdir) -MD -MP \
	  -c -o $@ $<
-include $(CU_O:.o=.d)
CUDA_MODULE_LIBS = $(CU_O) $(CUDA_LIBS) -lstdc++
cuda/hymn-cuda.so: src/gpu/libgpu_cuda.a $(CU_O)
	$(AM_V_CCLD)$(CC) $(AM_CFLAGS) $(CFLAGS) -shared -o $@ -Wl,--whole-archive \
	  src/gpu/libgpu_cuda.a -Wl,--no-whole-archive $(CUDA_MODULE_LIBS)
hymnlib_DATA = cuda/hymn-cuda.so
CLEANFILES += $(CU_O) $(CU_O:.o=.d) cuda/hymn-cuda.so
endif

# --- the same files for the CPU: kernels through the shim ----------------------
SHIM_H = \
  cuda/shim/block.h cuda/shim/device_math.h cuda/shim/fiber.h \
  cuda/shim/memory.h cuda/shim/queue.h cuda/shim/shim.h cuda/shim/stream.h \
  cuda/shim/threads.h \
  cuda/shim/include/cublasLt.h \
  cuda/shim/include/cuda.h cuda/shim/include/cuda_bf16.h \
  cuda/shim/include/cuda_pipeline.h cuda/shim/include/cuda_runtime.h \
  cuda/shim/include/cuda_runtime_api.h cuda/shim/include/nccl.h \
  cuda/shim/include/vector_types.h
SHIM_FILES = \
  cuda/shim/arena.cpp cuda/shim/block.cpp cuda/shim/copy.cpp \
  cuda/shim/cublaslt.cpp \
  cuda/shim/device.cpp cuda/shim/driver.cpp cuda/shim/fiber.cpp \
  cuda/shim/graph.cpp cuda/shim/grid.cpp cuda/shim/memory.cpp \
  cuda/shim/queue.cpp cuda/shim/settings.cpp cuda/shim/shared.cpp \
  cuda/shim/warp.cpp
EXTRA_DIST += $(SHIM_H) $(SHIM_FILES)
SHIM_CPPFLAGS = -I$(srcdir) -I$(srcdir)/cuda/shim/include
SHIM_CXXFLAGS = -std=c++17 -O2 -g -fPIC -fvisibility=hidden -Wall \
  -Wno-unknown-pragmas -Wno-pass-failed -fno-strict-aliasing $(HYMN_CXXFLAGS)
SHIM_O = $(CU_FILES:.cu=.host.o) $(SHIM_FILES:.cpp=.o)
AM_V_SHIM = $(am__v_SHIM_@AM_V@)
am__v_SHIM_ = $(am__v_SHIM_@AM_DEFAULT_V@)
am__v_SHIM_0 = @echo "  CXX     " $@;
cuda/%.host.o: cuda/%.cu
	@$(MKDIR_P) cuda
	$(AM_V_SHIM)$(CXX) $(SHIM_CXXFLAGS) -MD -MP -x c++ $(SHIM_CPPFLAGS) -c -o $@ $<
cuda/shim/%.o: cuda/shim/%.cpp
	@$(MKDIR_P) cuda/shim
	$(AM_V_SHIM)$(CXX) $(SHIM_CXXFLAGS) -MD -MP $(SHIM_CPPFLAGS) -c -o $@ $<
-include $(SHIM_O:.o=.d)

check_LIBRARIES =
src_gpu_libgpu_shim_a_SHORTNAME = shim
if HAVE_CXX
check_LIBRARIES += src/gpu/libgpu_shim.a
src_gpu_libgpu_shim_a_SOURCES = $(GPU_FILES) cuda/shim/nccl.c
src_gpu_libgpu_shim_a_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS)
src_gpu_libgpu_shim_a_CFLAGS = $(AM_CFLAGS) -fPIC
src_gpu_libgpu_shim_a_LIBADD = $(SHIM_O)
src_gpu_libgpu_shim_a_DEPENDENCIES = $(SHIM_O)
CLEANFILES += $(SHIM_O) $(SHIM_O:.o=.d)

# The module that computes on the CPU, for tests of whole jobs:
# HYMN_CUDA_MODULE=cuda/shim/hymn-cuda.so src/hymn DECK job.device=cuda
check_DATA = cuda/shim/hymn-cuda.so
cuda/shim/hymn-cuda.so: src/gpu/libgpu_shim.a
	$(AM_V_CCLD)$(CC) $(AM_CFLAGS) $(CFLAGS) -shared -o $@ -Wl,--whole-archive \
	  src/gpu/libgpu_shim.a -Wl,--no-whole-archive -lstdc++
CLEANFILES += cuda/shim/hymn-cuda.so

hymn_unit_tests += cuda/shim/test_shim
cuda_shim_test_shim_SOURCES = cuda/shim/test_shim.cpp
cuda_shim_test_shim_CPPFLAGS = $(SHIM_CPPFLAGS)
cuda_shim_test_shim_CXXFLAGS = -std=c++17 -Wall -Wno-unknown-pragmas -Wno-pass-failed \
  $(HYMN_CXXFLAGS)
cuda_shim_test_shim_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++
cuda_shim_test_shim_LINK = $(CCLD) $(AM_CFLAGS) $(CFLAGS) -o $@

hymn_unit_tests += src/gpu/test_parity
src_gpu_test_parity_SOURCES = src/gpu/test_parity.c \
  src/gpu/test_parity_attention.c \
  src/gpu/test_parity_dense.c src/op/test_ops.h \
  src/gpu/test_parity_moe.c \
  src/op/test_ops_case.h \
  src/op/test_ops_balance.c src/op/test_ops_dense.c src/op/test_ops_moe.c \
  src/op/test_ops_seq.c src/op/test_ops_tp.c src/cpu/test_op.h \
  src/gpu/test_parity_ssd.c \
  src/gpu/test_parity_norm.c
src_gpu_test_parity_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS) -DHY_TEST_PINNED
src_gpu_test_parity_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++

hymn_unit_tests += src/gpu/test_mem
src_gpu_test_mem_SOURCES = src/gpu/test_mem.c src/cpu/test_op.h
src_gpu_test_mem_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS)
src_gpu_test_mem_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++

hymn_unit_tests += src/gpu/test_comm_mpi
src_gpu_test_comm_mpi_SOURCES = src/gpu/test_comm_mpi.c src/grid/test_mpi.h
src_gpu_test_comm_mpi_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS)
src_gpu_test_comm_mpi_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++

# the tests of regions, with what they work on in the memory of GPUs
REGION_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS) -DHY_TEST_GPU
REGION_LIBS = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++
hymn_unit_tests += src/gpu/test_slices_mpi src/gpu/test_carry_mpi \
  src/gpu/test_ring_mpi
src_gpu_test_slices_mpi_SOURCES = src/op/test_slices_mpi.c src/gpu/test_gpu.c
src_gpu_test_slices_mpi_CPPFLAGS = $(REGION_CPPFLAGS)
src_gpu_test_slices_mpi_LDFLAGS = $(src_gpu_test_parity_LDFLAGS)
src_gpu_test_slices_mpi_LDADD = $(REGION_LIBS)
src_gpu_test_carry_mpi_SOURCES = src/op/test_carry_mpi.c src/gpu/test_gpu.c
src_gpu_test_carry_mpi_CPPFLAGS = $(REGION_CPPFLAGS)
src_gpu_test_carry_mpi_LDFLAGS = $(src_gpu_test_parity_LDFLAGS)
src_gpu_test_carry_mpi_LDADD = $(REGION_LIBS)
src_gpu_test_ring_mpi_SOURCES = src/op/test_ring_mpi.c src/gpu/test_gpu.c
src_gpu_test_ring_mpi_CPPFLAGS = $(REGION_CPPFLAGS)
src_gpu_test_ring_mpi_LDFLAGS = $(src_gpu_test_parity_LDFLAGS)
src_gpu_test_ring_mpi_LDADD = $(REGION_LIBS)

hymn_unit_tests += src/gpu/test_kit
src_gpu_test_kit_SOURCES = src/gpu/test_kit.c src/cpu/test_op.h
src_gpu_test_kit_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS)
src_gpu_test_kit_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++
hymn_unit_tests += src/gpu/test_travel_mpi
src_gpu_test_travel_mpi_SOURCES = src/gpu/test_travel_mpi.c src/cpu/test_op.h \
  src/grid/test_mpi.h
src_gpu_test_travel_mpi_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS)
src_gpu_test_travel_mpi_LDFLAGS = $(src_gpu_test_parity_LDFLAGS)
src_gpu_test_travel_mpi_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++
hymn_unit_tests += src/gpu/test_optim
src_gpu_test_optim_SOURCES = src/gpu/test_optim.c src/cpu/test_op.h
src_gpu_test_optim_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS)
src_gpu_test_optim_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++
hymn_unit_tests += src/gpu/test_optim_mpi
src_gpu_test_optim_mpi_SOURCES = src/gpu/test_optim_mpi.c \
  src/model/test_tiny.h src/cpu/test_op.h
src_gpu_test_optim_mpi_CPPFLAGS = $(AM_CPPFLAGS) $(SHIM_CPPFLAGS)
src_gpu_test_optim_mpi_LDADD = src/gpu/libgpu_shim.a $(HYMN_TEST_LIBS) -lstdc++

# The parity program with sanitizers in the kernels, for regression/cuda.sh:
# AddressSanitizer and UBSan, and ThreadSanitizer, which sees each thread of a
# block (the shim itself is compiled without it).
SHIM_TESTED = $(src_gpu_test_parity_OBJECTS) $(src_gpu_libgpu_shim_a_OBJECTS)
SHIM_FLAGS = -std=c++17 -g -O1 -Wno-unknown-pragmas -Wno-pass-failed -MD -MP $(SHIM_CPPFLAGS)
ASAN = -fsanitize=address,undefined -fno-sanitize-recover=undefined
ASAN_O = $(CU_FILES:cuda/%.cu=cuda/asan/%.o) \
  $(SHIM_FILES:cuda/shim/%.cpp=cuda/asan/shim/%.o)
TSAN_O = $(CU_FILES:cuda/%.cu=cuda/tsan/%.o) \
  $(SHIM_FILES:cuda/shim/%.cpp=cuda/tsan/shim/%.o)
cuda/asan/shim/%.o: cuda/shim/%.cpp
	@$(MKDIR_P) cuda/asan/shim
	$(AM_V_SHIM)$(CXX) $(SHIM_FLAGS) $(ASAN) -c -o $@ $<
cuda/asan/%.o: cuda/%.cu
	@$(MKDIR_P) cuda/asan
	$(AM_V_SHIM)$(CXX) $(SHIM_FLAGS) $(ASAN) -x c++ -c -o $@ $<
cuda/tsan/shim/%.o: cuda/shim/%.cpp
	@$(MKDIR_P) cuda/tsan/shim
	$(AM_V_SHIM)$(CXX) $(SHIM_FLAGS) -DSHIM_TSAN -c -o $@ $<
cuda/tsan/%.o: cuda/%.cu
	@$(MKDIR_P) cuda/tsan
	$(AM_V_SHIM)$(CXX) $(SHIM_FLAGS) -fsanitize=thread -x c++ -c -o $@ $<
-include $(ASAN_O:.o=.d) $(TSAN_O:.o=.d)
cuda/asan/test_parity: src/gpu/test_parity $(ASAN_O)
	$(AM_V_CCLD)$(CC) $(AM_CFLAGS) $(CFLAGS) $(ASAN) -o $@ $(SHIM_TESTED) \
	  $(ASAN_O) $(HYMN_TEST_LIBS) -lstdc++
cuda/tsan/test_parity: src/gpu/test_parity $(TSAN_O)
	$(AM_V_CCLD)$(CC) $(AM_CFLAGS) $(CFLAGS) -fsanitize=thread -o $@ \
	  $(SHIM_TESTED) $(TSAN_O) $(HYMN_TEST_LIBS) -lstdc++
CLEANFILES += $(ASAN_O) $(ASAN_O:.o=.d) $(TSAN_O) $(TSAN_O:.o=.d) \
  cuda/asan/test_parity cuda/tsan/test_parity
else
check_DATA =
check-local: say-no-cxx
say-no-cxx:
	@echo "configure found no C++ compiler: kernels for GPUs are not tested"
endif

# --- the tests on a GPU, for regression/gpu.sh -----------------------------------
if HAVE_NVCC
EXTRA_PROGRAMS += src/gpu/test_parity_gpu src/gpu/test_kit_gpu \
  src/gpu/test_mem_gpu
GPU_TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir) $(CUDA_CPPFLAGS)
GPU_TEST_LIBS = src/gpu/libgpu_cuda.a $(HYMN_TEST_LIBS) $(CUDA_MODULE_LIBS)
src_gpu_test_parity_gpu_SOURCES = $(src_gpu_test_parity_SOURCES)
src_gpu_test_parity_gpu_CPPFLAGS = $(GPU_TEST_CPPFLAGS) -DHY_TEST_PINNED
src_gpu_test_parity_gpu_LDFLAGS = \
  -Wl,--whole-archive,src/gpu/libgpu_cuda.a,--no-whole-archive
src_gpu_test_parity_gpu_LDADD = $(GPU_TEST_LIBS)
src_gpu_test_parity_gpu_DEPENDENCIES = src/gpu/libgpu_cuda.a src/libhymn.a $(CU_O)
src_gpu_test_kit_gpu_SOURCES = $(src_gpu_test_kit_SOURCES)
src_gpu_test_kit_gpu_CPPFLAGS = $(GPU_TEST_CPPFLAGS)
src_gpu_test_kit_gpu_LDADD = $(GPU_TEST_LIBS)
src_gpu_test_kit_gpu_DEPENDENCIES = src/gpu/libgpu_cuda.a src/libhymn.a $(CU_O)
src_gpu_test_mem_gpu_SOURCES = $(src_gpu_test_mem_SOURCES)
src_gpu_test_mem_gpu_CPPFLAGS = $(GPU_TEST_CPPFLAGS)
src_gpu_test_mem_gpu_LDADD = $(GPU_TEST_LIBS)
src_gpu_test_mem_gpu_DEPENDENCIES = src/gpu/libgpu_cuda.a src/libhymn.a $(CU_O)
endif
