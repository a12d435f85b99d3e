# src/op: the op table, the tape and the regions
src_libhymn_a_SOURCES += \
  src/op/backend.h \
  src/op/batch.c src/op/batch.h \
  src/op/cache.h \
  src/op/columns.c src/op/columns.h \
  src/op/cost.c src/op/cost.h \
  src/op/hop.c src/op/hop.h \
  src/op/look.c \
  src/op/op.c src/op/op.h src/op/ops.def \
  src/op/region.h src/op/region_cp.c src/op/region_doc.c \
  src/op/region_ep.c src/op/region_ring.c src/op/region_tp.c \
  src/op/region_vocab.c \
  src/op/replay.c src/op/replay.h \
  src/op/tape.c src/op/tape.h src/op/tape_impl.h \
  src/op/tensor.h src/op/timer.c src/op/timer.h

hymn_unit_tests += src/op/test_ops
src_op_test_ops_SOURCES = src/op/test_ops.c src/op/test_ops.h \
  src/op/test_ops_case.h \
  src/op/test_ops_balance.c src/op/test_ops_dense.c src/op/test_ops_moe.c \
  src/op/test_ops_seq.c src/op/test_ops_tp.c \
  src/cpu/test_op.h
src_op_test_ops_LDADD = $(HYMN_TEST_LIBS)

# the linker counts calls of the heap
hymn_unit_tests += src/op/test_tape
src_op_test_tape_SOURCES = src/op/test_tape.c src/cpu/test_op.h
src_op_test_tape_LDADD = $(HYMN_TEST_LIBS)
src_op_test_tape_LDFLAGS = -Wl,--wrap=malloc -Wl,--wrap=calloc \
  -Wl,--wrap=realloc -Wl,--wrap=mmap

hymn_unit_tests += src/op/test_region_mpi
src_op_test_region_mpi_SOURCES = src/op/test_region_mpi.c \
  src/model/test_tiny.h src/cpu/test_op.h
src_op_test_region_mpi_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/op/test_ring_mpi
src_op_test_ring_mpi_SOURCES = src/op/test_ring_mpi.c src/cpu/test_op.h
src_op_test_ring_mpi_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/op/test_dispatch_mpi
src_op_test_dispatch_mpi_SOURCES = src/op/test_dispatch_mpi.c \
  src/model/test_tiny.h src/cpu/test_op.h
src_op_test_dispatch_mpi_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/op/test_slices_mpi
src_op_test_slices_mpi_SOURCES = src/op/test_slices_mpi.c src/cpu/test_op.h
src_op_test_slices_mpi_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/op/test_carry_mpi
src_op_test_carry_mpi_SOURCES = src/op/test_carry_mpi.c src/cpu/test_op.h
src_op_test_carry_mpi_LDADD = $(HYMN_TEST_LIBS)
